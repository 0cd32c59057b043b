"""Training in less than float32: only a pass in float32 may find a zero."""

import numpy as np
import pytest
import torch
from tiny import CPU, QUICK, begin, decoded_by, noise_signal, run, spec_of, truth_of

from lossless_inr.engine.loop import Loop, fit, used_precision
from lossless_inr.engine.settings import Settings

LOW = QUICK.model_copy(update={"precision": "bfloat16"})


def low_spec(signal, **changes):
    # Two hidden layers of 24: bfloat16 rounds enough of them to be seen.
    return spec_of(signal, settings=LOW, width=24, hidden_layers=2, **changes)


@pytest.mark.parametrize("every", [1, 4, 7])
@pytest.mark.parametrize("name", ["bithead", "bitplane"])
def test_the_count_is_the_first_check_in_float32_that_reads_zero(name, every, monkeypatch):
    signal = noise_signal(bits=8 if name == "bithead" else 4)
    spec = low_spec(signal, representation=name)
    weights_at = {}
    look = Loop._look

    def remember(self, *arguments):
        weights_at[self.iteration] = self.state.weights[0].clone()
        look(self, *arguments)

    monkeypatch.setattr(Loop, "_look", remember)
    form, network = begin(signal, spec)
    outcome = fit(
        network,
        form,
        signal.samples,
        LOW,
        iterations=200,
        device=CPU,
        look_every=every,
    )
    assert (outcome.status, outcome.check_every) == ("lossless", every)
    # Independently: every weights that the host looked at, decoded by the network in float32.
    right = []
    for iteration, flat in sorted(weights_at.items()):
        state, begun = {}, 0
        for key, parameter in network.named_parameters():
            state[key] = flat[begun : begun + parameter.numel()].view_as(parameter)
            begun += parameter.numel()
        if np.array_equal(decoded_by(form, begin(signal, spec)[1], state), truth_of(signal)):
            right.append(iteration)
    assert outcome.iterations == min(right) > 1
    decoded = decoded_by(form, begin(signal, spec)[1], outcome.state)
    np.testing.assert_array_equal(decoded, truth_of(signal))
    np.testing.assert_array_equal(outcome.decoded, truth_of(signal))


def test_a_zero_of_the_training_pass_alone_does_not_count(monkeypatch):
    """What bfloat16 gets right and float32 gets wrong is wrong."""
    signal = noise_signal()
    form, network = begin(signal, low_spec(signal))
    loop = Loop([network], form, [signal.samples], LOW, iterations=30, device=CPU, look_every=1)
    run_pass = loop.passes.run

    def lucky(*, training, precision="float32"):
        counts = run_pass(training=training, precision=precision)
        if training:  # as if rounding had hidden every mistake
            counts.errors.zero_()
        return counts

    monkeypatch.setattr(loop.passes, "run", lucky)
    outcomes = {}
    loop.finished = lambda number, outcome: outcomes.update({number: outcome})
    loop.iterations = 2
    loop.run()
    assert outcomes[0].status == "budget_exhausted"


def test_the_work_of_the_checks_is_counted():
    signal = noise_signal()
    outcome = run(signal, low_spec(signal), look_every=1)
    macs = 2 * 24 + 2 * 24 * 24 + 24 * 8
    training = 6 * macs * 36 * (outcome.iterations + 1)
    checks = (outcome.flops - training) / (2 * macs * 36)
    assert checks == int(checks) >= 1
    # A check is made where the training pass has at most 1 % wrong bits, and nowhere else.
    near = [sum(wrong) <= 0.01 * 36 * 8 for wrong in outcome.curve.wrong_bits]
    assert checks == sum(near)


def test_tf32_on_a_cpu_is_float32_and_exact():
    signal = noise_signal()
    settings = QUICK.model_copy(update={"precision": "tf32"})
    assert used_precision(settings, CPU) == "float32"
    assert used_precision(settings, torch.device("cuda")) == "tf32"
    outcome = run(signal, spec_of(signal, settings=settings))
    plain = run(signal, spec_of(signal))
    assert outcome.check_every is None
    assert (outcome.iterations, outcome.flops) == (plain.iterations, plain.flops)


@pytest.mark.parametrize("precision", ["tf32", "bfloat16"])
def test_values_are_never_trained_in_less_than_float32(precision):
    signal = noise_signal()
    settings = Settings(precision=precision)
    spec = spec_of(signal, representation="direct", settings=settings)
    with pytest.raises(ValueError, match="trains in float32"):
        run(signal, spec)
