import copy
import json
import subprocess
import sys

import numpy as np
import pytest

from lossless_inr.analysis import formulas as fm
from lossless_inr.analysis.audit import audit
from lossless_inr.expansion import rules
from lossless_inr.published import load_published

VERDICTS = {"reproduces", "differs", "inconsistent"}


@pytest.fixture
def published():
    return copy.deepcopy(load_published())


@pytest.fixture(scope="module")
def table():
    return audit(load_published())


def line(frame, item, where=""):
    """The one line of this item, in the table whose name begins with `where`."""
    found = frame[(frame["item"] == item) & frame["where"].str.startswith(where)]
    assert len(found) == 1, item
    return found.iloc[0]


def set_cell(data, path, value):
    *inner, last = path
    for key in inner:
        data = data[key]
    data[last] = value


# ---- formulas, against numbers worked out apart from the code ------------------------------------


def test_macs_and_bytes_of_the_networks():
    assert fm.macs(fm.mlp(3, 512, 5, 3)) == 1_313_792
    assert fm.macs(fm.mlp(2, 512, 5, 3)) == 1_313_280
    assert fm.macs(fm.mlp(2, 256, 3, 3)) == 197_888
    assert fm.float32_bytes(fm.mlp(3, 512, 5, 3)) == 4 * 1_316_867
    assert fm.float32_bytes(fm.mlp(2, 256, 5, 3)) == 4 * 330_499


def test_ternary_size_is_five_weights_to_a_byte():
    assert fm.macs(fm.mlp(30, 256, 3, 3)) == 205_056
    assert fm.ternary_bytes(fm.mlp(30, 256, 3, 3), 16) == 656_180  # 656 179.2, in whole bytes
    assert [fm.ternary_bytes([(1, n)], 1) for n in (5, 6)] == [1, 2]


def test_bitops():
    bare = fm.mlp(2, 256, 3, 3)
    assert fm.bitops(bare, 1, 8, networks=16) == 50_659_328
    assert fm.bitops(bare, 32, 32) == 405_274_624
    assert fm.bitops(fm.mlp(30, 256, 3, 3), 1, 8, networks=16) == 52_494_336


@pytest.mark.parametrize(("inputs", "planes", "tera"), [(2, 1, 0.516), (3, 8, 4.13), (3, 16, 8.27)])
def test_cost_of_a_step(inputs, planes, tera):
    flops = fm.flops_per_step(fm.mlp(inputs, 512, 5, 3), planes * 256 * 256)
    assert flops / 1e12 == pytest.approx(tera, rel=2e-3)


@pytest.mark.parametrize(("planes", "giga"), [(1, 1.6), (8, 12.9), (16, 25.8)])
def test_saved_activations(planes, giga):
    assert fm.saved_activation_bytes(512, 6, planes * 65536) / 1e9 == pytest.approx(giga, abs=0.05)


def test_psnr_and_rmse_imply_each_other():
    assert fm.implied_psnr(6.4222, 16) == pytest.approx(80.18, abs=0.005)
    assert fm.implied_psnr(1.0, 8) == pytest.approx(48.13, abs=0.005)
    assert fm.implied_rmse(48.13, 8) == pytest.approx(1.0, abs=1e-3)


def test_ideal_gain_and_replication_are_both_257_x_from_8_to_16():
    x = np.arange(256)
    assert np.array_equal(rules.ideal_gain(x, 8, 16), 257 * x)
    assert np.array_equal(rules.bit_replication(x, 8, 16), 257 * x)


def test_ideal_gain_and_replication_from_8_to_12():
    x = np.array([0, 1, 15, 16, 255])
    assert rules.bit_replication(x, 8, 12).tolist() == [0, 16, 240, 257, 4095]
    assert rules.ideal_gain(x, 8, 12).tolist() == [0, 16, 241, 257, 4095]
    every = np.arange(256)
    assert abs(rules.ideal_gain(every, 8, 12) - rules.bit_replication(every, 8, 12)).max() == 1


@pytest.mark.parametrize(
    ("rule", "target", "decibels"),
    [
        (rules.zero_padding, 16, 52.96),
        (rules.zero_padding, 12, 53.35),
        (rules.ideal_gain, 16, 55.95),
        (rules.midpoint, 16, 58.96),
        # Mean square of -8 .. 7 is 21.5. A midpoint of 7.5 would have 21.25, 58.97 dB.
        (rules.midpoint, 12, 58.92),
    ],
)
def test_psnr_of_the_rules(rule, target, decibels):
    assert fm.expansion_psnr(rule, 8, target) == pytest.approx(decibels, abs=0.01)


