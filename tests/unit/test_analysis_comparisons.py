"""Methods within two budgets, on small made-up fits and curves."""

import math

import numpy as np
import pandas as pd
import pytest

from lossless_inr.analysis import comparisons as c
from lossless_inr.analysis import matched, methods
from lossless_inr.analysis import verdicts as v
from lossless_inr.analysis.statistics import FEWEST_PAIRS, Paired

PLANES = ("siren", "bitplane", "", "published")
COUNT = 0


def fit(**changes):
    """A lossless bit-plane fit of 8 passes an iteration, 10 FLOPs a pass."""
    global COUNT
    COUNT += 1
    row = {
        **{"signal": "a", "kind": "photo", "bits": 8, "shape": "8x8x3", "network": "siren"},
        **{"representation": "bitplane", "variant": "", "recipe": "published", "width": 64},
        **{"label": "SIREN", "seed": 0, "status": "lossless", "verified": True, "budget": 4000},
        **{"iterations": 999, "seconds": 2.0, "samples": 192, "best_wrong_bits": 0},
        **{"best_squared_error": 0, "rmse_last": 0.0, "ber": 0.0, "ber_last": 0.0},
        **{"spec_digest": f"{COUNT:064d}", "folder": f"f{COUNT}"},
    }
    row |= changes
    passes = {"bitplane": 8, "bitchannel": 24}.get(row["representation"], 1)
    row.setdefault("flops", 10 * passes * (row["iterations"] + 1))
    row.setdefault("samples_seen", 64 * passes * (row["iterations"] + 1))
    return row


def direct(iterations=6000, **changes):
    values = {"representation": "direct", "status": "budget_exhausted", "verified": None}
    values |= {"iterations": iterations, "budget": iterations, "best_squared_error": 192}
    return fit(**values | {"ber": 0.1, "ber_last": 0.2, "rmse_last": 1.0} | changes)


def table(*rows):
    types = {"best_squared_error": "Int64", "verified": "boolean"}
    return pd.DataFrame(rows).astype(types)


def falling(fit):
    """From 0.5 in a line to 0, or to the fit's best."""
    end = 0.0 if fit.status == "lossless" else fit.ber
    return np.linspace(0.5, end, int(fit.iterations) + 1)


def against(*rows, best=falling):
    ((_, group),) = methods.groups(table(*rows))
    return c.against(group, PLANES, best)


# --- the two budgets ------------------------------------------------------------------------


def test_the_best_so_far_never_rises():
    curve = pd.DataFrame({"iteration": range(4), "plane_0": [8, 4, 6, 2], "plane_1": [0, 0, 0, 0]})
    assert c.best_so_far(curve, samples=8, bits=2).tolist() == [0.5, 0.25, 0.25, 0.125]


def test_a_baseline_is_looked_up_at_the_papers_iterations():
    (pair,) = against(fit(), direct(iterations=6000, ber=0.0))
    # 1,000 of 6,000 iterations along the line from 0.5 to 0.
    assert pair.ber_paper == pytest.approx((0.5 * 5 / 6, 0.0))
    assert pair.ahead_paper == c.REFERENCE


def test_equal_flops_are_those_that_both_had():
    # 1,000 iterations of 8 passes cost as much as 8,000 of one: beyond the 6,001 that were given.
    (pair,) = against(fit(), direct(iterations=6000, ber=0.1))
    at = math.floor(6001 / 8 + 1e-6) - 1
    assert pair.ber_flops == pytest.approx((0.1, 0.5 * (1 - at / 999)))
    assert pair.ahead_flops == c.METHOD_AHEAD
    assert pair.survives == c.REVERSED


def test_a_fit_that_ends_lossless_is_ahead_at_the_flops_it_took():
    (pair,) = against(fit(), direct(status="lossless", iterations=1999, budget=6000, ber=0.0))
    assert pair.ber_flops[0] == 0 and pair.ber_flops[1] > 0
    assert pair.cost.smaller == 1


