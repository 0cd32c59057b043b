"""The paper's printed numbers, recomputed from each other and from its formulas.

Nothing is fitted or measured here: printed cells come from `published.yaml`, the rest is
arithmetic, and each verdict follows from comparing the two.

- reproduces: the formula gives the printed number, at its printed precision or the tolerance named;
- differs: the formula gives another number;
- inconsistent: two statements of the paper, or one and arithmetic, cannot both hold.

One doubt is left out because arithmetic does not settle it: the released ternary schedule divides
the rate by ten every 20 000 steps, which makes convergence at 80 000 unlikely, not impossible.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from lossless_inr.analysis import bound
from lossless_inr.analysis import formulas as fm
from lossless_inr.expansion import rules
from lossless_inr.metrics import psnr

CHANNELS = 3
OURS = "recombiner+bitplane"
PSNR_TOLERANCE = 0.01  # dB, between a PSNR and the RMSE printed beside it
# dB, between photographs and theory: their low bits are not exactly uniform.
THEORY_TOLERANCE = 0.1

# Printed, but not data of published.yaml:
PERCENT = {  # Table 6, each codec's rate relative to "ours"
    "mnist": {"png": 36, "jpeg2000": 162, "webp": -18, "tiff": 52},
    "fashion_mnist": {"png": -5, "jpeg2000": 27, "webp": 8, "tiff": 11},
}
BASELINE_ITERATIONS = {8: 1000, 16: 5000}  # with Table 1, the budgets of its baselines


@dataclass(frozen=True)
class Finding:
    """One line of the audit, every field as a reader sees it."""

    item: str
    where: str
    printed: str
    recomputed: str
    verdict: str
    note: str


def audit(published: dict[str, Any]) -> pd.DataFrame:
    """Recompute what the paper prints.

    Parameters
    ----------
    published : dict
        `load_published()`, or an altered copy: no verdict is stored.

    Returns
    -------
    DataFrame of str
        item, where, printed, recomputed, verdict ("reproduces", "differs" or "inconsistent"), note.
    """
    parts = (_bound, _pairs, _largest_psnr, _kodak, _cost, _memory, _quantised, _expansion, _rates)
    return pd.DataFrame([finding for part in parts for finding in part(published)])


def _verdict(holds: bool, otherwise: str = "differs") -> str:
    return "reproduces" if holds else otherwise


def _bound(published: dict) -> Iterator[Finding]:
    for row in bound.table(published).itertuples():
        if row.published:
            where = "main text" if row.quantity in ("U_2(16)/C", "U_5(8)/C") else "Table 3"
            value = f"{row.value:,}" if row.value < 1e7 else f"{row.value:.4g}"
            yield Finding(row.quantity, where, row.published, value, row.verdict, row.formula)
    rows = [row for row in published["table3"] if row["method"] == "digits"]
    seen = [row["iterations"] for row in rows]
    factor = seen[0]["mean"] / bound.upper_bound(rows[0]["n"], 2)
    expected = [factor * bound.upper_bound(row["n"], 2) for row in rows]
    holds = all(abs(i["mean"] - e) <= i["std"] for i, e in zip(seen, expected, strict=True))
    yield Finding(
        "iterations proportional to the bound",
        "Table 3",
        " / ".join(f"{i['mean']:,}" for i in seen),
        " / ".join(f"{e:,.0f}" for e in expected),
        _verdict(holds, "inconsistent"),
        "in proportion to U_2(n) from the first on; agreement would be one printed deviation",
    )


def _pairs(published: dict) -> Iterator[Finding]:
    """PSNR against the RMSE beside it; Table 7 prints RMSE to 0.001, Table 1 to 5 digits."""
    data_sets = published["datasets"]
    tables = {
        "Table 1": (published["table1"], slice(0, 3, 2), 0.0),
        "Table 7": (published["table7"], slice(1, 4, 2), 0.0005),
    }
    for where, (table, columns, rounding) in tables.items():
        cells = [
            (f"{method} on {name}", data_sets[name]["bits"], *row[columns])
            for name, rows in table.items()
            if name in data_sets
            for method, row in rows.items()
            if math.isfinite(row[columns][0])
        ]
        apart = []
        for item, bits, decibels, rmse in cells:
            value = fm.implied_psnr(rmse, bits)
            # What the last digit of the RMSE can hide comes on top of the tolerance.
            hidden = value - fm.implied_psnr(rmse + rounding, bits)
            if abs(value - decibels) > PSNR_TOLERANCE + hidden:
                note = f"{value - decibels:+.2f} dB; its RMSE is printed as {rmse:g}"
                pair = f"{decibels:.2f} dB", f"{value:.2f} dB"
                apart.append(Finding(f"PSNR from RMSE, {item}", where, *pair, "differs", note))
        if len(apart) < len(cells):
            item = f"PSNR from RMSE, {'all other' if apart else 'all'} pairs"
            same = f"{len(cells) - len(apart)} agree"
            margin = f"{PSNR_TOLERANCE} dB{' and the rounding of the RMSE' if rounding else ''}"
            note = f"within {margin}: errors were pooled, or one column derived from the other"
            yield Finding(item, where, f"{len(cells)} pairs", same, "reproduces", note)
        yield from apart


def _largest_psnr(published: dict) -> Iterator[Finding]:
    bits = published["datasets"]["kodak"]["bits"]
    samples = published["setup"]["image_size"] ** 2 * CHANNELS
    printed = next(row["psnr"] for row in published["table3"] if row["method"] == "siren")
    largest = psnr(1, samples, bits)
    wrong = samples * fm.implied_rmse(printed, bits) ** 2
    yield Finding(
        "SIREN's PSNR on Kodak as a mean of finite values",
        "Table 3",
        f"{printed:.1f} dB",
        f"at most {largest:.2f} dB",
        _verdict(printed <= largest, "inconsistent"),
        f"one wrong lowest bit; pooled, the print means {wrong:.2f} wrong lowest bits per image",
    )


def _kodak(published: dict) -> Iterator[Finding]:
    bitplane = next(row for row in published["table3"] if row["method"] == "bitplane")
    values = [
        bitplane["iterations"]["mean"],
        published["table8"]["h,w,bit"],
        published["table1"]["ours_iterations"]["8bit"]["mean"],
    ]
    yield Finding(
        "iterations to lossless on Kodak",
        "Tables 3, 8, 1",
        " / ".join(f"{value:,}" for value in values),
        "one value",
        _verdict(values[0] == values[1], "inconsistent"),
        "Tables 3 and 8 describe one setting and decide; Table 1's value covers both 8-bit sets",
    )


def _cost(published: dict) -> Iterator[Finding]:
    setup = published["setup"]
    pixels = setup["image_size"] ** 2
    shape = setup["hidden_width"], setup["hidden_layers"], CHANNELS
    direct = fm.flops_per_step(fm.mlp(2, *shape), pixels)
    for bits, budget in BASELINE_ITERATIONS.items():
        step = fm.flops_per_step(fm.mlp(3, *shape), bits * pixels)
        printed = published["table1"]["ours_iterations"][f"{bits}bit"]["mean"]
        yield Finding(
            f"iterations at {bits} bits in baseline iterations of equal cost",
            "Table 1",
            f"{printed:,}",
            f"{printed * step / direct:,.0f}",
            _verdict(step == direct),
            f"{step / 1e12:.3g} against {direct / 1e12:.3g} TFLOP a step, a ratio of "
            f"{step / direct:.2f}; baselines were given {budget:,}",
        )


def _memory(published: dict) -> Iterator[Finding]:
    setup = published["setup"]
    layers = fm.mlp(3, setup["hidden_width"], setup["hidden_layers"], CHANNELS)
    rows = 16 * setup["image_size"] ** 2
    saved = fm.saved_activation_bytes(setup["hidden_width"], len(layers) - 1, rows)
    state = 4 * fm.float32_bytes(layers)  # weights, gradients, Adam's two moments
    card = int(re.search(r"(\d+) ?GB", setup["hardware"])[1])
    yield Finding(
        "full 16-bit batch on one stated card",
        "section 4.1",
        f"{card} GB",
        f"{saved / 1e9:.1f} GB ({saved / 2**30:.2f} GiB)",
        # Cards are sold in GiB.
        _verdict(saved + state <= card * 2**30, "inconsistent"),
        f"arguments and values of the sines alone; weights and Adam add {state / 1e6:.0f} MB",
    )


def _quantised(published: dict) -> Iterator[Finding]:
    ternary, siren = published["table4"]["ternary"], published["table4"]["siren"]
    # Released train_ternary.py: 16 networks 30 -> 256 -> 256 -> 256 -> 256 -> 3, no bias.
    layers, bare = fm.mlp(30, 256, 3, CHANNELS), fm.mlp(2, 256, 3, CHANNELS)
    size, ops = ternary["model_bytes"], ternary["bitops_per_pixel"]
    note = f"{16 * fm.macs(layers):,} weights, 5 to a byte, without the layers' scales"
    yield _counted("ternary size", size, fm.ternary_bytes(layers, 16), "KB", 10, note)
    value, note = fm.bitops(bare, 1, 8, networks=16), "2 inputs, 1-bit weights, 8-bit activations"
    yield _counted("ternary BitOps", ops, value, "M", 1e4, note)
    item, note = (
        "ternary BitOps of the network as sized",
        "the printed size counts 30 inputs, not 2",
    )
    value = fm.bitops(layers, 1, 8, networks=16)
    yield _counted(item, ops, value, "M", 1e4, note, "inconsistent")

    size, ops = siren["model_bytes"], siren["bitops_per_pixel"]
    value = fm.bitops(bare, 32, 32)
    note = f"3 hidden layers of 256, 32 bits; {value:,}, cut"
    yield _counted("SIREN BitOps", ops, value, "M", 1e5, note)
    sizes = {
        f"{width} x {hidden} in {unit}": fm.float32_bytes(fm.mlp(2, width, hidden, CHANNELS)) / by
        for width, hidden in ((256, 3), (256, 4), (256, 5), (512, 5))
        for unit, by in (("MB", 1), ("MiB", 2**20 / 1e6))
    }
    nearest = min(sizes, key=lambda name: abs(sizes[name] - size))
    note = f"nearest: {nearest}"
    yield _counted("SIREN size", size, sizes[nearest], "M bytes", 1e4, note)
    item, note = "SIREN size of the network whose BitOps are printed", "3 hidden layers of 256"
    value = fm.float32_bytes(bare)
    yield _counted(item, size, value, "M bytes", 1e4, note, "inconsistent")


def _counted(item, printed, value, unit, step, note, otherwise="differs") -> Finding:
    """A cell of Table 4; `step` is one unit of its last printed digit."""
    scale = 1e3 if unit == "KB" else 1e6
    digits = round(math.log10(scale / step))
    pair = [f"{number / scale:.{digits}f} {unit}" for number in (printed, value)]
    verdict = _verdict(bound.agrees(value, printed, step), otherwise)
    return Finding(item, "Table 4", *pair, verdict, note)


def _expansion(published: dict) -> Iterator[Finding]:
    for target in (16, 12):
        cells, where = published["table5"][f"8to{target}"], f"Table 5, 8 to {target}"
        x = np.arange(256)
        apart = abs(rules.ideal_gain(x, 8, target) - rules.bit_replication(x, 8, target)).max()
        gain, replication = cells["ideal_gain"][0], cells["bit_replication"][0]
        # Triangle inequality: two RMSE lie no further apart than the two functions do.
        low, high = sorted((gain, replication))
        gap = fm.implied_rmse(low + 0.005, target) - fm.implied_rmse(high - 0.005, target)
        yield Finding(
            "ideal gain against bit replication",
            where,
            f"{gain:.2f} / {replication:.2f} dB",
            f"at most {apart} grey levels apart",
            _verdict(gap <= apart, "inconsistent"),
            f"as both are defined, over all 256 inputs; the printed RMSE: {max(gap, 0):.1f} apart",
        )
        # None of these depends on the kept bits, so they hold for any image of uniform low bits.
        rows = [
            ("zero padding", "zero_padding", fm.expansion_psnr(rules.zero_padding, 8, target)),
            ("the method as random low bits", "bitplane", fm.random_bits_psnr(8, target)),
            ("the method as a midpoint", "bitplane", fm.expansion_psnr(rules.midpoint, 8, target)),
        ]
        for item, key, value in rows:
            printed = cells[key][0]
            verdict = _verdict(abs(value - printed) <= THEORY_TOLERANCE)
            note = f"uniform low bits: {value - printed:+.2f} dB"
            yield Finding(item, where, f"{printed:.2f} dB", f"{value:.2f} dB", verdict, note)


def _rates(published: dict) -> Iterator[Finding]:
    for name, rates in published["table6"].items():
        printed = PERCENT[name]
        computed = {codec: round(100 * (rates[codec] / rates[OURS] - 1)) for codec in printed}
        pair = [", ".join(f"{k} {v:+d} %" for k, v in row.items()) for row in (printed, computed)]
        item = f"codecs relative to ours, {name}"
        verdict = _verdict(printed == computed)
        yield Finding(item, "Table 6", *pair, verdict, "bits per pixel over those of ours")
        best = min(rates, key=rates.get)
        yield Finding(
            f"superior to existing codecs, {name}",
            "Table 6",
            f"{OURS} {rates[OURS]:.2f} bpp",
            f"{best} {rates[best]:.2f} bpp",
            _verdict(best == OURS, "inconsistent"),
            "the smallest rate of the row",
        )
    rates = [row[0] for rows in published["table7"].values() for row in rows.values()]
    for pixels in (28**2, 32**2):
        whole = sum(fm.whole_blocks(rate, pixels) for rate in rates)
        yield Finding(
            f"rates as whole {fm.BLOCK_BITS}-bit blocks over {pixels} pixels",
            "Table 7",
            ", ".join(f"{rate:.2f}" for rate in rates) + " bpp",
            f"{whole} of {len(rates)}",
            _verdict(whole == len(rates)),
            # The printed rounding covers this share of the way from one block to the next.
            f"suggestive only: {0.01 * pixels / fm.BLOCK_BITS:.0%} of all rates would pass",
        )
