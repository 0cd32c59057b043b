"""Several fits at once: each has the outcome that it has alone."""

import math
import time

import numpy as np
import pytest
import torch
from tiny import (
    CPU,
    DIRECT,
    PASSES,
    QUICK,
    begin,
    decoded_by,
    noise_signal,
    random_samples,
    run,
    run_many,
    same_tensors,
    signal_of,
    spec_of,
    truth_of,
)

from lossless_inr.engine.checkpoint import Checkpoint
from lossless_inr.engine.loop import fit_many

every_kind = pytest.mark.parametrize("kind", PASSES)
# Batched products round differently, so PyTorch's curves agree to this only.
CURVE = {"compiled": 0.0, "layerwise": 2e-3, "autograd": 1e-6}


def members(name="bithead", bits=8, settings=QUICK, count=4, **changes):
    """Different signals and seeds; every other signal is simple, so that it is done early."""
    signals = []
    for number in range(count):
        samples = random_samples((6, 6, 1), bits, number)
        if number % 2:
            samples[:, :5] = 2 ** (bits - 1)
        signals.append(signal_of(samples, bits, f"tiny/6x6/m{number}"))
    specs = [
        spec_of(signal, representation=name, settings=settings, seed=number, **changes)
        for number, signal in enumerate(signals)
    ]
    return signals, specs


def assert_same(outcome, alone, kind):
    """What a member of a batch must share with the same fit on its own."""
    assert (outcome.status, outcome.iterations) == (alone.status, alone.iterations)
    assert (outcome.flops, outcome.rows_seen) == (alone.flops, alone.rows_seen)
    assert outcome.engine == alone.engine == kind
    assert outcome.curve.loss == pytest.approx(alone.curve.loss, rel=CURVE[kind], abs=0)
    assert outcome.ssim.keys() == alone.ssim.keys()
    if kind == "compiled":
        assert same_tensors(outcome.state, alone.state)
        assert outcome.margin == alone.margin
        assert outcome.best_iteration == alone.best_iteration
        assert outcome.curve.wrong_bits == alone.curve.wrong_bits
        assert outcome.curve.squared_error == alone.curve.squared_error
        np.testing.assert_array_equal(outcome.best_decoded, alone.best_decoded)


@every_kind
@pytest.mark.parametrize(
    ("name", "bits", "settings"),
    [("bithead", 8, QUICK), ("bitplane", 4, QUICK), ("direct", 1, DIRECT)],
)
def test_each_member_has_the_outcome_that_it_has_alone(kind, name, bits, settings):
    signals, specs = members(name, bits, settings)
    done = []
    outcomes = run_many(
        signals, specs, kind, finished=lambda number, outcome: done.append((number, outcome))
    )
    for signal, spec, outcome in zip(signals, specs, outcomes, strict=True):
        assert_same(outcome, run(signal, spec, kind), kind)
        assert outcome.status == "lossless"
        form, network = begin(signal, spec)
        decoded = decoded_by(form, network, outcome.state)
        np.testing.assert_array_equal(decoded, truth_of(signal))
    # They leave one after another; each is reported once, and returned in its own place.
    assert sorted(number for number, _ in done) == [0, 1, 2, 3]
    assert all(outcomes[number] is outcome for number, outcome in done)
    ends = [outcome.iterations for _, outcome in done]
    assert ends == sorted(ends)
    assert len(set(ends)) > 1 and [number for number, _ in done] != [0, 1, 2, 3]


@every_kind
@pytest.mark.parametrize("look_every", [7, 16])
def test_a_batch_that_is_looked_at_rarely_has_the_same_outcomes(kind, look_every):
    signals, specs = members(count=3)
    often = run_many(signals, specs, kind)
    rarely = run_many(signals, specs, kind, look_every=look_every)
    for one, other in zip(often, rarely, strict=True):
        assert one.status == other.status == "lossless"
        # Members leave at another time, so PyTorch's products have other shapes and roundings.
        tolerance = {"compiled": 0.0, "layerwise": 2e-3, "autograd": 1e-6}[kind]
        assert other.curve.loss == pytest.approx(one.curve.loss, rel=tolerance, abs=0)
        assert other.iterations == one.iterations
        assert len(other.curve.loss) == other.iterations + 1
        if kind == "compiled":
            assert same_tensors(one.state, other.state)
            assert one.margin == other.margin
            assert one.curve.wrong_bits == other.curve.wrong_bits


@every_kind
@pytest.mark.parametrize("look_every", [1, 7, 16])
def test_members_that_stay_until_the_end_are_the_same_however_often_they_are_looked_at(
    kind, look_every
):
    # Nobody leaves before the budget ends, so every pass has the same shapes: bit for bit.
    signals, specs = members(count=3)
    often, rarely = (
        run_many(signals, specs, kind, iterations=5, look_every=every) for every in (1, look_every)
    )
    for one, other in zip(often, rarely, strict=True):
        assert one.status == other.status == "budget_exhausted"
        assert one.curve.loss == other.curve.loss
        assert one.curve.wrong_bits == other.curve.wrong_bits
        assert one.best_iteration == other.best_iteration
        np.testing.assert_array_equal(one.best_decoded, other.best_decoded)
        assert same_tensors(one.state, other.state)


