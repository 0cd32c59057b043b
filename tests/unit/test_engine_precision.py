"""Training in less than float32: only a pass in float32 may find a zero."""

import math

import numpy as np
import pytest
import torch
from tiny import CPU, QUICK, begin, decoded_by, noise_signal, poisoned, run, spec_of, truth_of

from lossless_inr.engine import compiled
from lossless_inr.engine.loop import Loop, fit, used_precision
from lossless_inr.engine.passes import LayerwisePass
from lossless_inr.engine.settings import Settings
from lossless_inr.fitting.fit import run_fit
from lossless_inr.fitting.recipe import Recipe
from lossless_inr.fitting.verify import verify
from lossless_inr.metrics import count_errors, wrong_bits_per_plane

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

    def lucky(*, training, **options):
        counts = run_pass(training=training, **options)
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


@pytest.mark.parametrize("iterations", [0, 3, 6, 7])
@pytest.mark.parametrize("look_every", [1, 4])
def test_an_exhausted_fit_has_the_integers_of_its_weights_in_float32(iterations, look_every):
    signal = noise_signal()
    spec = low_spec(signal)
    outcome = run(signal, spec, iterations=iterations, look_every=look_every)
    assert (outcome.status, outcome.iterations) == ("budget_exhausted", iterations)
    form, network = begin(signal, spec)
    decoded = decoded_by(form, network, outcome.state)
    np.testing.assert_array_equal(outcome.decoded, decoded)
    with torch.no_grad():
        margin = float(form.margin(network(form.coordinates())))
    assert outcome.margin == pytest.approx(margin, rel=1e-3)


def test_the_record_of_an_exhausted_fit_is_reproduced_from_its_weights(tmp_path):
    signal = noise_signal()
    record = run_fit(low_spec(signal, iterations=6), signal, tmp_path)
    assert (record.status, record.precision) == ("budget_exhausted", "bfloat16")
    assert record.check_every == 4
    assert verify(record, signal, tmp_path).reproduced
    with np.load(tmp_path / "decoded.npz") as archive:
        last = archive["last"]
    assert record.last.wrong_bits == np.unpackbits(last ^ signal.samples).sum()
    assert record.last.squared_error == ((last.astype(int) - signal.samples) ** 2).sum()
    assert record.best.wrong_bits <= record.last.wrong_bits
    assert record.best.squared_error <= record.last.squared_error


@pytest.mark.parametrize("after", [7, 55])
def test_a_diverged_fit_has_the_integers_of_its_weights_in_float32(after):
    signal = noise_signal()
    settings = Settings(precision="bfloat16")
    spec = spec_of(signal, settings=settings, width=24, hidden_layers=2)
    form, network, outcome = poisoned(signal, spec, None, after, iterations=100, look_every=4)
    assert (outcome.status, outcome.iterations) == ("diverged", after + 1)
    np.testing.assert_array_equal(outcome.decoded, decoded_by(form, network, outcome.state))


def unlucky(monkeypatch):
    """Rounding always costs training the lowest bit of one integer; the checks see it right."""
    run_pass = LayerwisePass.run

    def one_bit_off(self, *, precision="float32", **options):
        counts = run_pass(self, precision=precision, **options)
        if precision != "float32":
            truth = self.batch.truth
            counts.decoded[:, 0] = truth[:, 0] ^ 1
            wrong = wrong_bits_per_plane(counts.decoded, truth, 8, (1, 2))
            counts.errors = torch.stack(wrong, dim=1)
            counts.squared = count_errors(counts.decoded, truth, (1, 2)).double()
        return counts

    monkeypatch.setattr(LayerwisePass, "run", one_bit_off)


def test_the_best_of_a_lossless_fit_is_lossless_even_if_training_never_saw_it(
    monkeypatch, tmp_path
):
    signal = noise_signal()
    unlucky(monkeypatch)
    outcome = run(signal, low_spec(signal), look_every=1)
    assert outcome.status == "lossless"
    assert min(map(sum, outcome.curve.wrong_bits)) == 1
    np.testing.assert_array_equal(outcome.decoded, truth_of(signal))
    np.testing.assert_array_equal(outcome.best_decoded, truth_of(signal))
    assert outcome.best_iteration == outcome.iterations
    record = run_fit(low_spec(signal), signal, tmp_path)
    assert record.status == "lossless"
    for quality in (record.best, record.last):
        assert (quality.wrong_bits, quality.squared_error, quality.psnr) == (0, 0, math.inf)


def test_a_zero_at_the_end_of_the_budget_is_checked_for(monkeypatch):
    signal = noise_signal()
    needed = run(signal, low_spec(signal), look_every=1).iterations
    # The end is looked at although it is no multiple of the interval, and training is far off.
    unlucky(monkeypatch)
    outcome = run(signal, low_spec(signal), iterations=needed, look_every=1000)
    assert (outcome.status, outcome.iterations) == ("lossless", needed)


def test_128_wide_networks_train_in_bfloat16_by_their_recipe(tmp_path):
    recipe = Recipe(
        title="r",
        applies_to=["bithead"],
        rate=1e-3,
        output_factor=20.0,
        bias_factor=0.2,
        beta2=0.95,
        focus=1.0,
        precision="bfloat16",
    )
    signal = noise_signal()
    found = {}
    for width in (64, 128):
        settings = recipe.resolve(
            network="siren", representation="bithead", bits=8, width=width, iterations=200
        )
        spec = spec_of(signal, settings=settings, width=width)
        record = run_fit(spec, signal, tmp_path / str(width))
        assert record.status == "lossless"
        assert verify(record, signal, tmp_path / str(width)).verified
        found[width] = (record.precision, record.check_every, record.engine != "layerwise")
    compiled_here = compiled.library() is not None
    assert found == {64: ("float32", None, compiled_here), 128: ("bfloat16", 4, False)}


def test_the_record_of_tf32_on_a_cpu_says_float32(tmp_path):
    signal = noise_signal()
    settings = QUICK.model_copy(update={"precision": "tf32"})
    record = run_fit(spec_of(signal, settings=settings), signal, tmp_path)
    assert (record.status, record.precision, record.check_every) == ("lossless", "float32", None)
