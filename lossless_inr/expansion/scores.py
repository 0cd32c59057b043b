"""Every expansion of every image, scored against the whole image: a row per image and method."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd

from lossless_inr.datasets.table import whole_name
from lossless_inr.expansion.readings import (
    assemble,
    from_planes,
    from_values,
    neighbour_shares,
    posterior_shares,
)
from lossless_inr.expansion.rules import RULES, expand, split
from lossless_inr.expansion.targets import expansion_name, targets_of
from lossless_inr.fitting.record import Record
from lossless_inr.metrics import count_errors, psnr, ssim
from lossless_inr.signals import Signal

# Draws of the random low bits of each image: one alone scatters by some hundredths of a dB.
DRAWS = 5
METHOD = ["network", "representation", "variant", "recipe", "budget"]
COLUMNS = [
    *("signal", "expansion", "bits", "target", "method", "estimate", "seed", "spec_digest"),
    *(*METHOD, "status", "squared_error", "samples", "psnr", "ssim", "reason"),
]


def _seed(*axes) -> int:
    """Seed of named axes, the same on every machine."""
    return int.from_bytes(hashlib.sha256(repr(axes).encode()).digest()[:8], "big")


def _row(truth: np.ndarray, found: np.ndarray, target: int) -> dict:
    error = int(count_errors(found, truth))
    return {
        "squared_error": error,
        "samples": truth.size,
        "psnr": psnr(error, truth.size, target),
        "ssim": ssim(found, truth, target),
        "reason": "",
    }


def score_rules(whole: Signal, bits: int, target: int) -> list[dict]:
    """Rows of every rule on one image; of random bits one for each draw.

    `neighbours` is no rule of single samples: the posterior mean by the four neighbours, which
    says what is to be had without any network.
    """
    truth, known = split(whole.samples, whole.bits, bits, target, whole.name)
    facts = {
        "signal": whole.name,
        "expansion": expansion_name(bits, target),
        "bits": bits,
        "target": target,
        "estimate": "rule",
    }
    draws = [(rule, 0) for rule in RULES] + [("random_bits", draw) for draw in range(DRAWS)]
    rows = []
    for rule, draw in draws:
        seed = _seed(whole.name, bits, target, draw)
        found = expand(rule, known, bits, target, seed=seed)
        rows.append(facts | {"method": rule, "seed": draw} | _row(truth, found, target))
    step = 1 << (target - bits)
    shares = posterior_shares(neighbour_shares(known))
    found = assemble(known, shares * step - 0.5, step)
    return [*rows, facts | {"method": "neighbours", "seed": 0} | _row(truth, found, target)]


def score_fit(fit, record: Record, weights: Path, whole: Signal) -> list[dict]:
    """Rows of one fit: each depth it answers, each way to read its outputs.

    The kept planes are those of the input, whatever the fit made of them: they are known.

    Parameters
    ----------
    fit : namedtuple
        Its row of the table of fits.
    record : Record
    weights : Path
    whole : Signal
        The image whose top bits were fitted.

    Raises
    ------
    UserError
        If the fit answers no expansion, or its weights cannot be read.
    """
    from lossless_inr.expansion.query import low_probabilities, values  # torch

    spec, rows = record.spec, []
    facts = {name: getattr(fit, name) for name in ("spec_digest", *METHOD, "status", "seed")}
    failed = record.status == "failed"
    levels = values(record, weights) if spec.representation == "direct" and not failed else None
    for target in targets_of(spec, whole.bits):
        truth, known = split(whole.samples, whole.bits, spec.bits, target, whole.name)
        here = facts | {
            "signal": whole.name,
            "expansion": expansion_name(spec.bits, target),
            "bits": spec.bits,
            "target": target,
            "method": spec.method,
        }
        if failed:
            rows.append(here | {"estimate": "none", "reason": "failed: no network to ask"})
            continue
        if levels is not None:
            found = from_values(levels, known, spec.bits, target)
        else:
            found = from_planes(low_probabilities(record, weights, target), known)
        rows += [here | {"estimate": k} | _row(truth, v, target) for k, v in found.items()]
    return rows


def score(fits: pd.DataFrame, results: Path, prepared: Path) -> pd.DataFrame:
    """Every fit, and the rules on the same images at the same depths.

    Parameters
    ----------
    fits : DataFrame
        Rows of the table of fits, of signals `<image>-top<q>`.
    results, prepared : Path
        `results/<scale>` and `data/prepared`.

    Returns
    -------
    DataFrame
        `COLUMNS`. `signal` is the whole image; `estimate` is `rule`, `threshold`, `expected`,
        `value`, `posterior`, or `none` for a fit that failed.

    Raises
    ------
    UserError
        If an image has nothing to expand, a fit nothing to ask, or a file cannot be read.
    """
    images: dict[str, Signal] = {}
    rows, ruled = [], set()
    for fit in fits.itertuples(index=False):
        name = whole_name(fit.signal)
        if name not in images:
            images[name] = Signal.load(prepared / f"{name}.npz")
        record = Record.load(results / fit.folder / "record.json")
        weights = results / fit.folder / "weights.safetensors"
        found = score_fit(fit, record, weights, images[name])
        for one in found:
            key = (name, one["bits"], one["target"])
            if key not in ruled:
                ruled.add(key)
                rows += score_rules(images[name], *key[1:])
        rows += found
    return pd.DataFrame(rows, columns=COLUMNS).astype({"budget": "Int64"})