@pytest.mark.parametrize(("target", "decibels"), [(16, 55.95), (12, 55.96)])
def test_psnr_of_random_low_bits(target, decibels):
    assert fm.random_bits_psnr(8, target) == pytest.approx(decibels, abs=0.01)


def test_rates_as_blocks():
    rates = (2.58, 6.11, 4.20, 9.06)
    assert [fm.whole_blocks(rate, 784) for rate in rates] == [False, False, True, True]
    assert [fm.whole_blocks(rate, 1024) for rate in rates] == [True] * 4
    assert fm.whole_blocks(165 * 16 / 1024, 1024, quantum=0.0)


# ---- the audit -----------------------------------------------------------------------------------


def test_the_audit_is_a_table_of_text_without_duplicates(table):
    columns = ["item", "where", "printed", "recomputed", "verdict", "note"]
    assert list(table.columns) == columns
    assert set(table.verdict) == VERDICTS
    assert table.map(lambda cell: isinstance(cell, str) and cell != "").all(axis=None)
    assert not table.duplicated(["item", "where"]).any()


# item | where | printed | recomputed | verdict
LINES = """\
U_2(2)/C | Table 3 | 1300 | 1,296 | reproduces
U_5(8)/C | main text | 1.23e+27 | 1.19e+27 | differs
PSNR from RMSE, all other pairs | Table 1 | 24 pairs | 23 agree | reproduces
PSNR from RMSE, wire on testimages | Table 1 | 45.36 dB | 45.22 dB | differs
PSNR from RMSE, recombiner on mnist | Table 7 | 48.60 dB | 48.62 dB | differs
iterations to lossless on Kodak | Tables | 778 / 790 / 790 | one value | inconsistent
full 16-bit batch on one stated card | section | 24 GB | 25.8 GB (24.00 GiB) | inconsistent
ternary size | Table 4 | 656.18 KB | 656.18 KB | reproduces
ternary BitOps | Table 4 | 50.66 M | 50.66 M | reproduces
ternary BitOps of the network as sized | Table 4 | 50.66 M | 52.49 M | inconsistent
SIREN BitOps | Table 4 | 405.2 M | 405.3 M | reproduces
SIREN size | Table 4 | 1.27 M bytes | 1.26 M bytes | differs
zero padding | Table 5, 8 to 16 | 52.92 dB | 52.96 dB | reproduces
zero padding | Table 5, 8 to 12 | 53.31 dB | 53.35 dB | reproduces
the method as random low bits | Table 5, 8 to 16 | 55.92 dB | 55.95 dB | reproduces
the method as random low bits | Table 5, 8 to 12 | 55.94 dB | 55.96 dB | reproduces
the method as a midpoint | Table 5, 8 to 16 | 55.92 dB | 58.96 dB | differs
the method as a midpoint | Table 5, 8 to 12 | 55.94 dB | 58.92 dB | differs
superior to existing codecs, mnist | Table 6 | ours 2.58 bpp | webp 2.11 bpp | inconsistent
superior to existing codecs, fashion_mnist | Table 6 | ours 6.11 bpp | png 5.78 bpp | inconsistent
"""


@pytest.mark.parametrize("text", LINES.splitlines())
def test_lines(table, text):
    item, where, *cells = text.split(" | ")
    found = line(table, item, where)
    printed = found.printed.replace("recombiner+bitplane", "ours")
    assert [printed, found.recomputed, found.verdict] == cells


def test_iterations_are_not_proportional_to_the_bound(table):
    found = line(table, "iterations proportional to the bound")
    assert found.printed == "1,233 / 1,288 / 3,852"
    assert found.recomputed == "1,233 / 99,873 / 62,420,625"
    assert found.verdict == "inconsistent"


def test_a_mean_psnr_cannot_exceed_that_of_one_wrong_bit(table):
    found = line(table, "SIREN's PSNR on Kodak as a mean of finite values")
    assert (found.printed, found.recomputed) == ("102.8 dB", "at most 101.07 dB")
    assert found.verdict == "inconsistent"
    assert "0.67 wrong lowest bits" in found.note


@pytest.mark.parametrize(("target", "apart"), [(16, 0), (12, 1)])
def test_ideal_gain_and_replication_are_printed_too_far_apart(table, target, apart):
    found = line(table, "ideal gain against bit replication", f"Table 5, 8 to {target}")
    assert found.recomputed == f"at most {apart} grey levels apart"
    assert found.verdict == "inconsistent"


