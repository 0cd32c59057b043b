import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossless_inr.analysis.statistics import (
    Summary,
    holm,
    lossless_count,
    paired_times,
    paired_values,
    per_signal,
    performance_profile,
    pooled_psnr,
    signal_psnr,
    summarise_times,
    summarise_values,
)

INF = math.inf
UNREACHED = 10**9  # stands for "later than anything" where medians are put in order


def fit(signal, iterations, *, status="lossless", budget=1000, seed=0, **more):
    row = {"signal": signal, "seed": seed, "status": status, "method": "siren", "budget": budget}
    row |= {"iterations": iterations, "flops": 1000 * (iterations + 1)}
    return row | {"seconds": 0.5 * (iterations + 1)} | more


def table(*rows):
    return pd.DataFrame(rows).astype({"flops": "Int64"})


def censored(signal, **more):
    return fit(signal, 1000, status="budget_exhausted", **more)


def signals_of(**times):
    """As from `per_signal`; a string such as "1000+" is censored."""
    values = {name: str(time) for name, time in times.items()}
    return pd.DataFrame(
        {
            "time": {name: float(text.rstrip("+")) for name, text in values.items()},
            "censored": {name: text.endswith("+") for name, text in values.items()},
        }
    )


# ---- Kaplan-Meier --------------------------------------------------------------------------------


def test_without_censoring_the_summary_is_the_ordinary_one():
    got = summarise_times([700, 800, 900, 1200], [False] * 4)
    # Squared deviations from 900: 40000 + 10000 + 0 + 90000, over n - 1.
    assert got == Summary(4, 4, 850.0, None, 900.0, pytest.approx(math.sqrt(140000 / 3)))
    assert got.text() == "900 ± 216 (median 850)"


def test_one_signal_has_no_deviation():
    assert summarise_times([790], [False]) == Summary(1, 1, 790.0, None, 790.0, None)
    assert summarise_times([790], [False]).text() == "790"


def test_kaplan_meier_by_hand():
    """6 and 10 are lost from the ones at risk; S falls as worked out line by line.

    t=6: 1 of 7 at risk is lossless    6/7           = 0.857
    t=6+: leaves 5 at risk (6 itself and 6+ are gone)
    t=7: 1 of 5                        6/7 * 4/5     = 0.686
    t=10+: leaves 3
    t=13: 1 of 3                       24/35 * 2/3   = 0.457, the first below one half
    """
    times, flags = [13, 6, 10, 7, 16, 6, 22], [0, 0, 1, 0, 0, 1, 0]
    got = summarise_times(times, flags)
    assert (got.median, got.reached, got.n, got.mean, got.std) == (13.0, 5, 7, None, None)
    assert np.median(times) == 10  # what the same numbers say if censoring is overlooked


def test_a_curve_resting_at_one_half_gives_the_middle_of_the_stretch():
    # 3/4, 2/4 at 200; then 300: the middle of 200 and 300, though the last signal is unknown.
    assert summarise_times([100, 200, 300, 1000], [0, 0, 0, 1]).median == 250


@pytest.mark.parametrize(
    ("times", "flags", "text"),
    [
        ([1000, 1204, 1300, 900, 1250, 2000], [0, 0, 0, 0, 0, 1], "1,227 (5 of 6)"),
        ([700, 800, 1000, 1000, 1000, 1000], [0, 0, 1, 1, 1, 1], "> 1,000 (2 of 6)"),
        # The third and fourth of six: (900 + more than 1000) / 2 is certainly more than 950.
        ([700, 800, 900, 1000, 1000, 1000], [0, 0, 0, 1, 1, 1], "> 950 (3 of 6)"),
        ([1000], [1], "> 1,000 (0 of 1)"),
        # Only one cap is long: the others exceed 10, and so much is certain of the median.
        ([10, 10, 50], [1, 1, 1], "> 10 (0 of 3)"),
    ],
)
def test_text_of_censored_summaries(times, flags, text):
    got = summarise_times(times, flags)
    assert got.text() == text
    assert got.mean is None
    assert (got.median is None) != (got.bound is None)


@pytest.mark.parametrize(
    ("times", "flags"),
    [([], []), ([1, 2], [0]), ([1, INF], [0, 1]), ([math.nan], [0]), ([-1], [0])],
)
def test_times_that_are_none_are_refused(times, flags):
    with pytest.raises(ValueError):
        summarise_times(times, flags)


samples = st.lists(st.tuples(st.integers(1, 40), st.booleans()), min_size=1, max_size=9)


