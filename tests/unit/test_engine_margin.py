"""Going on past the first zero until the outputs are far enough from a decision boundary."""

import math

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
    poisoned,
    run,
    run_many,
    same_tensors,
    signal_of,
    spec_of,
    truth_of,
)

from lossless_inr.engine.loop import make_pass
from lossless_inr.engine.passes import Batch
from lossless_inr.engine.state import State
from lossless_inr.fitting.fit import run_fit

every_kind = pytest.mark.parametrize("kind", PASSES)
# Form, bits, settings, a margin that it reaches, and one that it does not.
METHODS = {
    "bithead": (8, QUICK, 3.0, 1e4),
    "bitplane": (4, QUICK, 2.0, 1e4),
    "direct": (1, DIRECT, 0.4, 100.0),
}
every_method = pytest.mark.parametrize("name", METHODS)


def method(name, reached=True, **changes):
    bits, settings, margin, too_much = METHODS[name]
    signal = noise_signal(bits=bits)
    settings = settings.model_copy(update={"margin": margin if reached else too_much})
    return signal, spec_of(signal, representation=name, settings=settings, **changes)


def without_margin(spec):
    return spec.model_copy(update={"settings": spec.settings.model_copy(update={"margin": 0.0})})


def margin_of(form, network, state):
    network.load_state_dict(state)
    with torch.no_grad():
        return float(form.margin(network(form.coordinates())))


@every_kind
@every_method
@pytest.mark.parametrize("look_every", [1, 7])
def test_a_fit_goes_on_to_its_margin_and_reports_the_first_zero(kind, name, look_every):
    signal, spec = method(name)
    zero = run(signal, without_margin(spec), kind)
    outcome = run(signal, spec, kind, look_every=look_every)
    assert (outcome.status, outcome.iterations) == ("lossless", zero.iterations)
    assert zero.margin < spec.settings.margin <= outcome.margin
    assert outcome.margin_iterations > outcome.iterations
    form, network = begin(signal, spec)
    found = margin_of(form, network, outcome.state)
    # The pass rounds differently from the network: in float32, beyond the sixth digit.
    assert outcome.margin == pytest.approx(found, rel=1e-4)
    np.testing.assert_array_equal(decoded_by(form, network, outcome.state), truth_of(signal))
    np.testing.assert_array_equal(outcome.decoded, truth_of(signal))
    # The curve shows all that was computed, and begins like the one without a margin.
    assert outcome.curve.loss[: zero.iterations + 1] == zero.curve.loss
    assert len(outcome.curve.loss) > outcome.margin_iterations
    assert sum(outcome.curve.wrong_bits[outcome.margin_iterations]) == 0
    if look_every == 1:
        assert len(outcome.curve.loss) == outcome.margin_iterations + 1
    else:
        often = run(signal, spec, kind)
        assert (often.margin, often.margin_iterations) == (
            outcome.margin,
            outcome.margin_iterations,
        )
        assert same_tensors(often.state, outcome.state)


def margins_by_hand(signal, spec, kind, budget):
    """Margin and weights after each number of updates at which every integer is right."""
    form, network = begin(signal, spec, kind)
    batch, state = Batch(form, [signal.samples], CPU), State([network], spec.settings)
    passes = make_pass([network], batch, state, compiled=kind == "compiled")
    found = {}
    for update in range(budget + 1):
        counts = passes.run(training=update < budget)
        if counts.right().item():
            found[update] = float(counts.margin), state.weights[0].clone()
        passes.update()
    return state, found


@every_kind
@every_method
@pytest.mark.parametrize("look_every", [1, 7])
def test_a_margin_out_of_reach_leaves_the_safest_of_all_zeros(kind, name, look_every):
    signal, spec = method(name, reached=False)
    budget = 40
    # The same slices, so that the numbers are the same bit for bit.
    rows = begin(signal, spec)[0].rows
    outcome = run(signal, spec, kind, iterations=budget, look_every=look_every, slice_rows=rows)
    state, found = margins_by_hand(signal, spec, kind, budget)
    safest = max(found, key=lambda update: found[update][0])
    assert (outcome.status, outcome.iterations) == ("lossless", min(found))
    assert outcome.margin_iterations == safest > min(found)
    margin, weights = found[safest]
    assert outcome.margin == margin < spec.settings.margin
    assert same_tensors(outcome.state, state.views(weights))
    assert len(outcome.curve.loss) == budget + 1