@pytest.mark.parametrize(
    ("pixels", "whole", "verdict"), [(784, "2 of 4", "differs"), (1024, "4 of 4", "reproduces")]
)
def test_rates_are_whole_blocks_over_1024_pixels_only(table, pixels, whole, verdict):
    found = line(table, f"rates as whole 16-bit blocks over {pixels} pixels")
    assert (found.recomputed, found.verdict) == (whole, verdict)


def test_percentages_of_table_6_reproduce(table):
    for name in ("mnist", "fashion_mnist"):
        assert line(table, f"codecs relative to ours, {name}").verdict == "reproduces"


def test_a_bit_plane_step_costs_n_baseline_steps(table):
    for bits, iterations in ((8, 6320), (16, 55_200)):
        found = line(table, f"iterations at {bits} bits in baseline iterations of equal cost")
        assert float(found.recomputed.replace(",", "")) == pytest.approx(iterations, rel=1e-3)
        assert found.verdict == "differs"


def test_the_nearest_shape_is_named(table):
    assert line(table, "SIREN size").note == "nearest: 256 x 5 in MiB"


# where the cell is | what it is altered to | item | where | verdict (= reproduces, ! inconsistent)
ALTERED = """\
table3 0 upper_bound_over_c | 64 | U_2(1)/C | Table 3 | differs
table1 kodak siren 0 | 47.38 | PSNR from RMSE, siren on kodak | Table 1 | differs
table1 fivek finer 2 | 3.2 | PSNR from RMSE, finer on fivek | Table 1 | differs
table1 testimages wire 0 | 45.22 | PSNR from RMSE, all pairs | Table 1 | reproduces
table7 mnist recombiner 3 | 0.947 | PSNR from RMSE, all pairs | Table 7 | reproduces
table3 3 psnr | 101.0 | SIREN's PSNR on Kodak as a mean of finite values | Table 3 | reproduces
table3 4 iterations mean | 790 | iterations to lossless on Kodak | Tables | reproduces
table8 h,w,bit | 778 | iterations to lossless on Kodak | Tables | reproduces
setup hardware | "25 GB" | full 16-bit batch on one stated card | section | reproduces
table4 ternary model_bytes | 647980.0 | ternary size | Table 4 | differs
table4 ternary bitops_per_pixel | 50.64e6 | ternary BitOps | Table 4 | differs
table4 ternary bitops_per_pixel | 52.49e6 | ternary BitOps of the network as sized | Table 4 | =
table4 siren bitops_per_pixel | 405.4e6 | SIREN BitOps | Table 4 | differs
table4 siren model_bytes | 1.26e6 | SIREN size | Table 4 | reproduces
table5 8to16 bit_replication 0 | 55.91 | ideal gain against bit replication | Table 5, 8 to 16 | =
table5 8to16 bit_replication 0 | 55.904 | ideal gain against bit replication | Table 5, 8 to 16 | =
table5 8to16 bit_replication 0 | 55.89 | ideal gain against bit replication | Table 5, 8 to 16 | !
table5 8to12 bit_replication 0 | 55.00 | ideal gain against bit replication | Table 5, 8 to 12 | =
table5 8to12 zero_padding 0 | 53.0 | zero padding | Table 5, 8 to 12 | differs
table5 8to16 bitplane 0 | 58.9 | the method as a midpoint | Table 5, 8 to 16 | reproduces
table6 mnist png | 3.60 | codecs relative to ours, mnist | Table 6 | differs
table6 fashion_mnist png | 6.20 | superior to existing codecs, fashion_mnist | Table 6 | reproduces
table7 mnist recombiner+bitplane 0 | 2.6 | rates as whole 16-bit blocks over 1024 pixels | | differs
"""


@pytest.mark.parametrize("text", ALTERED.splitlines())
def test_the_verdict_follows_the_printed_cell(published, text):
    path, value, item, where, verdict = (part.strip() for part in text.split("|"))
    set_cell(published, [int(k) if k.isdigit() else k for k in path.split()], json.loads(value))
    verdict = {"=": "reproduces", "!": "inconsistent"}.get(verdict, verdict)
    assert line(audit(published), item, where).verdict == verdict


def test_proportional_iterations_would_reproduce(published):
    for row, iterations in zip(published["table3"], (10, 810, 506_250), strict=False):
        row["iterations"] = {"mean": iterations, "std": 1}
    assert line(audit(published), "iterations proportional to the bound").verdict == "reproduces"


def test_the_audit_needs_no_torch():
    code = "import sys, lossless_inr.analysis.audit; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
