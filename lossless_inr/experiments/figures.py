"""Figures from the table of fits and their curves: SVG, PNG, and the data behind as CSV.

One visual language: colour is the method, a star marks where BER first reads 0. The palette is
seaborn's colour-blind safe one. Imports no torch.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd

from lossless_inr.analysis.bound import upper_bound
from lossless_inr.errors import UserError
from lossless_inr.experiments.tables import fits_table
from lossless_inr.signals import Signal

matplotlib.use("svg")
import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib.colors import LogNorm

# Fixed ids and no date: the same data give the same file.
matplotlib.rcParams["svg.hashsalt"] = "lossless-inr"
TEN_POINTS = {"font.size": 9, "axes.titlesize": 9, "axes.labelsize": 9, "legend.fontsize": 8}


def _load_curve(results: Path, folder: str) -> pd.DataFrame:
    return pd.read_parquet(results / folder / "curve.parquet")


def _name(fit: pd.Series) -> str:
    form = {"direct": "", "bitplane": " + bit planes", "bithead": " + bit head"}
    representation = form.get(fit.representation, f" + {fit.representation}")
    variant = f" ({fit.variant})" if fit.variant else ""
    return f"{fit.label}{representation}{variant}, {fit.recipe}"


def _palette(names: list[str]) -> dict[str, tuple]:
    base = sns.color_palette("colorblind", 10)
    return {name: base[k % 10] for k, name in enumerate(sorted(set(names)))}


def _dashes(names: list[str]) -> dict[str, str]:
    styles = ["-", "--", ":", "-."]
    return {name: styles[(k // 10) % 4] for k, name in enumerate(sorted(set(names)))}


def convergence(fits: pd.DataFrame, results: Path, prepared: Path):
    """BER against iterations (left) and against FLOPs (right), a row per signal.

    A step of the bit-plane form costs n steps of a baseline, which the left column hides.
    """
    signals = list(dict.fromkeys(fits.signal))
    names = [_name(fit) for _, fit in fits.iterrows()]
    palette, dashes = _palette(names), _dashes(names)
    figure, axes = plt.subplots(
        len(signals),
        2,
        figsize=(10, 1 + 2.9 * len(signals)),
        squeeze=False,
        sharey="row",
        layout="constrained",
    )
    data = []
    for row, signal in enumerate(signals):
        chosen = fits[fits.signal == signal]
        for _, fit in chosen.iterrows():
            curve = _load_curve(results, fit.folder)
            bits = fit.samples * fit.bits
            planes = [c for c in curve.columns if c.startswith("plane_")]
            ber = curve[planes].sum(axis=1) / bits
            x = {"iteration": curve.iteration, "flops": (curve.iteration + 1) * 6.0}
            x["flops"] = x["flops"] * float(fit.macs_per_row) * float(fit.rows)
            name = _name(fit)
            data.append(
                pd.DataFrame({"signal": signal, "method": name, "seed": fit.seed, **x, "ber": ber})
            )
            # Zero has no place on a log axis: it is drawn at half of the smallest possible BER.
            floor = 0.5 / bits
            for axis, key in zip(axes[row], ("iteration", "flops"), strict=True):
                shown = ber.clip(lower=floor)
                axis.plot(x[key].clip(lower=1), shown, color=palette[name], ls=dashes[name], lw=1.1)
                if fit.status == "lossless":
                    axis.plot(
                        max(1, x[key].iloc[-1]), floor, "*", color=palette[name], ms=10, mec="k",
                        mew=0.4,
                    )  # fmt: skip
        title = f"{chosen.title.iloc[0]}, {chosen.depth.iloc[0]}"
        for axis, key in zip(axes[row], ("iterations", "FLOPs"), strict=True):
            axis.set(xscale="log", yscale="log", xlabel=key, title=title)
            axis.grid(True, which="major", lw=0.3)
        axes[row][0].set_ylabel("bit-error rate")
    handles = [
        plt.Line2D([], [], color=palette[n], ls=dashes[n], label=n) for n in sorted(set(names))
    ]
    handles.append(
        plt.Line2D([], [], marker="*", ls="", color="w", mec="k", ms=10, label="lossless (BER 0)")
    )
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
    return figure, pd.concat(data, ignore_index=True)


def planes(fits: pd.DataFrame, results: Path, prepared: Path):
    """Bit-error rate of each plane against iterations (the paper's Figure 6), a panel per fit.

    Rows run from the most significant bit (top) to the least significant one.
    """
    columns = 3
    order = {name: k for k, name in enumerate(dict.fromkeys(fits.signal))}
    fits = fits.sort_values("signal", key=lambda s: s.map(order), kind="stable")
    rows = -(-len(fits) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(10, 2.5 * rows), squeeze=False, layout="constrained"
    )
    norm = LogNorm(1e-4, 0.5)
    data, image = [], None
    for axis, (_, fit) in zip(axes.flat, fits.iterrows(), strict=False):
        curve = _load_curve(results, fit.folder)
        # At most 240 columns, evenly spread over log(1 + t): early iterations change the most.
        last = int(curve.iteration.iloc[-1])
        steps = np.unique(np.round(np.expm1(np.linspace(0, np.log1p(last), 240))).astype(int))
        counts = curve[[f"plane_{i}" for i in reversed(range(fit.bits))]].to_numpy()[steps]
        ber = counts.T / fit.samples
        edges = np.log10(1 + np.append(steps, last + 1) - 0.5)
        image = axis.pcolormesh(
            edges, np.arange(fit.bits + 1), np.clip(ber, 1e-4, 0.5), norm=norm, cmap="magma",
            rasterized=True,
        )  # fmt: skip
        axis.invert_yaxis()
        axis.set_yticks([0.5, fit.bits - 0.5], ["MSB", "LSB"])
        ticks = [t for t in (0, 10, 100, 1000, 10_000) if t <= last]
        axis.set_xticks([np.log10(1 + t) for t in ticks], [f"{t:,}" for t in ticks])
        lossless = fit.status == "lossless"
        outcome = f"lossless at {last:,}" if lossless else f"not lossless at {last:,}"
        axis.set_title(f"{fit.title}\n{_name(fit)}\n{outcome}", fontsize=7.5)
        axis.set_xlabel("iterations", fontsize=8)
        data.append(
            pd.DataFrame(
                {
                    "signal": fit.signal,
                    "method": _name(fit),
                    "seed": fit.seed,
                    "iteration": np.repeat(steps, fit.bits),
                    "plane": np.tile(np.arange(fit.bits)[::-1], len(steps)),
                    "ber": counts.reshape(-1) / fit.samples,
                }
            )
        )
    for axis in axes.flat[len(fits) :]:
        axis.set_visible(False)
    figure.colorbar(image, ax=axes, label="bit-error rate of the plane", shrink=0.6)
    return figure, pd.concat(data, ignore_index=True)


def _picture(samples: np.ndarray, bits: int) -> np.ndarray:
    """Samples as an image in [0, 1]; a scan is stretched to the values it has."""
    values = samples.astype(float)
    if samples.shape[-1] == 1:
        low, high = values.min(), values.max()
        return (values[..., 0] - low) / max(high - low, 1)
    return values[..., :3] / (2**bits - 1)


def _wrap(name: str) -> str:
    """Method and recipe on lines of their own, to fit above a small panel."""
    return name.replace(" + ", "\n+ ").replace(", ", ",\n")


def _outcome(fit: pd.Series, error: np.ndarray) -> str:
    if not error.any():
        return "lossless"
    return f"{fit.psnr:.1f} dB, BER {fit.ber:.2g}\nlargest error {np.abs(error).max():,}"


def _show_images(axes, signal: Signal, samples: np.ndarray, error: np.ndarray | None) -> None:
    axes[0].imshow(_picture(samples, signal.bits), cmap="gray", vmin=0, vmax=1)
    if error is not None:
        largest = np.abs(error).max(axis=-1)
        axes[1].imshow(np.log2(1 + largest), cmap="magma", vmin=0, vmax=signal.bits)


def _show_sounds(axes, signal: Signal, samples: np.ndarray, error: np.ndarray | None) -> None:
    pairs = [(samples - 2 ** (signal.bits - 1), "k")] + ([] if error is None else [(error, "C3")])
    for axis, (values, colour) in zip(axes, pairs, strict=False):
        axis.set_axis_on()
        axis.plot(values[:, 0], lw=0.4, color=colour)
        axis.set_xticks([])
        axis.tick_params(labelsize=6)


def errors(fits: pd.DataFrame, results: Path, prepared: Path):
    """What each fit decodes to at its best RMSE, and where it is wrong.

    Images: the reconstruction above the largest absolute error over channels. Sounds: the
    waveform above the residual.
    """
    signals = {name: Signal.load(prepared / f"{name}.npz") for name in dict.fromkeys(fits.signal)}
    across = {name: 3 if signal.kind == "audio" else 6 for name, signal in signals.items()}
    blocks = {name: -(-(1 + (fits.signal == name).sum()) // across[name]) for name in signals}
    heights = [3.9 * blocks[name] for name in signals]
    figure = plt.figure(figsize=(10, sum(heights)), layout="constrained")
    parts = figure.subfigures(len(signals), 1, height_ratios=heights, squeeze=False)[:, 0]
    data = []
    for part, (name, signal) in zip(parts, signals.items(), strict=True):
        part.suptitle(f"{signal.title} ({name})", fontsize=9)
        axes = part.subplots(2 * blocks[name], across[name], squeeze=False)
        for axis in axes.flat:
            axis.set_axis_off()
        # Panels in reading order: each is a pair of axes, one above the other.
        pairs = [
            (axes[2 * block, column], axes[2 * block + 1, column])
            for block in range(blocks[name])
            for column in range(across[name])
        ]
        show = _show_sounds if signal.kind == "audio" else _show_images
        truth = signal.samples.astype(np.int64)
        show(pairs[0], signal, truth, None)
        pairs[0][0].set_title("original", fontsize=7.5)
        chosen = fits[fits.signal == name]
        for pair, (_, fit) in zip(pairs[1:], chosen.iterrows(), strict=False):
            with np.load(results / fit.folder / "decoded.npz") as archive:
                best = archive["best"].astype(np.int64)
            error = best - truth
            show(pair, signal, best, error)
            pair[0].set_title(_wrap(_name(fit)), fontsize=7.5)
            pair[1].set_title(_outcome(fit, error), fontsize=7)
            data.append(
                {
                    "signal": name,
                    "method": _name(fit),
                    "seed": fit.seed,
                    "wrong_samples": int((error != 0).sum()),
                    "largest_error": int(np.abs(error).max()),
                }
            )
    return figure, pd.DataFrame(data)


def bits(fits: pd.DataFrame, results: Path, prepared: Path):
    """What each fit decodes to last, and its bit-planes: the paper's Figure 7.

    Columns are the original and the methods; below each picture every other plane, the most
    significant on top, of the first channel.
    """
    (name,) = set(fits.signal)
    signal = Signal.load(prepared / f"{name}.npz")
    shown = [("original", signal.samples.astype(np.int64))]
    for _, fit in fits.iterrows():
        with np.load(results / fit.folder / "decoded.npz") as archive:
            shown.append((_wrap(_name(fit)), archive["last"].astype(np.int64)))
    planes = list(range(signal.bits - 1, -1, -max(1, signal.bits // 8)))
    figure, axes = plt.subplots(
        1 + len(planes),
        len(shown),
        figsize=(10, 10 / len(shown) * (1.1 + len(planes))),
        squeeze=False,
        layout="constrained",
    )
    data = []
    for column, (title, samples) in enumerate(shown):
        axes[0][column].imshow(_picture(samples, signal.bits), cmap="gray", vmin=0, vmax=1)
        axes[0][column].set_title(title, fontsize=7)
        for axis, plane in zip(axes[1:, column], planes, strict=True):
            values = samples[..., 0] >> plane & 1
            axis.imshow(values, cmap="gray", vmin=0, vmax=1)
            wrong = int((values != (signal.samples[..., 0] >> plane & 1)).sum())
            data.append({"method": title.replace("\n", " "), "plane": plane, "wrong": wrong})
    for row, label in enumerate(["decoded", *(f"bit {plane}" for plane in planes)]):
        axes[row][0].set_ylabel(label, fontsize=7)
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    return figure, pd.DataFrame(data)


def capacity(fits: pd.DataFrame, results: Path, prepared: Path):
    """Iterations and FLOPs to lossless against parameters per bit; crosses are censored fits."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    signals = list(dict.fromkeys(fits.signal))
    palette = _palette(signals)
    for name in signals:
        chosen = fits[fits.signal == name].sort_values("parameters_per_bit")
        lossless = chosen.status == "lossless"
        label = f"{chosen.title.iloc[0]}, {chosen.depth.iloc[0]}"
        for axis, key in zip(axes, ("iterations", "flops"), strict=True):
            ours = {"color": palette[name], "zorder": 3}
            # The median over seeds where each reached it; single fits as dots.
            done = chosen[lossless].groupby("parameters_per_bit")[key].median()
            axis.plot(done.index, done.astype(float), lw=1, **ours)
            dots, crosses = chosen[lossless], chosen[~lossless]
            axis.plot(
                dots.parameters_per_bit, dots[key].astype(float), "o", ms=4, label=label, **ours
            )
            axis.plot(crosses.parameters_per_bit, crosses[key].astype(float), "x", ms=6, **ours)
    for axis, label in zip(axes, ("iterations to lossless", "FLOPs to lossless"), strict=True):
        axis.set(
            xscale="log", yscale="log", xlabel="parameters per bit of the signal", ylabel=label
        )
        axis.grid(True, which="both", lw=0.3)
        for ratio, text in ((0.84, "paper, 8 bit"), (0.42, "paper, 16 bit")):
            axis.axvline(ratio, color="0.6", lw=0.8, ls=":")
            axis.text(
                ratio, axis.get_ylim()[1], text, fontsize=6, ha="right", va="top", rotation=90
            )
    axes[0].plot([], [], "x", color="k", label="not lossless within the budget")
    figure.legend(
        *axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False
    )
    columns = ["signal", "title", "depth", "parameters_per_bit", "seed", "status", "iterations"]
    return figure, fits[[*columns, "flops", "best_wrong_bits"]].reset_index(drop=True)


def bound(fits: pd.DataFrame, results: Path, prepared: Path):
    """The bound U_2(n)/C against n, and measured iterations of digits of n bits (Figure 1).

    An arrow stands at the budget of a fit that ended before it was lossless.
    """
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    sizes = np.arange(1, 17)
    axes[0].plot(sizes, [float(upper_bound(int(n), 2)) for n in sizes], "k.-", lw=1)
    axes[0].set(yscale="log", xlabel="bits of a digit, n", ylabel="bound on the size, over C")
    chosen = fits[fits.representation.isin(["digits", "direct"]) & (fits.recipe == "published")]
    chosen = chosen[chosen.width == chosen.width.max()]
    size = chosen.variant.str.extract(r"digit_bits=(\d+)", expand=False)
    default = chosen.representation.map({"digits": 1, "direct": None})
    chosen = chosen.assign(n=size.astype(float).fillna(default).fillna(chosen.bits).astype(int))
    palette = _palette(list(chosen.signal))
    for name, group in chosen.groupby("signal", sort=False):
        group = group.sort_values("n")
        done = group.status == "lossless"
        style = {"color": palette[name], "ms": 6}
        axes[1].plot(group.n, group.iterations, lw=0.8, color=palette[name], alpha=0.6)
        axes[1].plot(group.n[done], group.iterations[done], "o", label=group.title.iloc[0], **style)
        axes[1].plot(group.n[~done], group.iterations[~done], "^", **style)
    axes[1].set(xscale="log", yscale="log", xlabel="bits of a digit, n", ylabel="iterations")
    axes[1].set_xticks([1, 2, 4, 8], ["1", "2", "4", "8"])
    axes[1].xaxis.minorticks_off()
    axes[1].plot([], [], "k^", label="longer than its budget")
    axes[1].legend(frameon=False)
    for axis in axes:
        axis.grid(True, which="major", lw=0.3)
    columns = ["signal", "n", "status", "iterations", "budget", "flops"]
    return figure, chosen[columns].reset_index(drop=True)


LAYOUTS = {
    "bound": bound,
    "convergence": convergence,
    "planes": planes,
    "errors": errors,
    "bits": bits,
    "capacity": capacity,
}


def draw(
    layout: str,
    fits: pd.DataFrame,
    wanted: list[str],
    *,
    results: Path,
    prepared: Path,
    svg: Path,
    png: Path,
    csv: Path,
) -> None:
    """Draw one figure of the fits `wanted` (specification digests) and write its three files.

    Raises
    ------
    UserError
        If no fit of the figure has a curve (all failed).
    """
    table = fits_table(fits, wanted)
    table = table[table.best_squared_error.notna()]
    if table.empty:
        raise UserError("every fit of this figure failed; see the log of its shard")
    with plt.rc_context(TEN_POINTS):
        figure, data = LAYOUTS[layout](table, results, prepared)
        figure.savefig(svg, dpi=150, metadata={"Date": None})
        figure.savefig(png, dpi=150, metadata={"Software": None})
        plt.close(figure)
    data.to_csv(csv, index=False)