@every_kind
def test_a_zero_at_the_very_end_of_the_budget_is_kept(kind):
    signal, spec = method("bithead")
    zero = run(signal, without_margin(spec), kind)
    outcome = run(signal, spec, kind, iterations=zero.iterations)
    assert (outcome.status, outcome.iterations) == ("lossless", zero.iterations)
    assert outcome.margin_iterations == zero.iterations
    assert outcome.margin == pytest.approx(zero.margin, rel=1e-4)
    assert same_tensors(outcome.state, zero.state)


@every_kind
@pytest.mark.parametrize("look_every", [1, 4])
# What is no number decodes to 0, so in a black image it has no wrong bit.
@pytest.mark.parametrize("black", [False, True])
def test_a_fit_that_runs_off_after_its_zero_keeps_what_it_has(kind, look_every, black):
    signal, spec = method("bithead", reached=False)
    if black:
        signal = signal_of(np.zeros((6, 6, 1), np.uint8), 8)
    zero = run(signal, without_margin(spec), kind)
    # The next look at or after the tenth update since the zero, if looks are 4 apart.
    after = (zero.iterations + 10) // 4 * 4 + 3
    *_, outcome = poisoned(signal, spec, kind, after, iterations=100, look_every=look_every)
    assert (outcome.status, outcome.iterations) == ("lossless", zero.iterations)
    assert zero.iterations < outcome.margin_iterations <= after
    assert zero.margin < outcome.margin < math.inf
    form, network = begin(signal, spec)
    assert margin_of(form, network, outcome.state) == pytest.approx(outcome.margin, rel=1e-4)
    np.testing.assert_array_equal(decoded_by(form, network, outcome.state), truth_of(signal))
    assert all(math.isfinite(loss) for loss in outcome.curve.loss)


@pytest.mark.parametrize("kind", ["compiled", "layerwise"])
def test_members_of_a_batch_go_on_to_their_own_margin(kind):
    signal, spec = method("bithead")
    specs = [spec.model_copy(update={"seed": seed}) for seed in range(3)]
    outcomes = run_many([signal] * 3, specs, kind)
    for each, outcome in zip(specs, outcomes, strict=True):
        alone = run(signal, each, kind)
        assert (outcome.status, outcome.iterations) == ("lossless", alone.iterations)
        assert outcome.margin_iterations == alone.margin_iterations
        assert outcome.margin == pytest.approx(alone.margin, rel=1e-3)
        assert outcome.margin >= spec.settings.margin
    assert len({outcome.margin_iterations for outcome in outcomes}) > 1


@pytest.mark.parametrize("look_every", [1, 4])
def test_a_margin_in_bfloat16_is_that_of_a_check_in_float32(look_every):
    signal, spec = method("bithead", width=24, hidden_layers=2)
    settings = spec.settings.model_copy(update={"precision": "bfloat16"})
    spec = spec.model_copy(update={"settings": settings})
    outcome = run(signal, spec, look_every=look_every)
    assert (outcome.status, outcome.check_every) == ("lossless", look_every)
    assert outcome.margin >= 3.0 and outcome.margin_iterations >= outcome.iterations
    form, network = begin(signal, spec)
    assert margin_of(form, network, outcome.state) == pytest.approx(outcome.margin, rel=1e-4)
    np.testing.assert_array_equal(decoded_by(form, network, outcome.state), truth_of(signal))


def test_the_record_of_a_fit_has_its_margin(tmp_path):
    signal, spec = method("bithead")
    plain = run_fit(without_margin(spec), signal, tmp_path / "plain")
    record = run_fit(spec, signal, tmp_path / "margin")
    assert plain.margin_iterations == plain.iterations == record.iterations
    assert record.margin_iterations > record.iterations
    assert plain.margin < 3.0 <= record.margin
    assert (record.last.wrong_bits, record.best.wrong_bits) == (0, 0)
    assert record.status == "lossless" and record.decoded_sha256 == signal.sha256
