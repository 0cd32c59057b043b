"""Each claim on small made-up tables of fits: what decides it, and what must not."""

import itertools

import pandas as pd
import pytest

from lossless_inr.analysis import verdicts as v
from lossless_inr.analysis.matched import at_equal_compute

COUNT = 0


def fit(**changes):
    """A lossless bit-plane fit, with some values changed."""
    global COUNT
    COUNT += 1
    row = {
        **{"signal": "set/32x32/a", "kind": "photo", "bits": 8, "network": "siren"},
        **{"representation": "bitplane", "recipe": "published", "variant": "", "width": 64},
        **{"label": "SIREN", "status": "lossless", "verified": True, "iterations": 800},
        **{"budget": 4000, "flops": 8000, "seed": 0, "best_wrong_bits": 0},
        "spec_digest": f"{COUNT:064d}",
    }
    return row | changes


def table(*rows):
    return pd.DataFrame(rows).astype({"verified": "boolean"})


def censored(**changes):
    budget = changes.get("budget", 1000)
    return fit(**{"status": "budget_exhausted", "verified": None, "iterations": budget} | changes)


def direct(**changes):
    return censored(**{"representation": "direct", "budget": 1000, "flops": 1000} | changes)


# --- (a), (b) -------------------------------------------------------------------------------


def test_planes_hold_only_if_every_fit_is_lossless_and_verified():
    good = fit(), fit(signal="set/32x32/b")
    assert v.planes_reach_zero(table(*good)).result == v.HOLDS
    assert v.planes_reach_zero(table(*good, censored(budget=4000))).result == v.OPEN
    assert v.planes_reach_zero(table(fit(verified=False))).result == v.OPEN
    assert v.planes_reach_zero(table(fit(kind="audio"))).signals == 0


def test_a_fit_that_was_stopped_early_on_purpose_is_not_held_against_bit_planes():
    found = v.planes_reach_zero(table(fit(), censored(budget=400)))
    assert found.result == v.HOLDS and "1 of 1" in found.why


def test_a_budget_of_less_than_twice_the_papers_mean_says_nothing_of_bit_planes():
    b = "set/32x32/b"
    for short in (fit(signal=b, budget=1579), censored(signal=b, budget=1579)):
        found = v.planes_reach_zero(table(fit(budget=1580), short))
        assert found.result == v.HOLDS and found.signals == 1 and "1 fits with budgets" in found.why
    deep = censored(signal=b, bits=16, budget=6900)
    assert v.planes_reach_zero(table(fit(budget=1580), deep)).result == v.OPEN
    shallow = deep | {"budget": 6899}
    assert v.planes_reach_zero(table(fit(budget=1580), shallow)).result == v.HOLDS


def test_baselines_are_judged_at_the_papers_budget():
    assert v.baselines_do_not(table(direct(), direct(network="wire"))).result == v.HOLDS
    assert v.baselines_do_not(table(direct(budget=1200))).result == v.OPEN
    lossless = direct(status="lossless", iterations=990)
    assert v.baselines_do_not(table(direct(), lossless)).result == v.FAILS
    deep = direct(bits=16, budget=5000)
    assert v.baselines_do_not(table(deep)).signals == 1
    assert v.baselines_do_not(table(deep | {"budget": 1000})).result == v.OPEN


# --- (c) ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "result"),
    [
        ({"flops": 8000}, v.HOLDS),
        ({"flops": 4000}, v.OPEN),  # it had half of the compute
        ({"flops": 4000, "status": "lossless"}, v.FAILS),
        ({"flops": 9000, "status": "lossless"}, v.HOLDS),  # lossless, but for more
        ({"flops": 8000, "signal": "set/32x32/b"}, v.OPEN),  # nothing to compare with
    ],
)
def test_a_baseline_is_judged_at_the_flops_of_the_same_signals_planes(changes, result):
    assert v.baselines_do_not_at_equal_flops(table(fit(), direct(**changes))).result == result


# --- (d) ------------------------------------------------------------------------------------