def test_both_lossless_are_told_apart_by_their_iterations():
    head = fit(representation="bithead", recipe="fast", iterations=49)
    (pair,) = against(fit(), head)
    assert pair.paper.ties == 1 and pair.ahead_paper == c.METHOD_AHEAD
    assert pair.survives == c.YES


def test_a_decaying_rate_says_nothing_of_a_shorter_budget():
    (pair,) = against(fit(), direct(recipe="tuned"))
    assert pair.paper is None and pair.ber_paper is None and pair.p_paper is None
    assert pair.survives == c.UNDECIDED
    (short,) = against(fit(), direct(recipe="tuned", iterations=800))
    assert short.paper is not None


def test_seeds_are_averaged_within_a_signal_first():
    seeds = [direct(iterations=900, seed=k, ber=ber) for k, ber in enumerate((0.1, 0.3))]
    (pair,) = against(fit(), *seeds, best=lambda f: np.full(int(f.iterations) + 1, f.ber))
    assert pair.n == 1
    assert pair.ber_paper[0] == pytest.approx(0.2)


def test_only_common_signals_and_equal_widths_are_compared():
    rows = fit(), fit(signal="b"), direct(), direct(signal="c"), direct(width=32)
    (pair,) = against(*rows)
    assert pair.n == 1 and len(pair.evidence) == 2
    assert against(fit(), direct(signal="c")) == []
    assert against(direct()) == []


def test_of_fits_that_differ_in_budget_only_the_longest_counts():
    short = direct(iterations=400, ber=0.4)
    (pair,) = against(fit(), fit(budget=400, status="budget_exhausted"), short, direct())
    assert len(pair.evidence) == 2
    assert short["spec_digest"] not in pair.evidence


# --- who is ahead ---------------------------------------------------------------------------


def test_below_six_signals_all_must_agree_and_there_is_no_p():
    rows = [r for s in "abc" for r in (fit(signal=s), direct(signal=s, iterations=900))]
    (pair,) = against(*rows)
    assert (pair.p_paper, pair.ahead_paper) == (None, c.REFERENCE)
    assert c.ahead(Paired(2, 1, 0, 0, None), None) == c.MIXED
    assert c.ahead(Paired(2, 0, 0, 1, None), None) == c.MIXED


def test_from_six_signals_on_it_is_holms_p():
    names = [f"s{k}" for k in range(FEWEST_PAIRS)]
    rows = [
        r
        for k, s in enumerate(names)
        for r in (
            fit(signal=s),
            direct(signal=s, iterations=900, ber=0.1 + k / 100),
            direct(signal=s, iterations=900, ber=0.2 + k / 100, network="wire"),
        )
    ]
    pairs = against(*rows)
    raw = 2 / 2**FEWEST_PAIRS
    assert [pair.paper.p for pair in pairs] == pytest.approx([raw, raw])
    assert [pair.p_paper for pair in pairs] == pytest.approx([2 * raw, 2 * raw])
    assert c.ahead(pairs[0].paper, 0.2) == c.MIXED
    assert c.ahead(pairs[0].paper, 0.03) == c.REFERENCE


def test_an_order_survives_is_reversed_or_is_not_decided():
    assert c.survives(c.REFERENCE, c.REFERENCE) == c.YES
    assert c.survives(c.REFERENCE, c.METHOD_AHEAD) == c.REVERSED
    assert c.survives(c.MIXED, c.REFERENCE) == c.survives(c.REFERENCE, c.TIE) == c.UNDECIDED
    assert c.survives(None, c.REFERENCE) == c.UNDECIDED


# --- methods over signals -------------------------------------------------------------------


