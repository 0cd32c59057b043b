"""Weights of few bits in a table: bytes as stored, bit operations, and what is left out."""

import math

import pandas as pd
import pytest

from lossless_inr.analysis.precision import precision_rows

# The printed network: 16 of 30-256-256-256-256-3, of 128x128x3 samples of 16 bits.
MACS = 16 * 205_056


def row(**changes):
    return {
        "shape": "128x128x3", "bits": 16, "method": "ternary+digits", "variant": "",
        "recipe": "ternary",
        "budget": 200_000, "width": 256, "hidden_layers": 3, "weight_bits": 1.58,
        "activation_bits": 16.0, "weight_bytes": 656_544, "samples": 128 * 128 * 3,
        "macs_per_row": MACS, "rows": 128 * 128, "status": "lossless", "verified": True,
        "iterations": 80_000, "exactness": "exact", "ber": 0.0, "signal": "set/128x128/a",
    } | changes  # fmt: skip


def rows(*fits):
    return precision_rows(pd.DataFrame(fits).astype({"verified": "boolean"}))


def test_the_printed_network_has_its_printed_operations():
    (found,) = rows(row())
    assert found.bitops_printed == 52_494_336  # 50.66M counts 2 inputs for 30; see the audit
    assert found.bitops == pytest.approx(2 * MACS * math.log2(3) * 17)
    assert found.of_raw == pytest.approx(656_544 / 98_304)
    assert (found.fits, found.lossless, found.verified) == (1, 1, 1)


def test_a_bit_coordinate_costs_a_pass_for_each_plane_and_float_weights_32_bits():
    plane = row(macs_per_row=100, rows=16 * 128 * 128)
    whole = row(macs_per_row=1000, weight_bits=32.0, activation_bits=32.0)
    low, high = rows(plane, whole)
    assert low.bitops_printed == 2 * 1600 * 8
    assert high.bitops == high.bitops_printed == 2 * 1000 * 32 * 32


def test_fits_of_a_method_are_one_row_and_what_failed_is_not_hidden():
    lost = row(status="budget_exhausted", verified=None, ber=0.2, signal="set/128x128/b")
    (found,) = rows(row(), lost)
    assert (found.fits, found.lossless, found.ber) == (2, 1, 0.1)
    assert "1 of 2" in found.iterations


def test_variants_of_a_method_are_rows_of_their_own():
    three = row(variant="weight_bits=3", weight_bits=3.0, iterations=9)
    assert [one.variant for one in rows(row(), three)] == ["", "weight_bits=3"]


def test_tables_of_float32_weights_have_no_such_part():
    assert rows(row(weight_bits=32.0)) == []
    assert precision_rows(pd.DataFrame([{"signal": "a"}])) == []