def digits(one, two, four, eight, signal="set/32x32/a"):
    sizes = {"": one, "digit_bits=2": two, "digit_bits=4": four}
    rows = [
        fit(representation="digits", variant=name, iterations=t, signal=signal)
        for name, t in sizes.items()
    ]
    last = {"representation": "direct", "budget": 8000, "signal": signal}
    return [*rows, fit(**last, iterations=eight) if eight else censored(**last)]


def test_digits_grow_when_every_image_says_so():
    found = v.grow_with_digits(table(*digits(1200, 1300, 3900, None)))
    assert found.result == v.HOLDS and "1.08-fold" in found.why
    mixed = [*digits(1200, 1300, 3900, None), *digits(1300, 1200, 3900, None, "set/32x32/b")]
    assert v.grow_with_digits(table(*mixed)).result == v.FAILS
    assert v.grow_with_digits(table(*digits(1200, 1300, 3900, None)[:-1])).result == v.OPEN


def test_the_second_reading_of_equal_parameters_is_left_out():
    narrow = [row | {"width": 20, "iterations": 9999} for row in digits(9, 9, 9, 9)[:1]]
    assert v.grow_with_digits(table(*digits(1, 2, 3, 4), *narrow)).result == v.HOLDS


# --- (e) ------------------------------------------------------------------------------------


def test_bias_is_a_higher_error_in_the_lower_planes():
    rows = table(fit(), direct())
    falling = pd.Series([0.4, 0.3, 0.2, 0.1])
    assert v.biased_towards_high_bits(rows, lambda fit: falling).result == v.HOLDS
    errors = {"bitplane": falling, "direct": falling[::-1].reset_index(drop=True)}
    mixed = v.biased_towards_high_bits(rows, lambda fit: errors[fit.representation])
    assert mixed.result == v.FAILS and "1 of 2" in mixed.why


# --- (f), (g) -------------------------------------------------------------------------------


def losses(bce, mse, mae):
    return table(
        *(
            fit(variant=name, iterations=t, budget=6000) if t else censored(
                variant=name, budget=6000, best_wrong_bits=50
            )
            for name, t in (("", bce), ("loss=mse", mse), ("loss=mae", mae))
        )
    )  # fmt: skip


@pytest.mark.parametrize(
    ("when", "result"),
    [
        ((500, 900, 2000), v.HOLDS),
        ((500, 900, None), v.HOLDS),
        ((500, None, None), v.OPEN),  # which of the two comes last is not seen
        ((900, 500, 2000), v.FAILS),
        ((None, None, None), v.OPEN),
    ],
)
def test_losses_are_ordered_by_when_they_are_lossless(when, result):
    assert v.losses_in_order(losses(*when)).result == result


def test_the_channel_is_compared_on_the_same_signals():
    four = fit(representation="bitchannel", iterations=1400)
    assert v.channel_costs(table(fit(), four)).result == v.HOLDS
    assert "1.75 times" in v.channel_costs(table(fit(), four)).why
    assert v.channel_costs(table(fit(), four | {"iterations": 700})).result == v.FAILS
    other = four | {"signal": "set/32x32/b"}
    assert v.channel_costs(table(fit(), other)).result == v.OPEN


# --- (h), (i) -------------------------------------------------------------------------------


def test_all_four_networks_must_be_helped():
    pairs = {n: [fit(network=n, label=n), direct(network=n, label=n)] for n in v.OTHERS}
    assert v.bits_help_others(table(*itertools.chain(*pairs.values()))).result == v.HOLDS
    assert v.bits_help_others(table(*pairs["gauss"])).result == v.OPEN
    pairs["gauss"][0] = censored(network="gauss", label="gauss")
    found = v.bits_help_others(table(*itertools.chain(*pairs.values())))
    assert found.result == v.OPEN and "gauss: lossless on 0 of 1 signals with bits" in found.why


def test_the_gain_is_the_planes_only_if_values_need_more_at_their_best():
    both = {"recipe": "decayed"}
    planes, values = fit(**both, flops=5e9), direct(**both, status="lossless", flops=9e9)
    assert v.factors(table(planes, values)).result == v.HOLDS
    with_bce = values | {"variant": "loss=bce", "flops": 3e9}
    found = v.factors(table(planes, values, with_bce))
    assert found.result == v.FAILS and "direct bce decayed 3" in found.why
    assert v.factors(table(fit())).result == v.OPEN