def test_methods_are_summarised_over_signals():
    ((_, group),) = methods.groups(
        table(
            *(fit(signal=s, iterations=n) for s, n in (("a", 800), ("b", 1000))),
            *(direct(signal=s, iterations=1000) for s in "ab"),
        )
    )
    planes, values = methods.summarise_methods(group)
    assert (planes.lossless, values.lossless) == (2, 0)
    assert planes.times["iterations"].mean == 900
    assert values.times["iterations"].median is None and values.times["iterations"].mean is None
    assert values.times["samples_seen"].bound == 64 * 1001
    assert math.isinf(planes.psnr_pooled) and planes.psnr.mean is None
    assert values.psnr_pooled == pytest.approx(10 * math.log10(255**2))
    assert values.psnr_last_pooled == pytest.approx(values.psnr_pooled)
    assert (values.ber.median, values.ber_last.median) == (0.1, 0.2)


def test_failed_fits_are_left_out_and_what_was_not_measured_is_none():
    rows = table(fit(), direct(status="failed"), direct(best_squared_error=None, seconds=None))
    ((_, group),) = methods.groups(rows)
    planes, values = methods.summarise_methods(group)
    assert values.fits == 1 and values.psnr is None and values.times["seconds"] is None
    assert planes.times["seconds"].median == 2.0


# --- claims at equal compute ----------------------------------------------------------------


def test_a_claim_that_holds_as_stated_need_not_survive():
    rows = table(fit(), direct(iterations=1000), direct(iterations=7999, status="lossless"))
    claim = {one.key: one for one in v.verdicts(rows, lambda one: pd.Series([0.4, 0.1]))}
    equal = matched.at_equal_compute(rows)
    assert set(equal) == set(claim)
    assert claim["b"].result == v.HOLDS
    assert equal["b"].result == v.FAILS and equal["b"].survives(claim["b"]) == "no"
    assert equal["c"].survives(claim["c"]) == ""  # it does not hold to begin with
    assert equal["a"].result == matched.NOTHING


def test_iterations_that_grow_with_digits_are_held_against_their_flops():
    def digits(n, iterations):
        variant = "" if n == 1 else f"digit_bits={n}"
        flops = (8 // n) * (iterations + 1)
        return fit(representation="digits", variant=variant, iterations=iterations, flops=flops)

    last = direct(status="lossless", iterations=4999, budget=8000, flops=5000)
    growing = table(digits(1, 299), digits(2, 699), digits(4, 1999), last)
    assert v.grow_with_digits(growing).result == v.HOLDS
    assert matched.at_equal_compute(growing)["d"].result == v.HOLDS  # 2400, 2800, 4000, 5000
    slow = table(digits(1, 299), digits(2, 399), digits(4, 1999), last)
    assert v.grow_with_digits(slow).result == v.HOLDS
    assert matched.at_equal_compute(slow)["d"].result == v.FAILS  # 2400, 1600, 4000, 5000


def test_a_coordinate_for_the_channel_is_held_against_its_flops():
    rows = table(fit(), fit(representation="bitchannel", iterations=499))
    assert v.channel_costs(rows).result == v.FAILS  # half of the iterations
    assert matched.at_equal_compute(rows)["g"].result == v.HOLDS  # three times the passes


@pytest.mark.parametrize(
    ("changes", "result"),
    [
        ({"iterations": 7999, "status": "lossless"}, v.FAILS),
        ({"iterations": 9999, "status": "lossless"}, v.OPEN),
        ({"iterations": 900}, v.OPEN),
    ],
)
def test_a_network_alone_needs_the_flops_of_its_fit_with_bits(changes, result):
    rows = table(fit(network="finer"), direct(network="finer", **changes))
    assert matched.bits_help_others_at_equal_flops(rows).result == result


def test_every_network_alone_at_equal_flops_makes_the_claim_hold():
    rows = [r for n in v.OTHERS for r in (fit(network=n), direct(network=n, iterations=7999))]
    assert matched.bits_help_others_at_equal_flops(table(*rows)).result == v.HOLDS
    assert matched.bits_help_others_at_equal_flops(table(*rows[:2])).result == v.OPEN
    dearer = direct(network="finer", iterations=9999, status="lossless")
    found = matched.bits_help_others_at_equal_flops(table(*rows[:-1], dearer))
    assert found.result == v.HOLDS and rows[-2]["network"] == "finer"
