"""What fits decode to, where it is wrong, and the bits behind it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.patches import Patch

from lossless_inr.experiments.figures import style
from lossless_inr.experiments.figures.files import load_decoded
from lossless_inr.metrics import LEVEL_BITS, levels, psnr
from lossless_inr.signals import Signal

# What a bit is and should be: right 0, right 1, wrong 0, wrong 1.
BIT_COLOURS = np.array([(0.0, 0.0, 0.0), (1.0, 1.0, 1.0), style._SKY, style._RED])
BIT_NAMES = ["0", "1", "0, should be 1", "1, should be 0"]
PSNR_OF = {"last": "psnr_last", "best": "psnr"}
MOST_IMAGES = 8  # beside each other: then a title is still legible


@dataclass(frozen=True)
class Panel:
    """A column of a figure: the original (no fit), or what one fit decoded to.

    `samples` and `truth` are drawn, with `bits` bits. `words` and `true_words` are what is right or
    wrong: the same for integers, IEEE-754 words for floats, whose samples are levels of their
    range.
    """

    title: str
    samples: np.ndarray
    truth: np.ndarray
    bits: int
    words: np.ndarray
    true_words: np.ndarray
    word_bits: int
    psnr: float | None = None
    fit: pd.Series | None = None

    @property
    def error(self) -> np.ndarray:
        """Decoded minus original."""
        return self.samples - self.truth

    def wrong(self, plane: int) -> np.ndarray:
        """Where a bit-plane is wrong."""
        return ((self.words ^ self.true_words) >> plane & 1).astype(bool)

    def facts(self) -> dict[str, float]:
        """Numbers of what is shown, which need not be the best ones of the fit."""
        squared = int((self.error.astype(object) ** 2).sum())
        wrong = [int(self.wrong(plane).sum()) for plane in range(self.word_bits)]
        own = psnr(squared, self.truth.size, self.bits)
        return {
            "psnr": own if self.psnr is None else self.psnr,
            "ber": sum(wrong) / (self.truth.size * self.word_bits),
            "largest_error": int(np.abs(self.error).max()),
            **{f"wrong_bits_of_plane_{k}": count for k, count in enumerate(wrong)},
        }

    def outcome(self) -> str:
        """PSNR, BER and the largest error, in lines."""
        if np.array_equal(self.words, self.true_words):
            return "lossless"
        facts = self.facts()
        if self.words is not self.samples:
            wrong = int((self.words != self.true_words).sum())
            share = f"{wrong:,} of {self.words.size:,} words wrong"
            return f"{facts['psnr']:.1f} dB\nBER {facts['ber']:.2g}\n{share}"
        return f"{facts['psnr']:.1f} dB\nBER {facts['ber']:.2g}\nerror ≤ {facts['largest_error']:,}"


def panels_of(fits: pd.DataFrame, signal: Signal, results: Path, which: str) -> list[Panel]:
    """The original and what each fit of a signal decoded to."""
    true_words = signal.samples.astype(np.int64)
    floats, sound = signal.encoding != "integer", signal.kind == "audio"

    def drawn(words: np.ndarray) -> np.ndarray:
        return levels(words, true_words, signal.bits, sound) if floats else words

    truth, bits = drawn(true_words), LEVEL_BITS if floats else signal.bits

    def panel(title: str, words: np.ndarray, fit: pd.Series | None = None) -> Panel:
        measured = None if fit is None or not floats else fit[PSNR_OF[which]]
        shown = (drawn(words), truth, bits)
        return Panel(title, *shown, words, true_words, signal.bits, measured, fit)

    panels = [panel("original", true_words)]
    names = style.method_names(fits)
    if fits.seed.nunique() > 1:
        names = names + ", seed " + fits.seed.astype(str)
    for index, fit in fits.iterrows():
        panels.append(panel(names[index], load_decoded(fit, results, which), fit))
    return panels


def picture(samples: np.ndarray, truth: np.ndarray, bits: int) -> np.ndarray:
    """Samples as an image in [0, 1]; one channel is stretched to the values the original has."""
    if samples.shape[-1] == 1:
        low, high = truth.min(), truth.max()
        return np.clip((samples[..., 0] - low) / max(high - low, 1), 0, 1)
    return samples[..., :3] / (2**bits - 1)


def bit_picture(panel: Panel, plane: int) -> np.ndarray:
    """Bits of a plane of the first channel; wrong ones are coloured."""
    values = panel.words[..., 0] >> plane & 1
    return BIT_COLOURS[values + 2 * panel.wrong(plane)[..., 0]]


def show_error(axis, panel: Panel):
    """Largest absolute error over channels, on a logarithmic scale."""
    largest = np.log2(1 + np.abs(panel.error).max(axis=-1))
    return axis.imshow(largest, cmap="magma", vmin=0, vmax=panel.bits)


def error_scale(figure, image, axes, bits: int) -> None:
    """Colour bar of error maps."""
    ticks = [k for k in range(bits + 1) if k % max(1, bits // 8) == 0]
    bar = figure.colorbar(image, ax=axes, location="bottom", shrink=0.55, aspect=50)
    bar.set_ticks(ticks, labels=[f"{2**k - 1:,}" for k in ticks])
    bar.ax.tick_params(labelsize=style.SMALL)
    bar.set_label("largest absolute error over channels", fontsize=7)


def pixel_data(panels: list[Panel], name: str) -> pd.DataFrame:
    """Everything that panels show, a column each: their samples and the facts of each.

    Errors and bits follow from the samples and those of the column `original`.
    """
    truth = panels[0].truth
    places = np.indices(truth.shape).reshape(truth.ndim, -1)
    keys = ["row", "column", "channel"] if truth.ndim == 3 else ["row", "channel"]
    shown = {panel.title: panel.samples.reshape(-1) for panel in panels}
    start = {"signal": name, "quantity": "sample"}
    samples = pd.DataFrame(start | dict(zip(keys, places, strict=True)) | shown)
    facts = {panel.title: panel.facts() for panel in panels[1:]}
    numbers = pd.DataFrame(facts, dtype=object)
    numbers = numbers.rename_axis("quantity").reset_index().assign(signal=name)
    # As text, because a count stays a count beside a decibel.
    return pd.concat([numbers, samples.astype(object)], ignore_index=True)


def _bare(axis) -> None:
    axis.set(xticks=[], yticks=[])
    for side in axis.spines.values():
        side.set_visible(False)


def _image_part(part, panels: list[Panel], planes: list[int]) -> None:
    """One signal: rows of pictures, error maps and bit-planes, in blocks of columns."""
    blocks = -(-len(panels) // MOST_IMAGES)
    columns = max(6, -(-len(panels) // blocks))
    rows = 2 + len(planes)
    grid = part.add_gridspec(rows * blocks, columns)
    inches = style.WIDTH / columns - 0.05
    image, axes = None, []
    for k, panel in enumerate(panels):
        block, at = divmod(k, columns)
        column = [part.add_subplot(grid[rows * block + row, at]) for row in range(rows)]
        axes += column
        for axis in column:
            _bare(axis)
        pixels = picture(panel.samples, panel.truth, panel.bits)
        column[0].imshow(pixels, cmap="gray", vmin=0, vmax=1)
        column[0].set_title(style.wrapped(panel.title, inches), fontsize=style.SMALL)
        if panel.fit is not None:
            image = show_error(column[1], panel)
            column[1].set_title(panel.outcome(), fontsize=style.SMALL, pad=3)
        for axis, plane in zip(column[2:], planes, strict=True):
            axis.imshow(bit_picture(panel, plane))
            # A plane of ones only is as white as the page.
            for side in axis.spines.values():
                side.set(visible=True, color="0.7", linewidth=0.4)
        if at == 0:
            labels = ["decoded", "error", *(f"bit {plane}" for plane in planes)]
            for axis, label in zip(column, labels, strict=True):
                axis.set_ylabel(label, fontsize=style.SMALL)
    if image is not None:
        error_scale(part, image, axes, panels[0].bits)


def _sound_part(part, panels: list[Panel]) -> None:
    """One sound: waveforms above their residuals."""
    columns = min(3, len(panels))
    blocks = -(-len(panels) // columns)
    axes = part.subplots(2 * blocks, columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for k, panel in enumerate(panels):
        above, below = axes[2 * (k // columns) : 2 * (k // columns) + 2, k % columns]
        above.set_title(style.wrapped(panel.title, 2.2), fontsize=style.SMALL)
        # Of floats, in half ranges: for a sound in [-1, 1], its amplitude.
        unit = 1 if panel.words is panel.samples else 2 ** (panel.bits - 1)
        shown = [(above, (panel.samples - 2 ** (panel.bits - 1)) / unit, "k")]
        if panel.fit is not None:
            outcome = panel.outcome().replace("\n", ", ")
            below.set_title(style.wrapped(outcome, 2.2), fontsize=style.SMALL)
            shown.append((below, panel.error / unit, style._RED))
        for axis, values, colour in shown:
            axis.set_axis_on()
            axis.plot(values[:, 0], lw=0.4, color=colour)
            axis.set_xticks([])
            axis.tick_params(labelsize=style.SMALL)
            if not values.any():
                axis.set_ylim(-1, 1)


def _height(panels: list[Panel], kind: str, planes: list[int]) -> float:
    if kind == "audio":
        return 0.3 + 2.6 * -(-len(panels) // 3)
    blocks = -(-len(panels) // MOST_IMAGES)
    columns = max(6, -(-len(panels) // blocks))
    return 0.8 + blocks * ((2 + len(planes)) * style.WIDTH / columns + 0.9)


def _gallery(fits, results, prepared, which: str, planes_of: Callable[[int], list[int]]):
    fits = style.in_printed_order(fits)
    signals = {name: Signal.load(prepared / f"{name}.npz") for name in dict.fromkeys(fits.signal)}
    panels = {
        name: panels_of(fits[fits.signal == name], signal, results, which)
        for name, signal in signals.items()
    }
    # Bits of many methods would need more than a page.
    planes = {
        n: [] if s.kind == "audio" or len(panels[n]) > MOST_IMAGES else planes_of(s.bits)
        for n, s in signals.items()
    }
    heights = [_height(panels[n], signals[n].kind, planes[n]) for n in signals]
    legend = 0.35 if any(planes.values()) else 0.0
    figure = plt.figure(figsize=(style.WIDTH, sum(heights) + legend), layout="constrained")
    parts = figure.subfigures(len(signals), 1, height_ratios=heights, squeeze=False)[:, 0]
    for part, (name, signal) in zip(parts, signals.items(), strict=True):
        part.suptitle(style.wrapped(f"{signal.title} ({name})", style.WIDTH, 8, lines=2))
        if signal.kind == "audio":
            _sound_part(part, panels[name])
        else:
            _image_part(part, panels[name], planes[name])
    if legend:
        patches = [
            Patch(facecolor=colour, edgecolor="0.5", lw=0.4, label=label)
            for colour, label in zip(BIT_COLOURS, BIT_NAMES, strict=True)
        ]
        figure.legend(
            handles=patches, loc="outside lower center", ncols=4, frameon=False,
            title="bits of the first channel", title_fontsize=7,
        )  # fmt: skip
    return figure, pd.concat([pixel_data(p, n) for n, p in panels.items()], ignore_index=True)


def _spread(bits: int, count: int) -> list[int]:
    """Planes from the most to the least significant one, both included."""
    return sorted({round(k) for k in np.linspace(bits - 1, 0, count)}, reverse=True)


def _few(bits: int) -> list[int]:
    return _spread(bits, 3)


def _many(bits: int) -> list[int]:
    return _spread(bits, 6)


def errors(fits: pd.DataFrame, results: Path, prepared: Path):
    """What each fit decodes to at its best RMSE, where it is wrong, and three bit-planes.

    Images: the picture, the largest absolute error over channels, and the highest, a middle and
    the lowest plane, unless there are many methods. Sounds: the waveform above the residual.
    """
    return _gallery(fits, results, prepared, "best", _few)


def reconstructions(fits: pd.DataFrame, results: Path, prepared: Path):
    """As `errors`, at the last iteration (the paper's Figure 5)."""
    return _gallery(fits, results, prepared, "last", _few)


def bits(fits: pd.DataFrame, results: Path, prepared: Path):
    """As `reconstructions`, with six bit-planes (the paper's Figure 7)."""
    return _gallery(fits, results, prepared, "last", _many)