def median_or_later(times, flags):
    found = summarise_times(times, flags).median
    return UNREACHED if found is None else found


@given(pairs=samples, order=st.randoms(use_true_random=False))
def test_the_order_of_signals_does_not_matter(pairs, order):
    shuffled = order.sample(pairs, len(pairs))
    one, other = (summarise_times(*zip(*p, strict=True)) for p in (pairs, shuffled))
    # Not ==: a mean is summed in the order given.
    assert (one.median, one.bound, one.reached) == (other.median, other.bound, other.reached)


@given(pairs=samples, which=st.integers(0, 8))
def test_censoring_a_signal_at_its_time_never_lowers_the_median(pairs, which):
    times, flags = map(list, zip(*pairs, strict=True))
    before = median_or_later(times, flags)
    flags[which % len(flags)] = True
    assert median_or_later(times, flags) >= before


@given(times=st.lists(st.integers(1, 40), min_size=1, max_size=9), cap=st.integers(1, 40))
def test_a_smaller_budget_never_lowers_the_median_and_its_bound_is_true(times, cap):
    got = summarise_times(np.minimum(times, cap), np.array(times) > cap)
    truth = np.median(times)
    assert got.median == truth if got.median is not None else got.bound <= truth
    if got.reached < len(times) / 2:
        assert got.bound == cap


# ---- seeds, signals, profiles --------------------------------------------------------------------


def test_seeds_come_first():
    """Three seeds of one easy signal do not outvote one seed of a hard one."""
    fits = table(*(fit("easy", n, seed=n) for n in (100, 110, 300)), fit("hard", 900))
    got = per_signal(fits)
    assert got.time.to_dict() == {"easy": 110, "hard": 900}
    assert summarise_times(got.time, got.censored).mean == 505
    assert got.seeds.to_dict() == {"easy": 3, "hard": 1}


def test_a_censored_seed_stays_censored_in_its_signal():
    fits = table(
        *(fit("most", n, seed=n) for n in (500, 700)),
        censored("most", seed=2),
        fit("half", 500),
        censored("half", seed=1),
        censored("none"),
    )
    got = per_signal(fits)
    assert got.loc["most", ["time", "censored"]].to_list() == [700, False]
    assert got.loc["half", ["time", "censored"]].to_list() == [750, True]  # (500 + > 1000) / 2
    assert got.loc["none", ["time", "censored"]].to_list() == [1000, True]
    assert got.lossless.to_dict() == {"most": 2, "half": 1, "none": 0}
    assert lossless_count(got) == "0 of 3"
    assert lossless_count(per_signal(fits[fits.status == "lossless"])) == "2 of 2"


def test_a_fit_that_diverged_at_once_is_not_taken_for_one_hardly_tried():
    """Censored at update 9 the two would leave a median of 500 of two signals of four."""
    fits = table(fit("a", 500), fit("b", 500), *(fit(s, 9, status="diverged") for s in "cd"))
    got = per_signal(fits)
    assert got.time["c"] == 1000
    assert summarise_times(got.time, got.censored).text() == "> 750 (2 of 4)"
    # 10 looks cost 10 000 FLOPs and 5 s; the budget is 1001 looks.
    assert per_signal(fits, "flops").time["c"] == pytest.approx(1_001_000)
    assert per_signal(fits, "seconds").time["c"] == pytest.approx(500.5)


def test_fits_that_ended_at_their_budget_keep_their_cost():
    assert per_signal(table(censored("a")), "flops").time["a"] == 1_001_000


@pytest.mark.parametrize("change", [{"status": "failed"}, {"seconds": None}])
def test_what_was_not_measured_is_refused(change):
    with pytest.raises(ValueError, match="1 of 2 fits have no seconds"):
        per_signal(table(fit("a", 10), fit("b", 10, **change)), "seconds")


def test_profile_is_a_step_function_that_never_counts_censored_fits():
    fits = table(
        *(fit(s, n) for s, n in zip("abc", (300, 200, 200), strict=True)),
        censored("d"),
        censored("a", method="wire"),
    )
    got = performance_profile(fits, "iterations")
    siren = got[got.method == "siren"]
    assert list(zip(siren.cost, siren.share, strict=True)) == [
        (0, 0), (200, 0.5), (300, 0.75), (1000, 0.75),
    ]  # fmt: skip
    assert set(siren.n) == {4} and set(siren.censored) == {1}
    wire = got[got.method == "wire"]
    assert wire.share.to_list() == [0, 0] and set(wire.censored) == {1}


