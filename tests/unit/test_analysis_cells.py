import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossless_inr.analysis.cells import TOLERANCE, Cell, compare, headline
from lossless_inr.analysis.printed import printed_cells
from lossless_inr.analysis.statistics import Summary, summarise_times

INF = math.inf
WHOLE = {"scale": "paper", "n": 24, "expected": 24}


def iterations(mean, std, n=24):
    return Summary(n=n, reached=n, median=mean, bound=None, mean=mean, std=std)


def test_tolerances_are_those_announced():
    assert dataclasses.astuple(TOLERANCE) == (2.0, 0.10, 0.5, 0.002)
    assert TOLERANCE.rmse == pytest.approx(0.0592537)
    with pytest.raises(dataclasses.FrozenInstanceError):
        TOLERANCE.psnr = 3.0


@pytest.mark.parametrize(
    ("metric", "printed", "inside", "outside"),
    [
        ("psnr", 55.03, (55.53, 54.53), (55.54, 54.52)),
        ("ssim", 0.9919, (0.9939, 0.9899), (0.9940, 0.9898)),
        ("ber", 0.1382, (0.15202, 0.12438), (0.15203, 0.12437)),
        # 1.1029 * 1.0592537 = 1.16825 and 1.1029 / 1.0592537 = 1.04120: half a decibel each way.
        ("rmse", 1.1029, (1.1682, 1.0413), (1.1683, 1.0411)),
    ],
)
def test_each_tolerance_at_its_edge(metric, printed, inside, outside):
    for value in inside:
        assert compare(metric, printed, value, **WHOLE).status == "within tolerance", value
    for value in outside:
        assert compare(metric, printed, value, **WHOLE).status == "differs", value


def test_the_difference_is_measured_less_printed():
    got = compare("psnr", 47.28, 46.98, **WHOLE)
    assert got == Cell(47.28, 46.98, pytest.approx(-0.3), "within tolerance", 24, "")


@given(st.floats(30, 60), st.floats(-1, 1))
def test_rmse_and_psnr_of_the_same_errors_get_the_same_verdict(printed, apart):
    if abs(abs(apart) - 0.5) < 1e-6:
        return  # at the edge rounding decides
    values = printed, printed + apart
    as_rmse = [255 / 10 ** (value / 20) for value in values]
    statuses = {compare("psnr", *values, **WHOLE).status, compare("rmse", *as_rmse, **WHOLE).status}
    assert statuses == {"within tolerance" if abs(apart) < 0.5 else "differs"}


@pytest.mark.parametrize(
    ("metric", "lossless", "nearly"),
    [("psnr", INF, 149.27), ("ssim", 1.0, 1 - 1e-12), ("rmse", 0.0, 1e-9), ("ber", 0.0, 1e-9)],
)
def test_lossless_equals_lossless_only(metric, lossless, nearly):
    both = compare(metric, lossless, lossless, **WHOLE)
    assert (both.status, both.difference, both.note) == ("within tolerance", 0.0, "")
    ours = compare(metric, nearly, lossless, **WHOLE)
    assert (ours.status, ours.note) == ("differs", "only the measured one is lossless")
    theirs = compare(metric, lossless, nearly, **WHOLE)
    assert (theirs.status, theirs.note) == ("differs", "only the printed one is lossless")
    assert all(c.difference is None or math.isfinite(c.difference) for c in (ours, theirs))


def test_iterations_within_two_printed_standard_errors():
    # 2 * 109 / sqrt(25) = 43.6; our own deviation would allow 400.
    measured = {"scale": "paper", "n": 25, "expected": 25, "printed_std": 109}
    got = compare("iterations", 790, iterations(833.6, 1000.0, 25), **measured)
    assert (got.status, got.note) == ("within tolerance", "printed deviation, ± 43.6")
    assert compare("iterations", 790, iterations(833.7, 1000.0, 25), **measured).status == "differs"
    assert compare("iterations", 790, iterations(746.4, 1.0, 25), **measured).difference == (
        pytest.approx(-43.6)
    )


def test_without_a_printed_deviation_our_own_decides():
    whole = {"scale": "paper", "n": 4, "expected": 4}
    got = compare("iterations", 1000, summarise_times([800, 1000, 1000, 1240], [0] * 4), **whole)
    # Mean 1010; squares 44100 + 100 + 100 + 52900 = 97200, / 3 = 32400 = 180**2; 2 * 180 / 2.
    assert (got.measured, got.difference, got.status) == (1010.0, 10.0, "within tolerance")
    assert got.note == "our deviation, ± 180"
    far = compare("iterations", 1191, summarise_times([800, 1000, 1000, 1240], [0] * 4), **whole)
    assert far.status == "differs"


