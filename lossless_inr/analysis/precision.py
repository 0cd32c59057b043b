"""What weights of few bits cost and reach: bytes as stored, bit operations, iterations (Table 4).

Bytes are those of the tensors of the file that was verified, packed codes and their steps, not of a
formula; the formulas that reproduce the printed sizes are in `analysis.formulas` and the audit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from lossless_inr.analysis.formulas import bitops_of
from lossless_inr.experiments.tables import iterations_text

TERNARY = 1.58  # `networks._lowbit.TERNARY`; this module imports no torch
# What the paper counts a ternary product as.
PRINTED_WEIGHT_BITS, PRINTED_ACTIVATION_BITS = 1, 8
METHOD = [
    "shape",
    "bits",
    "method",
    "variant",
    "recipe",
    "budget",
    "width",
    "hidden_layers",
    "weight_bits",
]


@dataclass(frozen=True)
class PrecisionRow:
    """Fits of one method and precision on data of one shape.

    Attributes
    ----------
    method, variant, recipe, shape : str
    bits, budget, width, hidden_layers : int
    weight_bits : float
        1.58 for ternary weights, 32 for float32.
    fits, lossless, verified : int
    iterations : str
        To lossless; see `experiments.tables.iterations_text`.
    ber : float
        At the best iteration, mean.
    weight_bytes : float
        Of the stored tensors.
    of_raw : float
        The same over the bytes of the raw samples.
    bitops, bitops_printed : float
        Bit operations per position of the signal, all planes: with log2(3) bits of a ternary weight
        and the activations' bits with their sign; and as the paper counts ternary products, 1 bit
        times 8.
    """

    method: str
    variant: str
    recipe: str
    shape: str
    bits: int
    budget: int
    width: int
    hidden_layers: int
    weight_bits: float
    fits: int
    lossless: int
    verified: int
    iterations: str
    ber: float
    weight_bytes: float
    of_raw: float
    bitops: float
    bitops_printed: float


def precision_rows(fits: pd.DataFrame) -> list[PrecisionRow]:
    """Every method of a table that has fits with weights of few bits; none where all are float32.

    Parameters
    ----------
    fits : DataFrame
        The table of fits (see `experiments.tables.row_of`).
    """
    if "weight_bits" not in fits or (fits.weight_bits == 32).all():
        return []
    rows = []
    ran = fits[fits.weight_bytes.notna()]
    for values, group in ran.groupby(METHOD, sort=False):
        row = dict(zip(METHOD, values, strict=True))
        first = group.iloc[0]
        positions = first.samples / int(row["shape"].split("x")[-1])
        macs = first.macs_per_row * first.rows / positions
        ternary = row["weight_bits"] == TERNARY
        weight = math.log2(3) if ternary else row["weight_bits"]
        activation = first.activation_bits + (first.activation_bits < 32)
        printed = (PRINTED_WEIGHT_BITS, PRINTED_ACTIVATION_BITS) if ternary else (weight, 32)
        rows.append(
            PrecisionRow(
                **row,
                fits=len(group),
                lossless=int((group.status == "lossless").sum()),
                verified=int(group.verified.fillna(False).sum()),
                iterations=iterations_text(group),
                ber=float(group.ber.mean()),
                weight_bytes=float(group.weight_bytes.mean()),
                of_raw=float(group.weight_bytes.mean() / (first.samples * row["bits"] / 8)),
                bitops=bitops_of(macs, weight, activation),
                bitops_printed=bitops_of(macs, *printed),
            )
        )
    return rows