@given(runs=st.lists(st.tuples(st.integers(0, 999), st.booleans()), min_size=1, max_size=6))
def test_profiles_rise_and_end_at_the_share_of_lossless_signals(runs):
    rows = [fit(f"s{i}", n) if ok else censored(f"s{i}") for i, (n, ok) in enumerate(runs)]
    got = performance_profile(table(*rows), "seconds")
    assert got.share.is_monotonic_increasing and got.cost.is_monotonic_increasing
    assert got.cost.is_unique
    assert got.share.iloc[-1] == pytest.approx(sum(ok for _, ok in runs) / len(runs))
    assert (got.share.iloc[-1] == 1) == (got.censored.iloc[-1] == 0)


# ---- qualities -----------------------------------------------------------------------------------


def test_psnr_is_pooled_over_errors_not_averaged_over_decibels():
    # Together 300 over 300 samples: RMSE 1, which 255 is 20 log10(255) above.
    assert pooled_psnr([0, 300], [100, 200], 8) == pytest.approx(48.1308, abs=1e-4)
    assert pooled_psnr([0, 0], [100, 200], 8) == INF
    with pytest.raises(ValueError):
        pooled_psnr([0, None], [100, 200], 8)


def test_pooled_sums_may_exceed_int64():
    errors = np.array([2**62] * 4)  # together 2**64, which int64 takes for 0: lossless
    assert pooled_psnr(errors, np.ones(4, dtype=int), 16) == pytest.approx(
        20 * math.log10(65535 / 2**31)
    )


def test_psnr_of_a_signal_pools_its_seeds():
    rows = [("a", 0, 100), ("a", 100, 100), ("b", 0, 100)]
    fits = pd.DataFrame(rows, columns=["signal", "best_squared_error", "samples"])
    got = signal_psnr(fits.astype({"best_squared_error": "Int64"}), 8)
    assert got["a"] == pytest.approx(20 * math.log10(255 / math.sqrt(0.5)))
    assert got["b"] == INF


def test_infinities_are_counted_and_never_averaged():
    got = summarise_values([40.0, INF, 50.0, 60.0])
    assert (got.n, got.infinite, got.median, got.mean, got.std) == (4, 1, 55.0, None, None)
    got = summarise_values([40.0, 50.0, 60.0])
    assert (got.infinite, got.median, got.mean, got.std) == (0, 50.0, 50.0, 10.0)
    assert summarise_values([INF, INF]).median == INF
    assert summarise_values([0.5]).std is None
    for values in ([], [1.0, math.nan]):
        with pytest.raises(ValueError):
            summarise_values(values)


# ---- pairs ---------------------------------------------------------------------------------------


def exact_p(differences):
    """Two-sided, from the sums of ranks under all assignments of signs."""
    ranks = pd.Series(differences).abs().rank().to_list()
    centre = sum(ranks) / 2
    seen = sum(r for r, d in zip(ranks, differences, strict=True) if d > 0)
    sums = [
        sum(itertools.compress(ranks, signs))
        for signs in itertools.product([0, 1], repeat=len(ranks))
    ]
    return sum(abs(s - centre) >= abs(seen - centre) for s in sums) / len(sums)


@pytest.mark.parametrize(
    ("differences", "p"),
    [
        # Two-sided tables of the signed-rank test: T=0, 1, 2 of n=6; T=2 of n=7; T=3 of n=8.
        ([1, 2, 3, 4, 5, 6], 0.03125),
        ([-1, 2, 3, 4, 5, 6], 0.0625),
        ([1, -2, 3, 4, 5, 6], 0.09375),
        ([1, -2, 3, 4, 5, 6, 7], 6 / 128),
        ([1, 2, -3, 4, 5, 6, 7, 8], 10 / 256),
    ],
)
def test_signed_rank_against_tables(differences, p):
    assert exact_p(differences) == p  # sums of ranks up to T: counted, not copied
    second = pd.Series(range(len(differences)), dtype=float)
    assert paired_values(second + differences, second).p == pytest.approx(p)


@given(st.lists(st.integers(-4, 4).filter(bool), min_size=6, max_size=8))
def test_signed_rank_with_equal_differences_is_exact(differences):
    zero = pd.Series(0.0, index=range(len(differences)))
    assert paired_values(zero + differences, zero).p == pytest.approx(exact_p(differences))