def test_without_any_deviation_only_equality_counts():
    one = {"scale": "paper", "n": 1, "expected": 1}
    assert compare("iterations", 80000, iterations(80000.0, None, 1), **one).status == (
        "within tolerance"
    )
    got = compare("iterations", 80000, iterations(79999.0, None, 1), **one)
    assert got.status == "differs" and "only equality" in got.note


def test_seeds_of_one_signal_may_give_the_deviation_but_seeds_of_many_may_not():
    seeds = iterations(79000.0, 2000.0, 4)
    got = compare("iterations", 80000, seeds, scale="paper", n=1, expected=1)
    assert got.status == "within tolerance" and got.n == 1
    with pytest.raises(ValueError, match="72 values for 24"):
        compare("iterations", 790, iterations(790.0, 100.0, 72), **WHOLE)


@pytest.mark.parametrize(
    ("flags", "note"), [([0, 1, 1], "> 1,000 (1 of 3)"), ([0, 0, 1], "790 (2 of 3)")]
)
def test_censored_iterations_have_no_mean_and_differ(flags, note):
    whole = {"n": 3, "expected": 3, "printed_std": 109}
    measured = summarise_times([780, 1000 if flags[1] else 790, 1000], flags)
    got = compare("iterations", 790, measured, scale="paper", **whole)
    assert got == Cell(790, None, None, "differs", 3, note)
    got = compare("iterations", 790, measured, scale="quick", **whole)
    assert got == Cell(790, None, None, "other scale", 3, note)


@pytest.mark.parametrize("scale", ["smoke", "quick", "miniature", "Paper"])
def test_no_other_scale_reproduces_or_contradicts(scale):
    other = {"scale": scale, "n": 2, "expected": 2}
    for value in (55.93, 10.0, INF):
        got = compare("psnr", 55.93, value, **other)
        assert got == Cell(55.93, value, None, "other scale", 2, "")
    got = compare("iterations", 790, iterations(790.0, 1.0, 2), **other)
    assert (got.status, got.measured, got.difference) == ("other scale", 790.0, None)


@pytest.mark.parametrize("scale", ["paper", "quick"])
def test_nothing_is_averaged_over_what_is_missing(scale):
    got = compare("psnr", 55.93, 55.93, scale=scale, n=3, expected=24)
    assert got == Cell(55.93, None, None, "not run", 3, "3 of 24 images run")
    got = compare("iterations", 790, None, scale=scale, n=0, expected=24)
    assert got == Cell(790, None, None, "not run", 0, "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("iterations", 5000, iterations(5000.0, 1.0), {"is_budget": True}), "is a budget"),
        (("bpp", 2.58, 2.58, {}), "no tolerance is stated for 'bpp'"),
        (("psnr", None, 50.0, {}), "prints no psnr"),
        (("psnr", math.nan, 50.0, {}), "prints no psnr"),
        (("psnr", 50.0, math.nan, {}), "no psnr is given"),
        (("psnr", 50.0, None, {}), "no psnr is given"),
        (("iterations", 790, 790.0, {}), "as a Summary"),
        (("psnr", 50.0, 50.0, {"n": 25}), "25 signals run of 24"),
    ],
)
def test_faults_of_the_tables_maker_are_not_cells(arguments, message):
    *cell, more = arguments
    with pytest.raises(ValueError, match=message):
        compare(*cell, **(WHOLE | more))


def test_a_budget_is_refused_even_where_nothing_was_run():
    with pytest.raises(ValueError, match="budget"):
        compare("iterations", 500, None, scale="paper", n=0, expected=24, is_budget=True)


def test_every_printed_cell_can_be_asked_about():
    cells = printed_cells()
    got = [
        compare(c.metric, c.value, None, scale="paper", n=0, expected=24)
        for c in cells.itertuples()
    ]
    assert headline(got) == (
        f"0 of {len(cells)} published cells reproduced; 0 differ; {len(cells)} not run"
    )


def test_headline():
    def cells(status, times):
        return [Cell(1.0, 1.0, 0.0, status, 1)] * times

    some = cells("within tolerance", 12) + cells("differs", 3) + cells("not run", 25)
    assert headline(some) == "12 of 40 published cells reproduced; 3 differ; 25 not run"
    more = cells("differs", 1) + cells("other scale", 2)
    assert headline(more) == (
        "0 of 3 published cells reproduced; 1 differs; 2 at another scale; 0 not run"
    )
    assert headline(iter(some)) == headline(some)
