"""Figure 9: its images bit by bit, its control, what decides its verdict, and its drawing."""

import itertools
import math

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from drawing import Drawn
from tiny import ROOT, refusal

from lossless_inr.analysis import verdicts as v
from lossless_inr.analysis.matched import at_equal_compute
from lossless_inr.analysis.spectrum import crossings, patches, trend
from lossless_inr.datasets.catalog import Catalog
from lossless_inr.experiments.figures import draw, style
from lossless_inr.experiments.figures.spectrum import spectrum
from lossless_inr.experiments.plan import Plan
from lossless_inr.experiments.spec import Config
from lossless_inr.signals.signal import plane_statistics
from lossless_inr.signals.synthetic import bit_axis_value, make

CATALOG = Catalog(ROOT / "config/datasets.tsv", ROOT)
VALUES = {0: 0xFFFF, 16: 0xFF00, 8: 0xF0F0, 4: 0xCCCC, 2: 0xAAAA}
CHANGES = {0: 0, 16: 1, 8: 3, 4: 7, 2: 15}
# Seed -> changes of the shuffled values of periods 16, 8, 4, 2.
SHUFFLES = {3519: [14, 11, 8, 5], 4255: [12, 9, 7, 3]}


def changes(value, bits=16):
    """Changes between neighbouring bits, from the digits as text."""
    digits = f"{value:0{bits}b}"
    return sum(a != b for a, b in itertools.pairwise(digits))


# --- the images ---------------------------------------------------------------------------


