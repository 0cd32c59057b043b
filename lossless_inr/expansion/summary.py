"""Table 5: methods over images, their distance to what needs no network, verdicts. No torch."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from lossless_inr.analysis import formulas as fm
from lossless_inr.analysis.statistics import FEWEST_PAIRS, holm, paired_values, pooled_psnr
from lossless_inr.analysis.verdicts import FAILS, HOLDS, OPEN, Verdict
from lossless_inr.expansion import rules
from lossless_inr.expansion.scores import METHOD
from lossless_inr.expansion.targets import EXPANSIONS, expansion_name

CONFIDENCE = 0.95
# Between printed and recomputed decibels of one thing, and between theory and images.
TOLERANCE = 0.1
# The floors that every method is held against, image by image.
FLOORS = ("random_bits", "midpoint")
KEYS = ["expansion", "method", "estimate", *METHOD]
# The paper's method in its default reading; `outside` is the other one.
PAPER = {
    **{"network": "siren", "representation": "bitplane", "recipe": "published"},
    "estimate": "threshold",
}


@dataclass(frozen=True)
class Mean:
    """Mean over images and its 95 % interval by Student's t.

    Attributes
    ----------
    value : float
        Infinite as soon as one image is met exactly.
    low, high : float or None
        None below two images, or where the mean is infinite.
    n : int
    """

    value: float
    low: float | None
    high: float | None
    n: int


def mean_of(values) -> Mean:
    """Mean with its interval.

    Examples
    --------
    >>> mean_of([1.0, 2.0, 3.0])
    Mean(value=2.0, low=-0.484..., high=4.484..., n=3)
    >>> mean_of([5.0]).low is None
    True
    """
    values = np.asarray(values, dtype=float)
    if not len(values) or np.isnan(values).any():
        raise ValueError("need a value for every image, and one at least")
    mean, n = float(values.mean()), len(values)
    if n < 2 or math.isinf(mean):
        return Mean(mean, None, None, n)
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) * values.std(ddof=1) / math.sqrt(n))
    return Mean(mean, mean - half, mean + half, n)


def theory(method: str, bits: int, target: int) -> float | None:
    """PSNR in dB of a rule on independent uniform low bits; None for what is no rule of samples."""
    if method == "random_bits":
        return fm.random_bits_psnr(bits, target)
    rule = rules.RULES.get(method)
    return fm.expansion_psnr(rule, bits, target) if rule else None


def by_image(scores: pd.DataFrame, bits: int) -> pd.DataFrame:
    """PSNR (squared errors of draws and seeds pooled) and SSIM (their mean) of each image.

    Parameters
    ----------
    scores : DataFrame
        Rows of one method at one expansion.
    bits : int
        m.

    Returns
    -------
    DataFrame, indexed by signal
        `psnr`, `ssim`.
    """
    rows = {
        name: (pooled_psnr(group.squared_error, group.samples, bits), group.ssim.mean())
        for name, group in scores.groupby("signal", sort=False)
    }
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["psnr", "ssim"])
    return table.astype(float).rename_axis("signal")


def difference(first: pd.Series, second: pd.Series) -> Mean | None:
    """Mean of first - second over the images that both have; None if there are none."""
    both = pd.concat([first, second], axis=1, join="inner").dropna()
    gap = (both.iloc[:, 0] - both.iloc[:, 1]).to_numpy()
    return mean_of(gap) if len(gap) and np.isfinite(gap).all() else None


def _methods(scores: pd.DataFrame):
    """(keys, its rows, PSNR and SSIM of each image) of every method at every expansion."""
    known = scores[scores.squared_error.notna()]
    for keys, group in known.groupby(KEYS, sort=False, dropna=False):
        yield dict(zip(KEYS, keys, strict=True)), group, by_image(group, int(group.target.iloc[0]))


def summary(scores: pd.DataFrame) -> pd.DataFrame:
    """One row per expansion and method.

    Parameters
    ----------
    scores : DataFrame
        See `expansion.scores.score`.

    Returns
    -------
    DataFrame
        `KEYS`; `images` (n), `fits` and those of them that are `lossless` on their own planes;
        `psnr` and `ssim` (means over images) with `_low` and `_high` (95 %, Student's t);
        `theory` (dB, of rules on uniform low bits); and for each of `FLOORS` the paired difference
        `over_<floor>` in dB with `_low` and `_high`, its `_signs`, and `_p` (Wilcoxon; adjusted by
        Holm over the fitted methods of the expansion). Best-known order: rules, then fits.
    """
    every = list(_methods(scores))
    floors = {
        (keys["expansion"], keys["method"]): images.psnr
        for keys, _, images in every
        if keys["method"] in FLOORS
    }
    rows = []
    for keys, group, images in every:
        fitted = keys["estimate"] != "rule"
        row = keys | {
            "bits": int(group.bits.iloc[0]),
            "target": int(group.target.iloc[0]),
            "images": len(images),
            "fits": group.spec_digest.nunique(),
            "lossless": group[group.status == "lossless"].spec_digest.nunique(),
        }
        if row["estimate"] == "rule":
            row |= {"fits": None, "lossless": None}
        row["theory"] = theory(keys["method"], row["bits"], row["target"])
        ssim = images.ssim.dropna()
        for name, mean in (
            ("psnr", mean_of(images.psnr)),
            ("ssim", mean_of(ssim) if len(ssim) else None),
        ):
            row |= _columns(name, mean)
        if row["ssim_high"] is not None:  # no similarity is above 1, whatever Student says
            row["ssim_high"] = min(row["ssim_high"], 1.0)
        for floor in FLOORS:
            other = floors.get((keys["expansion"], floor))
            own = keys["method"] == floor or other is None
            row |= _columns(f"over_{floor}", None if own else difference(images.psnr, other))
            paired = None if own else paired_values(images.psnr, other)
            row[f"over_{floor}_signs"] = paired.text() if paired else ""
            row[f"over_{floor}_p"] = paired.p if paired and fitted else None
        rows.append(row)
    table = pd.DataFrame(rows)
    if table.empty:
        return table
    table = table.astype({"fits": "Int64", "lossless": "Int64"})
    for floor in FLOORS:
        name = f"over_{floor}_p"
        for _, group in table.groupby("expansion"):
            adjusted = holm([None if pd.isna(p) else p for p in group[name]])
            table.loc[group.index, name] = pd.Series(adjusted, group.index, dtype=float)
    order = {expansion_name(*pair): place for place, pair in enumerate(EXPANSIONS)}
    place = table.expansion.map(order).fillna(len(order))
    ruled = (table.estimate != "rule").astype(int)
    return table.assign(_a=place, _b=ruled).sort_values(["_a", "_b"], kind="stable").drop(
        columns=["_a", "_b"]
    ).reset_index(drop=True)  # fmt: skip


def _columns(name: str, mean: Mean | None) -> dict:
    if mean is None:
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    return {name: mean.value, f"{name}_low": mean.low, f"{name}_high": mean.high}


def is_paper(row: pd.Series) -> bool:
    """Whether a row of `summary` is the paper's method, in either reading of its coordinates."""
    same = all(row[name] == value for name, value in PAPER.items())
    return same and row["variant"] in ("", f"of_bits={row['target']}")


def _papers(table: pd.DataFrame, expansion: str) -> pd.DataFrame:
    """The paper's method at an expansion: the reading `grid` if it was run, else `outside`."""
    rows = table[table.expansion == expansion] if len(table) else table
    rows = rows[[is_paper(row) for _, row in rows.iterrows()]] if len(rows) else rows
    grid = rows[rows.variant != ""] if len(rows) else rows
    return grid.head(1) if len(grid) else rows.head(1)


def printed_is_random(table: pd.DataFrame, published: dict) -> Verdict:
    """(p) The printed row of the method, against random low bits and a constant midpoint."""
    text = (
        "p",
        "The printed PSNR of the method is that of random low bits, 3 dB under a constant midpoint",
        "Table 5",
    )
    parts, agree = [], []
    for bits, target in ((8, 16), (8, 12)):
        name = expansion_name(bits, target)
        printed = published["table5"][name]["bitplane"][0]
        random = theory("random_bits", bits, target)
        middle = theory("midpoint", bits, target)
        agree += [abs(printed - random) <= TOLERANCE, abs(middle - printed - 3) <= TOLERANCE]
        words = f"{name}: printed {printed:.2f}, random {random:.2f}, midpoint {middle:.2f} dB"
        rows = table[table.expansion == name].set_index("method") if len(table) else table
        if len(rows) and set(FLOORS) <= set(rows.index):
            gap = rows.loc["random_bits", "over_midpoint"]
            ours = [rows.loc[floor, "psnr"] for floor in FLOORS]
            words += f" (uniform low bits; on our images {ours[0]:.2f} and {ours[1]:.2f} dB)"
            agree.append(abs(-gap - (middle - random)) <= TOLERANCE)
        parts.append(words)
    images = int(table.images.max()) if len(table) else 0
    return Verdict(*text, HOLDS if all(agree) else FAILS, images, "; ".join(parts))


def _over(table: pd.DataFrame, scores: pd.DataFrame, floor: str, text: tuple) -> Verdict:
    """The paper's method against a floor, image by image, at the paper's two expansions."""
    parts, results, rests_on, images = [], [], [], 0
    for name in ("8to16", "8to12"):
        for _, row in _papers(table, name).iterrows():
            low, high = row[f"over_{floor}_low"], row[f"over_{floor}_high"]
            if pd.isna(low):
                continue
            # Of too few images, or before x itself is met, nothing follows.
            sound = row.images >= FEWEST_PAIRS and row.lossless == row.fits
            results.append(OPEN if not sound else HOLDS if low > 0 else FAILS if high < 0 else OPEN)
            p = row[f"over_{floor}_p"]
            parts.append(
                f"{name}: {row[f'over_{floor}']:+.2f} dB [{low:+.2f}, {high:+.2f}], "
                f"{row[f'over_{floor}_signs']}"
                + ("" if pd.isna(p) else f", p {p:.2g}")
                + ("" if row.lossless == row.fits else f"; x met by {row.lossless} of {row.fits}")
            )
            same = (scores[KEYS].eq(row[KEYS]) | (scores[KEYS].isna() & row[KEYS].isna())).all(
                axis=1
            )
            rests_on += list(scores[same].spec_digest)
            images = max(images, int(row.images))
    if not results:
        return Verdict(*text, OPEN, 0, "the paper's method was not run on two images at this scale")
    result = results[0] if len(set(results)) == 1 else OPEN
    return Verdict(*text, result, images, "; ".join(parts), list(dict.fromkeys(rests_on)))


def gain_equals_replication(scores: pd.DataFrame, published: dict) -> Verdict:
    """(s) Two printed rows that are one function."""
    cells = published["table5"]["8to16"]
    apart = cells["ideal_gain"][0] - cells["bit_replication"][0]
    text = (
        "s",
        f"Ideal gain and bit replication are one function at 8 to 16 bits, printed {apart:.2f} dB "
        "apart",
        "Table 5",
    )
    x = np.arange(256)
    same = np.array_equal(rules.ideal_gain(x, 8, 16), rules.bit_replication(x, 8, 16))
    pairs = scores[(scores.expansion == "8to16") & (scores.estimate == "rule")]
    errors = pairs.pivot_table("squared_error", "signal", "method", aggfunc="sum")
    why = f"equal for {'all' if same else 'not all'} of 256 values"
    if {"ideal_gain", "bit_replication"} <= set(errors.columns):
        equal = int((errors.ideal_gain == errors.bit_replication).sum())
        same = same and equal == len(errors)
        why += f"; the same squared error on {equal} of {len(errors)} images"
    return Verdict(*text, HOLDS if same else FAILS, len(errors), why)


def best_network(table: pd.DataFrame) -> Verdict:
    """(t) Whether any fitted method here beats the midpoint at 8 to 16 bits."""
    text = ("t", "Some network fitted to the top bits alone beats a constant midpoint", "ours")
    rows = table[(table.expansion == "8to16") & (table.estimate != "rule")] if len(table) else table
    rows = rows[rows.over_midpoint.notna()] if len(rows) else rows
    if rows.empty or rows.over_midpoint_p.isna().all():
        return Verdict(*text, OPEN, 0, "too few images at this scale")
    best = rows.loc[rows.over_midpoint.idxmax()]
    sure = best.over_midpoint_low > 0 and best.over_midpoint_p < 1 - CONFIDENCE
    variant = f" ({best.variant})" if best.variant else ""
    why = (
        f"best of {len(rows)}: {best.network}, {best.representation}{variant}, {best.recipe}, "
        f"{best.budget:,} iterations, {best.estimate}: {best.over_midpoint:+.3f} dB "
        f"[{best.over_midpoint_low:+.3f}, {best.over_midpoint_high:+.3f}], "
        f"{best.over_midpoint_signs}, adjusted p {best.over_midpoint_p:.2g}"
    )
    whole = table[(table.expansion == "8to16") & (table.method == "neighbours")]
    if len(whole):
        why += f"; four neighbours without a network: {whole.over_midpoint.iloc[0]:+.3f} dB"
    result = HOLDS if sure else FAILS if best.over_midpoint_high < 0 else OPEN
    return Verdict(*text, result, int(best.images), why)


def verdicts(table: pd.DataFrame, scores: pd.DataFrame, published: dict) -> list[Verdict]:
    """What the scores say of Table 5.

    Parameters
    ----------
    table : DataFrame
        See `summary`.
    scores : DataFrame
        See `expansion.scores.score`.
    published : dict
        The printed numbers.
    """
    return [
        printed_is_random(table, published),
        _over(
            table,
            scores,
            "random_bits",
            ("q", "The paper's method says more of the low bits than random ones", "Table 5"),
        ),
        _over(
            table,
            scores,
            "midpoint",
            ("r", "The paper's method expands better than a constant midpoint", "Table 5"),
        ),
        gain_equals_replication(scores, published),
        best_network(table),
    ]