def test_five_pairs_are_counted_and_not_tested():
    first, second = pd.Series([2.0, 3, 4, 5, 1]), pd.Series([1.0, 1, 1, 1, 3])
    got = paired_values(first, second)
    assert (got.p, got.text()) == (None, "+4 -1 =0")


def test_pairs_are_matched_by_signal():
    first = pd.Series({"a": 1.0, "b": 5.0, "only here": 9.0})
    second = pd.Series({"b": 4.0, "a": 2.0, "only there": 0.0})
    assert paired_values(first, second).text() == "+1 -1 =0"
    with pytest.raises(ValueError):
        paired_values(first, pd.Series({"a": math.nan}))


def test_infinite_qualities_tie_with_each_other_and_beat_the_rest():
    first = pd.Series([INF, INF, 50.0, 40, 41, 42, 43])
    second = pd.Series([INF, 60.0, INF, 30, 30, 30, 30])
    got = paired_values(first, second)
    assert got.text() == "+5 -1 =1"
    # The tie is left out; +-infinity share the two highest of six ranks, 5.5.
    assert got.p == pytest.approx(exact_p([999, -999, 10, 11, 12, 13]))


@pytest.mark.filterwarnings("error")  # there is nothing to rank, and nothing to divide by
def test_equal_pairs_only():
    same = pd.Series([1.0] * 6)
    assert (paired_values(same, same).p, paired_values(same, same).text()) == (1.0, "+0 -0 =6")


def test_censored_pairs_by_sign():
    first = signals_of(a="1000+", b="1000+", c=500, d="1000+", e="1000+", f=1000)
    second = signals_of(a=999, b="1000+", c=400, d=1000, e=1500, f="800+")
    # e: more than 1000 against 1500, and f: 1000 against more than 800, are open.
    got = paired_times(first, second)
    assert (got.text(), got.p) == ("+3 -0 =1 ?2", None)
    assert paired_times(second, first).text() == "+0 -3 =1 ?2"


def test_censored_pairs_of_different_caps_are_open():
    got = paired_times(signals_of(a="5000+"), signals_of(a="1000+"))
    assert (got.text(), got.undecided) == ("+0 -0 =0 ?1", 1)


def test_one_open_pair_forbids_the_test_however_many_others_there_are():
    first = signals_of(a="5000+", **{name: 10 for name in "bcdefgh"})
    second = signals_of(a="1000+", **{name: 20 for name in "bcdefgh"})
    assert (paired_times(first, second).text(), paired_times(first, second).p) == (
        "+0 -7 =0 ?1",
        None,
    )
    assert paired_times(first.drop("a"), second.drop("a")).p == pytest.approx(2 / 2**7)


def test_a_censored_difference_has_the_worst_rank():
    """990 against more than 1000 is at least 10, the smallest here, and yet ranks highest."""
    first = signals_of(a="1000+", b=100, c=100, d=100, e=100, f=100)
    second = signals_of(a=990, b=120, c=130, d=140, e=150, f=160)
    got = paired_times(first, second)
    assert got.p == pytest.approx(exact_p([999, -20, -30, -40, -50, -60]))
    assert got.p != pytest.approx(exact_p([10, -20, -30, -40, -50, -60]))


times = st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30)), min_size=1, max_size=7)


@given(pairs=times, cap=st.integers(1, 30))
def test_signs_under_one_budget_never_contradict_the_true_order(pairs, cap):
    sides = [
        signals_of(**{f"s{i}": f"{cap}+" if p[k] > cap else p[k] for i, p in enumerate(pairs)})
        for k in (0, 1)
    ]
    got = paired_times(*sides)
    assert got.undecided == 0
    assert got.larger == sum(a > b and b <= cap for a, b in pairs)
    assert got.smaller == sum(a < b and a <= cap for a, b in pairs)


def test_holm_example():
    # Sorted .005 .01 .03 .04 times 4 3 2 1: .02 .03 .06 .04, and the last may not fall below .06.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]


def test_holm_leaves_out_what_was_not_tested():
    assert holm([None, 0.01, None, 0.04]) == [None, 0.02, None, 0.04]
    assert holm([]) == [] and holm([None]) == [None]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_holm_keeps_order_lies_between_p_and_bonferroni_and_ignores_the_sequence(p_values, order):
    got = holm(p_values)
    for (p, q), (other, its) in itertools.product(zip(p_values, got, strict=True), repeat=2):
        assert p <= q <= min(1.0, len(p_values) * p)
        assert q <= its or p > other
    places = order.sample(range(len(p_values)), len(p_values))
    assert holm([p_values[i] for i in places]) == [got[i] for i in places]