@pytest.mark.parametrize("period", VALUES)
@pytest.mark.parametrize("size", ["2x4", "16x16", "6x20"])
def test_eight_equal_patches_hold_every_mixture_of_a_value_and_its_complement(period, size):
    signal = CATALOG.prepare(f"synthetic/{size}/bits{period}")
    height, width, _ = signal.samples.shape
    assert f"{height}x{width}" == size and signal.bits == 16
    value, other = VALUES[period], 0xFFFF - VALUES[period]
    blocks = signal.samples.reshape(2, height // 2, 4, width // 4, 3).swapaxes(1, 2)
    flat = blocks.reshape(8, -1, 3)
    assert (flat == flat[:, :1]).all()
    # Cyan, magenta, yellow and black; red, green, blue and white.
    expected = ["011", "101", "110", "000", "100", "010", "001", "111"]
    found = ["".join("1" if one == value else "0" for one in patch[0]) for patch in flat]
    assert found == expected and set(np.unique(flat)) == {value, other}
    assert signal.metadata()["plane_changes"] == CHANGES[period]


def test_changes_are_counted_between_neighbouring_planes():
    samples = np.array([0b0000, 0b1111, 0b0001, 0b0101], dtype=np.uint8)
    assert plane_statistics(samples, 4)["plane_changes"] == (0 + 0 + 1 + 3) / 4


@pytest.mark.parametrize("seed", SHUFFLES)
def test_a_shuffle_keeps_the_ones_and_turns_the_order_of_frequencies_round(seed):
    order = np.random.Generator(np.random.PCG64(seed)).permutation(16)
    found = []
    for period in (16, 8, 4, 2):
        before, after = bit_axis_value(16, period), bit_axis_value(16, period, seed)
        assert before == VALUES[period]
        assert [after >> k & 1 for k in range(16)] == [before >> int(k) & 1 for k in order]
        assert after.bit_count() == before.bit_count() == 8
        found.append(changes(after))
        image = CATALOG.prepare(f"synthetic/16x16/bits{period}-shuffled{seed}")
        assert set(np.unique(image.samples)) == {after, 0xFFFF - after}
        assert image.metadata()["plane_changes"] == found[-1]
        assert image.title.endswith(f"0x{before:04X} shuffled to 0x{after:04X}")
    assert found == SHUFFLES[seed]


def test_the_seeds_are_the_first_two_of_their_rule():
    spreads = {}
    for seed in range(10_000):
        found = [changes(bit_axis_value(16, period, seed)) for period in (16, 8, 4, 2)]
        if all(a > b for a, b in itertools.pairwise(found)):
            spreads[seed] = found[0] - found[-1]
    widest = max(spreads.values())
    assert [seed for seed, spread in spreads.items() if spread == widest][:2] == list(SHUFFLES)


def test_no_change_along_the_axis_is_its_own_shuffle():
    assert bit_axis_value(16, 0, 3519) == bit_axis_value(16, 0) == 0xFFFF
    assert np.array_equal(make("bits-0-shuffled-7", (2, 4, 3), 8), make("bits-0", (2, 4, 3), 8))


@pytest.mark.parametrize(
    ("name", "shape", "bits", "words"),
    [
        ("bits-16", (4, 4, 3), 8, ["no period of 16 along 8 bits", "or 2 or 4 or 8"]),
        ("bits-4", (4, 4, 3), 10, ["no period of 4 along 10 bits", "or 2 or 10"]),
        ("bits-3", (4, 4, 3), 16, ["no period of 3 along 16 bits"]),
        ("bits-2-shuffled-1", (4, 4, 3), 7, ["no period of 2 along 7 bits", "write 0"]),
        ("bits-2", (5, 4, 3), 16, ["5x4x3", "even height"]),
        ("bits-2", (4, 6, 3), 16, ["4x6x3", "multiple of 4"]),
        ("bits-2", (4, 4, 1), 16, ["4x4x1", "3 channels"]),
        ("bits-2-shuffled", (4, 4, 3), 16, ["no such kind"]),
        ("bits-2", (64, 1), 16, ["no such kind"]),
    ],
)
def test_what_cannot_be_made_is_refused_in_a_line(name, shape, bits, words):
    line = refusal(make, name, shape, bits)
    assert line.startswith(f"synthetic:{name}: ")
    assert all(word in line for word in words), line


def test_a_size_that_has_no_equal_patches_is_refused_by_the_catalog():
    line = refusal(CATALOG.prepare, "synthetic/15x15/bits2")
    assert "15x15x3" in line and "even height" in line


# --- the verdict --------------------------------------------------------------------------


def test_a_trend_is_exact_over_all_orders():
    assert trend([0, 1, 3, 7, 15], [1, 2, 3, 4, math.inf]) == trend([1, 2, 3, 4, 5], range(5))
    found = trend([0, 1, 3, 7, 15], [1, 2, 3, 5, 4])
    # rho = 1 - 6 * 2 / (5 * 24); it and its like: 1 order without, 4 with one neighbours' swap.
    assert (found.rho, found.p) == (pytest.approx(0.9), 5 / 120)
    back = trend([1, 2, 3, 4], [4, 3, 2, 1])
    assert (back.rho, back.p, back.reverse) == (-1, 1, 1 / 24)
    # Equal times share a rank: two of six orders put the smallest first.
    assert trend([1, 2, 3], [1, 2, 2]).p == pytest.approx(2 / 6)
    alike = trend([1, 2, 3], [math.inf] * 3)
    assert math.isnan(alike.rho) and alike.p == 1 and "all alike" in alike.text()
    with pytest.raises(ValueError, match="3 frequencies and 2 times"):
        trend([1, 2, 3], [1, 2])


def test_of_many_images_the_orders_are_not_counted_and_the_answer_is_close():
    times = [3, 1, 2, 5, 4, 8, 6, 7]
    eight, nine = trend(range(8), times), trend(range(9), [*times, 0])
    assert eight.rho == pytest.approx(1 - 6 * 14 / (8 * 63)) and 0.003 < eight.p < 0.01
    assert nine.images == 9 and 0 < nine.p < 1 and nine.p + nine.reverse == pytest.approx(1)


def row(period, seed, time, *, shuffle=None, form="bitplane", recipe="published", **changed):
    name = f"bits{period}" + (f"-shuffled{shuffle}" if shuffle else "")
    value = bit_axis_value(16, period, shuffle)
    facts = {"signal": f"synthetic/16x16/{name}", "kind": "synthetic", "bits": 16, "seed": seed}
    facts |= {"network": "siren", "label": "SIREN", "variant": "", "representation": form}
    facts |= {"recipe": recipe, "width": 64, "budget": 3000, "status": "lossless"}
    facts |= {"iterations": time, "flops": 8000, "plane_changes": float(changes(value))}
    facts["spec_digest"] = f"{name}-{form}-{recipe}-{seed}-{changed}"
    return facts | changed


def fits_of(time, *, shuffles=SHUFFLES, seeds=3, **changed):
    """Fits whose iterations are a function of period, changes of the value, and seed."""
    rows = [
        row(period, seed, time(period, changes(bit_axis_value(16, period, s)), seed), shuffle=s,
            **changed)
        for s in (None, *shuffles)
        for period in VALUES
        if period or s is None
        for seed in range(seeds)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_a_bias_along_the_axis_holds_and_its_control_says_so():
    fits = fits_of(lambda period, count, seed: 100 + 10 * count + seed)
    found = v.spectral_bias(fits)
    assert (found.key, found.result, found.signals) == ("n", v.HOLDS, 13)
    assert "0: 101, 1: 111, 3: 131, 7: 171, 15: 251" in found.why
    assert "rank correlation +1.00 (p = 0.0083, 5 images)" in found.why
    assert "shuffled planes +1.00 (p = 2.5e-05, 8 images) by their own changes" in found.why
    assert "-0.98 by those of the values before" in found.why
    assert set(found.evidence) == set(fits.spec_digest)


def test_a_bias_of_the_values_fails_by_its_control():
    found = v.spectral_bias(fits_of(lambda period, count, seed: 100 + 10 * CHANGES[period]))
    assert found.result == v.FAILS
    assert "+1.00 (p = 0.0083, 5 images)" in found.why
    assert "-0.98 (p = 1, 8 images) by their own changes, +1.00 by those" in found.why


def test_the_other_way_round_fails():
    found = v.spectral_bias(fits_of(lambda period, count, seed: 1000 - 10 * count))
    assert found.result == v.FAILS and "-1.00 (p = 1, 5 images)" in found.why


def test_a_high_frequency_that_is_first_with_every_seed_fails_from_five_seeds_on():
    def hump(period, count, seed):
        return 100 + 10 * count + seed - (120 if period == 2 and count == 15 else 0)

    found = v.spectral_bias(fits_of(hump, seeds=5))
    assert found.result == v.FAILS
    assert "15 changes take fewer than 7 with every seed" in found.why
    assert "15 changes take fewer than 3 with" not in found.why
    # 10 pairs of 4 and 4 seeds: 10 / 70 is no rarity.
    assert v.spectral_bias(fits_of(hump, seeds=4)).result == v.OPEN
    overlapping = fits_of(lambda p, count, seed: hump(p, count, seed) + 15 * seed, seeds=5)
    assert v.spectral_bias(overlapping).result == v.OPEN


def test_a_crossing_is_one_of_seeds_and_censored_fits_are_late():
    fits = fits_of(lambda period, count, seed: 100 + count, shuffles=(), seeds=5)
    assert crossings(fits) == []
    slow = fits.signal.str.endswith(("bits0", "bits16"))
    fits.loc[slow, "status"] = "budget_exhausted"
    assert crossings(fits) == [(k, low) for low in (0, 1) for k in (3, 7, 15)]


def test_dc_must_be_the_first():
    fits = fits_of(lambda period, count, seed: 200 + count)
    fits.loc[fits.signal.str.endswith("bits16"), "iterations"] = 100
    found = v.spectral_bias(fits)
    assert "+0.90 (p = 0.042" in found.why and found.result == v.OPEN


def test_a_weak_order_is_left_open():
    # Periods 8 and 16 change places with 4 and 2: rho is positive, but far from certain.
    order = {0: 1, 1: 4, 3: 5, 7: 2, 15: 6}
    fits = fits_of(lambda period, count, seed: 100 * order.get(count, count))
    assert trend(list(order), list(order.values())).p > 0.05
    assert v.spectral_bias(fits).result == v.OPEN


def test_a_fit_that_ended_first_is_later_than_all_that_did_not():
    fits = fits_of(lambda period, count, seed: 100 + count)
    late = fits.signal.str.endswith("bits2") & (fits.seed < 2)
    fits.loc[late, ["status", "iterations"]] = ["budget_exhausted", 10]
    found = v.spectral_bias(fits)
    assert found.result == v.HOLDS and "15: not" in found.why
    every = fits.assign(status="budget_exhausted")
    assert v.spectral_bias(every).result == v.OPEN


def test_a_shuffled_value_is_held_against_itself_before():
    twice = fits_of(lambda period, count, seed: 100)
    twice.loc[twice.signal.str.contains("-shuffled"), "iterations"] = 250
    assert (
        "2.50 times the iterations of the same value before (median; more on 8 of 8)"
        in v.spectral_bias(twice).why
    )
    late = twice.signal.str.contains("-shuffled")
    twice.loc[late, "status"] = "budget_exhausted"
    assert "inf times the iterations of the same" in v.spectral_bias(twice).why


@pytest.mark.parametrize("lacking", ["bits4", "shuffled", "everything", "changes"])
def test_without_a_frequency_or_the_control_nothing_is_decided(lacking):
    fits = fits_of(lambda period, count, seed: 100 + count)
    if lacking == "changes":  # a table of before they were counted
        fits = fits.drop(columns="plane_changes")
    elif lacking == "everything":
        fits = fits.assign(kind="photo")
    else:
        fits = fits[~fits.signal.str.contains(f"{lacking}$|{lacking}\\d+$")]
    found = v.spectral_bias(fits)
    assert found.result == v.OPEN and "was run" in found.why


def test_another_size_and_a_failed_fit_are_left_out():
    fits = fits_of(lambda period, count, seed: 100 + count)
    odd = [row(2, 0, 1) | {"signal": "synthetic/32x32/bits2"}, row(4, 9, 1, status="failed")]
    odd.append(row(2, 0, 1) | {"signal": "synthetic/16x16/noise16"})
    both = pd.concat([fits, pd.DataFrame(odd)], ignore_index=True)
    assert set(patches(both).spec_digest) == set(fits.spec_digest)


def test_other_methods_stand_beside_and_equal_compute_changes_nothing():
    fits = fits_of(lambda period, count, seed: 100 + count)
    head = fits_of(lambda period, count, seed: 50, form="bithead")
    found = v.spectral_bias(pd.concat([fits, head], ignore_index=True))
    assert "Bit head (no bit axis), published: rank correlation none (5 images, all" in found.why
    assert found.result == v.HOLDS
    assert at_equal_compute(fits.assign(verified=True))["n"].result == v.HOLDS


# --- figure and plan ----------------------------------------------------------------------


@pytest.fixture
def drawn(tmp_path):
    made = Drawn(tmp_path)
    for name, value in (("bits8", 0xF0F0), ("bits8-shuffled3519", 0x5A4D), ("bits0", 0xFFFF)):
        samples = np.full((1, 1, 3), value, np.uint16)
        made.signal(f"synthetic/1x1/{name}", samples, kind="synthetic", bits=16)
        for seed, steps in enumerate((1, 3)):
            wrong = [samples ^ np.uint16(1)] * steps
            name_of = f"synthetic/1x1/{name}"
            made.fit(*wrong, samples, signal=name_of, status="lossless", seed=seed,
                     representation="bitplane", iterations=9)  # fmt: skip
    yield made
    plt.close("all")


def test_periodic_and_shuffled_values_stand_side_by_side(drawn):
    signal = "synthetic/1x1/bits8-shuffled3519"
    wrong = [np.full((1, 1, 3), 0, np.uint16)] * 10
    drawn.fit(*wrong, signal=signal, seed=2, representation="bitplane", iterations=9)
    with plt.rc_context(style.RC):
        figure, data = spectrum(drawn.table, drawn.results, drawn.prepared)
    left, right = figure.axes
    middle, *_ = left.lines
    assert middle.get_xdata().tolist() == [0, 3] and middle.get_ydata().tolist() == [2, 2]
    before, middle, done, ended = right.lines
    assert before.get_ydata().tolist() == [2, 2] and before.get_linestyle() == ":"
    assert (middle.get_xdata().tolist(), middle.get_ydata().tolist()) == ([11], [3])
    assert done.get_ydata().tolist() == [1, 3]
    assert (ended.get_ydata().tolist(), ended.get_markerfacecolor()) == ([9], "none")
    assert [t.get_text() for t in left.get_xticklabels()][:3] == ["DC\n(0)", "16\n(1)", "8\n(3)"]
    assert data.shuffled.tolist() == [False] * 2 + [True] * 2 + [False] * 2 + [True]
    assert data.plane_changes.tolist() == [3, 3, 11, 11, 0, 0, 11]
    assert data.status.tolist() == ["lossless"] * 6 + ["budget_exhausted"]


def test_figure_9_is_written_with_its_data(drawn, tmp_path):
    files = {kind: tmp_path / f"figure9.{kind}" for kind in ("svg", "png", "csv")}
    table = drawn.table
    draw("spectrum", table, list(table.spec_digest), results=drawn.results,
         prepared=drawn.prepared, **files)  # fmt: skip
    data = pd.read_csv(files["csv"])
    assert data.iterations.tolist() == [1, 3] * 3
    assert "the same values, planes shuffled" in files["svg"].read_text()
    assert files["png"].stat().st_size > 10_000


@pytest.mark.parametrize(("scale", "signals", "seeds"), [("miniature", 13, 5), ("paper", 13, 5)])
def test_figure_9_plans_every_frequency_its_control_and_the_form_without_an_axis(
    scale, signals, seeds
):
    fits = Plan(Config(scale=scale, only=["figure9"]), ROOT).fits["figure9"]
    methods = {(fit.representation, fit.recipe) for fit in fits}
    assert methods == set(itertools.product(["bitplane", "bithead"], ["published", "fast"]))
    assert len(fits) == signals * seeds * 4
    names = {fit.signal.split("/")[-1] for fit in fits}
    assert names >= {f"bits{period}" for period in VALUES}
    assert {fit.kind for fit in fits} == {"synthetic"} and {fit.bits for fit in fits} == {16}
    if scale == "paper":
        assert {(fit.width, fit.hidden_layers, tuple(fit.shape)) for fit in fits} == {
            (512, 5, (256, 256, 3))
        }


def test_figure_9_has_a_smoke_of_a_minute():
    fits = Plan(Config(scale="smoke", only=["figure9"]), ROOT).fits["figure9"]
    assert len(fits) == 6 and sum(fit.cost for fit in fits) < 1e10