@every_kind
@pytest.mark.parametrize("look_every", [1, 7])
@pytest.mark.parametrize("bad", [0, 1, 2])
def test_a_member_that_diverges_does_not_hurt_the_others(kind, look_every, bad):
    signals, specs = members(count=3)
    expected = [run(s, p, kind, look_every=look_every) for s, p in zip(signals, specs, strict=True)]
    fits = [begin(s, p, kind) for s, p in zip(signals, specs, strict=True)]
    form, networks = fits[0][0], [network for _, network in fits]
    torch.nn.init.constant_(networks[bad].layers[1].weight, math.nan)
    outcomes = fit_many(
        networks,
        form,
        [signal.samples for signal in signals],
        QUICK,
        iterations=200,
        device=CPU,
        look_every=look_every,
        compiled=kind == "compiled",
    )
    for number, (outcome, alone) in enumerate(zip(outcomes, expected, strict=True)):
        if number == bad:
            assert (outcome.status, outcome.iterations) == ("diverged", 0)
            assert outcome.curve.loss == []
        else:
            assert_same(outcome, alone, kind)
            assert outcome.status == "lossless"


@every_kind
def test_a_member_that_exhausts_its_budget_stays_beside_ones_that_finish(kind):
    signals, specs = members(count=3)
    alone = [run(s, p, kind) for s, p in zip(signals, specs, strict=True)]
    slowest = max(range(3), key=lambda number: alone[number].iterations)
    budget = alone[slowest].iterations - 1
    assert all(a.iterations <= budget for k, a in enumerate(alone) if k != slowest)
    outcomes = run_many(signals, specs, kind, iterations=budget)
    for number, outcome in enumerate(outcomes):
        short = run(signals[number], specs[number], kind, iterations=budget)
        assert_same(outcome, short, kind)
        expected = "budget_exhausted" if number == slowest else "lossless"
        assert outcome.status == expected


class Clock:
    """Time that passes when it is told to."""

    now = 1000.0

    def __call__(self):
        return self.now


@every_kind
@pytest.mark.parametrize("count", [1, 3])
def test_seconds_are_shares_of_the_passes_and_of_nothing_else(kind, count, monkeypatch):
    signals, specs = members(count=count)
    begin(signals[0], specs[0], kind)  # whatever is built or measured first
    clock = Clock()
    monkeypatch.setattr(time, "perf_counter", clock)
    evaluate = PASSES[kind].run
    present = []

    def one_second(self, **options):
        clock.now += 1.0
        present.append(self.batch.members)
        return evaluate(self, **options)

    def report(iteration, wrong):
        clock.now += 10.0

    def write_files(number, outcome):
        clock.now += 1000.0

    monkeypatch.setattr(PASSES[kind], "run", one_second)
    outcomes = run_many(signals, specs, kind, progress=report, finished=write_files)
    shares = np.cumsum([1 / members for members in present])
    for outcome in outcomes:
        assert outcome.curve.seconds == pytest.approx(shares[: outcome.iterations + 1])
        assert outcome.seconds == pytest.approx(shares[outcome.iterations])
        assert outcome.evaluation_seconds == pytest.approx(10 * shares[outcome.iterations])
    total = sum(outcome.seconds for outcome in outcomes)
    assert total == pytest.approx(len(present))


def test_progress_of_a_batch_is_that_of_all_its_members():
    signals, specs = members(count=2)
    seen = []
    outcomes = run_many(signals, specs, progress=lambda t, wrong: seen.append((t, wrong)))
    first, longest = sorted(outcome.iterations for outcome in outcomes)
    assert [t for t, _ in seen] == list(range(longest + 1))
    for t in range(first + 1):
        assert seen[t][1] == sum(sum(outcome.curve.wrong_bits[t]) for outcome in outcomes)
    assert seen[-1][1] == 0


@every_kind
def test_identical_members_have_identical_outcomes(kind):
    signal = noise_signal()
    first, second = run_many([signal] * 2, [spec_of(signal)] * 2, kind)
    assert first.curve.loss == second.curve.loss
    assert same_tensors(first.state, second.state)
    # What a caller does to one outcome does not reach the other.
    first.decoded[:] = -1
    first.state["layers.0.weight"].fill_(-1)
    np.testing.assert_array_equal(second.decoded, truth_of(signal))
    assert not (second.state["layers.0.weight"] == -1).any()


@pytest.mark.parametrize("count", [1, 2, 3, 5])
@pytest.mark.parametrize("threads", [1, 2])
def test_the_compiled_pass_shares_any_number_of_members_among_its_threads(count, threads):
    signals, specs = members(count=count)
    alone = [run(s, p, "compiled") for s, p in zip(signals, specs, strict=True)]
    torch.set_num_threads(threads)
    outcomes = run_many(signals, specs, "compiled")
    for outcome, one in zip(outcomes, alone, strict=True):
        assert (outcome.status, outcome.iterations) == (one.status, one.iterations)
        assert outcome.curve.loss == pytest.approx(one.curve.loss, rel=1e-3)


def test_a_batch_has_no_checkpoint(tmp_path):
    signals, specs = members(count=2)
    with pytest.raises(ValueError, match="checkpoint"):
        run_many(signals, specs, checkpoint=Checkpoint(tmp_path / "state", "identity"))