# --- together -------------------------------------------------------------------------------


def test_every_claim_has_an_answer_and_names_its_fits():
    rows = table(fit(), direct())
    found = v.verdicts(rows, lambda fit: pd.Series([0.2, 0.1]))
    assert [one.key for one in found] == list("abcdefghijklmn")
    assert set(at_equal_compute(rows)) == {one.key for one in found}
    for one in found:
        assert set(one.evidence) <= set(rows.spec_digest)
        assert one.result in (v.HOLDS, v.FAILS, v.OPEN) and one.why


# --- (j), (k) -------------------------------------------------------------------------------


def test_words_must_all_come_back_verified():
    head = {"kind": "audio", "representation": "bithead", "recipe": "fast", "bits": 16}
    sound = fit(**head, code="offset")
    found = v.sounds_reach_zero(table(sound, sound | {"signal": "set/64/b"}))
    assert found.result == v.HOLDS and "2 of 2 fits, 2 verified" in found.why
    stopped = censored(**head, code="offset", signal="set/64/c", budget=119)
    found = v.sounds_reach_zero(table(sound, stopped))  # the recipe decays over 120 updates
    assert found.result == v.HOLDS and "1 of 1 fits" in found.why
    assert v.sounds_reach_zero(table(sound, stopped | {"budget": 120})).result == v.OPEN
    lost = censored(**head, code="offset", signal="set/64/c")
    values = direct(kind="audio", bits=16, code="offset")
    found = v.sounds_reach_zero(table(sound, lost, values))
    assert found.result == v.OPEN and "value regression: 0 of 1" in found.why
    assert v.sounds_reach_zero(table(sound | {"verified": False})).result == v.OPEN
    assert v.floats_come_back(table(sound)).result == v.OPEN
    words = sound | {"code": "float32", "bits": 32}
    assert v.floats_come_back(table(words)).result == v.HOLDS
    assert v.sounds_reach_zero(table(words)).result == v.OPEN


# --- (l), (m) -------------------------------------------------------------------------------

TERNARY = {"network": "ternary", "representation": "bithead", "recipe": "fast-ternary"}
TERNARY |= {"weight_bits": 1.58, "bits": 16, "ber": 0.0}


def test_ternary_weights_must_be_verified_and_the_printed_schedule_stands_beside():
    published = censored(**TERNARY | {"recipe": "ternary", "representation": "digits", "ber": 0.4})
    found = v.ternary_reaches_zero(table(fit(**TERNARY), published))
    assert found.result == v.HOLDS and found.signals == 1
    assert "1 of 1 fits, verified from packed weights" in found.why
    assert "digits, ternary: 0 of 1 within 4,000 updates, best BER 0.4" in found.why
    assert v.ternary_reaches_zero(table(fit(**TERNARY, verified=False))).result == v.OPEN
    assert v.ternary_reaches_zero(table(fit(**TERNARY | {"weight_bits": 2.0}))).result == v.OPEN
    assert v.ternary_reaches_zero(table(published)).result == v.OPEN
    assert v.ternary_reaches_zero(table(fit())).result == v.OPEN


def test_sines_collapse_only_where_they_work_with_whole_weights():
    sine = TERNARY | {"network": "low_bit_siren", "ber": 0.3, "recipe": "fast"}
    other, whole = fit(**TERNARY), fit(**sine | {"weight_bits": 32.0, "ber": 0.0})
    assert v.periodic_collapses(table(other, censored(**sine), whole)).result == v.HOLDS
    assert v.periodic_collapses(table(other, censored(**sine))).result == v.OPEN
    assert v.periodic_collapses(table(other, fit(**sine | {"ber": 0.0}), whole)).result == v.FAILS
    assert v.periodic_collapses(table(other, whole)).result == v.OPEN
    found = v.periodic_collapses(table(other, censored(**sine), whole))
    assert "1.58 bits 0.3 (0 of 1), 32 bits 0 (1 of 1)" in found.why
