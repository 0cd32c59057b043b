import copy
import functools
import math
import os
import signal as signals
import threading
import time

import numpy as np
import pytest
import torch
from tiny import (
    CPU,
    NETWORKS,
    PASSES,
    QUICK,
    SINGLE,
    begin,
    build_form,
    noise_signal,
    random_samples,
    run,
    signal_of,
    spec_of,
    truth_of,
)
from torch import nn

from lossless_inr import registry
from lossless_inr.engine.loop import fit_many, make_pass
from lossless_inr.engine.passes import Batch, LayerwisePass
from lossless_inr.engine.settings import Settings
from lossless_inr.engine.state import State, ordered, real
from lossless_inr.metrics import count_errors, wrong_bits_per_plane
from lossless_inr.networks._base import Activation, CoordinateMLP, Sine

# Complex numbers, learned tables before the first layer, or weights of few bits.
FOR_PYTORCH = ("diner", "instant_ngp", "low_bit_siren", "ternary", "wire")
# float32 against float64, with omega = 30 in every layer: twice to ten times what is seen.
LOSS, GRADIENT, OUTPUT = 2e-6, 1e-5, 1e-6
# Width, networks, focus and rows at once: odd and even sizes, more than one vector, more than
# 256 rows or columns (the kernels' depth), and slices of one position up to everything.
CASES = [
    (5, 1, 0.0, 7),
    (5, 3, 1.0, 10_000),
    (16, 2, 0.5, 1),
    (16, 1, 2.0, 10_000),
    (50, 3, 0.0, 40),
    (50, 1, 1.0, 1),
    (72, 2, 2.0, 7),
    (72, 1, 0.5, 10_000),
    (300, 2, 1.0, 10_000),
]


def batch_of(kind, networks, form, samples, settings, slice_rows):
    """A pass of this kind over these networks and signals."""
    batch, state = Batch(form, samples, CPU), State(networks, settings)
    return PASSES[kind](networks, batch, state, slice_rows)


def in_double(network):
    """A copy in float64 or complex128."""
    network = copy.deepcopy(network)
    for parameter in network.parameters():
        parameter.data = parameter.to(torch.complex128 if parameter.is_complex() else torch.float64)
    return network


def gradient_of(passes, row):
    """Gradient of one member, in the order of its parameters."""
    views = passes.state.views(passes.state.gradients[row])
    return torch.cat([view.reshape(-1) for view in views.values()]).double()


def distance(found, wanted):
    """Length of the difference by length of what is wanted."""
    return float((found - wanted).norm() / wanted.norm())


def by_autograd(network, form, truth, focus):
    """Loss, gradient and outputs of the whole batch in float64, by nothing but PyTorch."""
    network = in_double(network)
    outputs = network(form.coordinates().double())
    total, weights = form.loss(outputs, form.targets(torch.as_tensor(truth)), focus)
    (total / weights).backward()
    gradient = [real(parameter.grad).reshape(-1) for _, parameter in ordered(network)]
    return (total / weights).item(), torch.cat(gradient), outputs.detach()


def far_from_a_boundary(form, name, outputs):
    """Where float32 must decode to the same integer (direct) or bit; bool like `outputs`."""
    if name != "direct":
        return outputs.abs() > OUTPUT
    levels = (outputs + 1) / 2 * (2**form.bits - 1)
    return 0.5 - (levels - levels.round()).abs() > OUTPUT * 2**form.bits / 2


# --- three ways to the same numbers -------------------------------------------------------


every_pass = pytest.mark.parametrize(
    ("kind", "threads"), [("autograd", 1), ("layerwise", 1), ("compiled", 1), ("compiled", 2)]
)


@functools.cache
def reference(network, name, shape, bits, width, members, focus):
    """Signals and specifications of some fits, and what each must compute; all kinds share it."""
    signals = [signal_of(random_samples(shape, bits, m), bits, f"s{m}") for m in range(members)]
    changes = {"network": network, "representation": name, "width": width, "hidden_layers": 2}
    specs = [spec_of(signal, seed=m, **changes) for m, signal in enumerate(signals)]
    expected = []
    for signal, spec in zip(signals, specs, strict=True):
        form, fresh = begin(signal, spec)
        expected.append(by_autograd(fresh, form, truth_of(signal), focus))
    return signals, specs, expected


@every_pass
@pytest.mark.parametrize("name", SINGLE)
@pytest.mark.parametrize("shape", [(5, 4, 3), (19, 2)], ids=["image", "sound"])
@pytest.mark.parametrize("bits", [1, 7, 16])
def test_every_pass_gives_the_numbers_of_autograd_in_float64(kind, threads, name, shape, bits):
    for width, members, focus, slice_rows in CASES:
        focus = 0.0 if name == "direct" else focus
        samples, specs, expected = reference("siren", name, shape, bits, width, members, focus)
        fits = [begin(s, spec, kind) for s, spec in zip(samples, specs, strict=True)]
        form, networks = fits[0][0], [network for _, network in fits]
        settings = Settings(focus=focus)
        torch.set_num_threads(threads)
        passes = batch_of(kind, networks, form, [s.samples for s in samples], settings, slice_rows)
        counts = passes.run(training=True)
        torch.set_num_threads(1)
        for m, (loss, gradient, outputs) in enumerate(expected):
            assert float(counts.loss[m]) == pytest.approx(loss, rel=LOSS)
            assert distance(gradient_of(passes, m), gradient) < GRADIENT
            per_output = OUTPUT * (1 if name != "direct" else 2**bits / 2)
            margin = float(form.margin(outputs))
            assert float(counts.margin[m]) == pytest.approx(margin, abs=per_output)
            # Bits, or integers where they are the output, that rounding may not change.
            sure = far_from_a_boundary(form, name, outputs)
            assert sure.double().mean() > 0.8
            found, wanted = counts.decoded[m], form.decode(outputs)
            if name == "direct":
                assert torch.equal(found[sure], wanted[sure])
            else:
                targets = form.targets(found)
                assert torch.equal(targets[sure], form.targets(wanted)[sure])
            truth = torch.as_tensor(truth_of(samples[m]))
            wrong = [int(plane) for plane in wrong_bits_per_plane(found, truth, bits)]
            assert counts.errors[m].tolist() == wrong
            assert counts.squared[m] == int(count_errors(found, truth))


@pytest.mark.parametrize("kind", ["autograd", "layerwise"])
@pytest.mark.parametrize("network_name", NETWORKS)
@pytest.mark.parametrize(
    ("name", "focus"),
    [("direct", 0.0), *((n, p) for n in ("bithead", "bitplane") for p in (0.0, 0.5, 1.0, 2.0))],
)
@pytest.mark.parametrize("shape", [(5, 4, 3), (19, 2)], ids=["image", "sound"])
def test_gradient_by_slices_is_the_gradient_of_the_whole_batch(
    kind, network_name, name, focus, shape
):
    signals, specs, expected = reference(network_name, name, shape, 4, 16, 2, focus)
    fits = [begin(signal, spec) for signal, spec in zip(signals, specs, strict=True)]
    form = fits[0][0]
    if kind == "layerwise" and not LayerwisePass.fits(fits[0][1]):
        assert network_name in FOR_PYTORCH  # every other one has its slope written out
        return
    # Whole positions of the bitplane form are 4 rows.
    for slice_rows in (13, form.rows):
        networks = [in_double(network) for _, network in fits]
        samples = [signal.samples for signal in signals]
        passes = batch_of(kind, networks, form, samples, Settings(focus=focus), slice_rows)
        passes.batch.coordinates = passes.batch.coordinates.double()
        counts = passes.run(training=True)
        for m, (loss, gradient, outputs) in enumerate(expected):
            assert counts.loss[m].item() == pytest.approx(loss, rel=1e-12)
            assert distance(gradient_of(passes, m), gradient) < 1e-12
            assert torch.equal(counts.decoded[m], form.decode(outputs))
            assert float(counts.margin[m]) == pytest.approx(float(form.margin(outputs)), rel=1e-9)


@pytest.mark.parametrize("kind", PASSES)
@pytest.mark.parametrize("name", SINGLE)
def test_evaluation_counts_like_training_and_leaves_no_gradient(kind, name):
    signal = noise_signal(bits=6)
    form, network = begin(signal, spec_of(signal, representation=name), kind)
    passes = batch_of(kind, [network], form, [signal.samples], Settings(), 7)
    passes.state.gradients.fill_(3.0)
    evaluated = passes.run(training=False)
    assert (passes.state.gradients == 3.0).all()
    trained = passes.run(training=True)
    assert not (gradient_of(passes, 0) == 3.0).any()
    for key in ("loss", "errors", "squared", "decoded", "margin"):
        assert torch.equal(getattr(evaluated, key), getattr(trained, key)), key
    difference = truth_of(signal) ^ trained.decoded[0].numpy()
    wrong = [int(((difference >> k) & 1).sum()) for k in range(6)]
    squared = int(((truth_of(signal) - trained.decoded[0].numpy()) ** 2).sum())
    assert trained.errors.tolist() == [wrong]
    assert trained.squared.tolist() == [squared]
    assert not trained.right()


@pytest.mark.parametrize("kind", PASSES)
def test_a_pass_that_dropped_members_goes_on_with_the_others(kind):
    signals = [signal_of(random_samples((6, 6, 1), 5, m), 5, f"s{m}") for m in range(3)]
    fits = [begin(s, spec_of(s), kind) for s in signals]
    form, networks = fits[0][0], [network for _, network in fits]
    passes = batch_of(kind, networks, form, [s.samples for s in signals], QUICK, 10)
    passes.run(training=True)
    passes.update()
    before = passes.run(training=True)
    gradients = [gradient_of(passes, row) for row in (2, 0)]
    passes.keep([2, 0])
    after = passes.run(training=True)
    assert passes.batch.members == len(passes.networks) == 2
    assert torch.equal(after.decoded, before.decoded[[2, 0]])
    assert torch.equal(after.errors, before.errors[[2, 0]])
    assert after.loss.tolist() == pytest.approx(before.loss[[2, 0]].tolist(), rel=LOSS)
    for row, gradient in enumerate(gradients):
        assert distance(gradient_of(passes, row), gradient) < GRADIENT
    weights = passes.state.weights.clone()
    passes.update()
    assert (passes.state.weights != weights).any(1).all()


@pytest.mark.parametrize("kind", PASSES)
@pytest.mark.parametrize("value", [0, 255])
def test_bits_that_are_right_beyond_doubt_have_no_loss_and_no_gradient(kind, value):
    signal = signal_of(np.full((3, 3, 1), value, np.uint8), 8)
    form, network = begin(signal, spec_of(signal), kind)
    nn.init.zeros_(network.layers[-1].weight)
    nn.init.constant_(network.layers[-1].bias, 300.0 if value else -300.0)
    # |sigmoid - bit|**4 is below the smallest float32: all weights of the loss are zero.
    passes = batch_of(kind, [network], form, [signal.samples], Settings(focus=4.0), 5)
    counts = passes.run(training=True)
    assert counts.loss.tolist() == [0.0]
    assert counts.right().tolist() == [True]
    assert counts.margin.tolist() == [300.0]
    assert (passes.state.gradients == 0).all()


# --- which pass takes what ----------------------------------------------------------------


@pytest.mark.parametrize("network_name", NETWORKS)
@pytest.mark.parametrize("compiled", [True, False])
def test_the_fastest_pass_that_can_take_a_network_is_chosen(network_name, compiled):
    signal = noise_signal()
    spec = spec_of(signal, network=network_name)
    kind = "compiled" if network_name == "siren" and compiled else None
    form, network = begin(signal, spec, kind)
    batch = Batch(form, [signal.samples], CPU)
    expected = "autograd" if network_name in FOR_PYTORCH else kind or "layerwise"
    assert make_pass([network], batch, State([network], QUICK), compiled).name == expected
    # bfloat16 and float64 are for PyTorch; a CPU has no TF32, so there it is float32.
    low = QUICK.model_copy(update={"precision": "bfloat16"})
    assert make_pass([network], batch, State([network], low), compiled).name != "compiled"
    tf32 = QUICK.model_copy(update={"precision": "tf32"})
    assert make_pass([network], batch, State([network], tf32), compiled).name == expected
    double = in_double(network)
    assert make_pass([double], batch, State([double], QUICK), compiled).name != "compiled"


def test_a_network_with_an_encoding_a_plain_function_or_of_another_class_is_for_pytorch():
    signal = noise_signal()
    form, plain = begin(signal, spec_of(signal), "autograd")

    class Encoded(nn.Module):
        out_features = 2

        def forward(self, coordinates):
            return coordinates * 2

    encoded = CoordinateMLP(2, form.outputs, 8, 1, Sine(), Encoded())

    class Other(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList([nn.Linear(2, 4), nn.Linear(4, form.outputs)])

        def forward(self, coordinates):
            return self.layers[1](torch.relu(self.layers[0](coordinates)))

    batch = Batch(form, [signal.samples], CPU)
    for network, name in ((plain, "autograd"), (encoded, "layerwise"), (Other(), "autograd")):
        passes = make_pass([network], batch, State([network], Settings()))
        assert passes.name == name
        loss, gradient, _ = by_autograd(network, form, truth_of(signal), 0.0)
        assert float(passes.run(training=True).loss) == pytest.approx(loss, rel=LOSS)
        assert distance(gradient_of(passes, 0), gradient) < GRADIENT


# --- activations --------------------------------------------------------------------------


def activations():
    form = build_form("bitplane", (6, 6, 1), 8)
    for name in NETWORKS:
        build = registry.load("network", name).build
        yield name, build(axes=form.axes, outputs=1, width=8, hidden_layers=1).activation


SLOPED = {name: a for name, a in activations() if isinstance(a, Activation)}


def test_every_activation_that_knows_its_slope_is_tested():
    assert {type(activation) for activation in SLOPED.values()} == set(Activation.__subclasses__())


@pytest.mark.parametrize("name", SLOPED)
@pytest.mark.parametrize("index", [0, 1])
def test_a_slope_that_is_written_out_is_that_of_autograd(name, index):
    activation = SLOPED[name]
    z = torch.linspace(-3, 3, 601, dtype=torch.float64)  # 0 is one of them
    leaf = z.clone().requires_grad_()
    values = activation(leaf, index)
    (slope,) = torch.autograd.grad(values.sum(), leaf)
    out = torch.full_like(z, math.nan)
    activation.with_slope(z, index, out)
    torch.testing.assert_close(out, values.detach(), rtol=1e-14, atol=1e-14)
    torch.testing.assert_close(z, slope, rtol=1e-13, atol=1e-13)


# --- numbers at the edge ------------------------------------------------------------------


def whole_numbers(signal, omega, top):
    """A network whose first arguments are exact: whole numbers up to `top` times omega."""
    form, network = begin(
        signal,
        spec_of(signal, network_parameters={"omega_first": omega, "omega_hidden": 1.0}),
        "compiled",
    )
    generator = torch.Generator().manual_seed(0)
    weight = torch.randint(-top, top + 1, network.layers[0].weight.shape, generator=generator)
    network.layers[0].weight.data = weight.float()
    nn.init.zeros_(network.layers[0].bias)
    return form, network


@pytest.mark.parametrize("top", [3, 4000, 50_000, 4_000_000])
def test_the_compiled_sine_is_right_for_arguments_of_any_size(top):
    # All coordinates of a 2x2 image are -1 or 1. float32 holds whole numbers up to 2**24.
    signal = noise_signal((2, 2, 1))
    form, network = whole_numbers(signal, 2.0, top)
    loss, gradient, outputs = by_autograd(network, form, truth_of(signal), 1.0)
    settings = Settings(focus=1.0)
    passes = batch_of("compiled", [network], form, [signal.samples], settings, 4)
    counts = passes.run(training=True)
    assert float(counts.loss) == pytest.approx(loss, rel=1e-6)
    assert float(counts.margin) == pytest.approx(float(form.margin(outputs)), abs=1e-6)
    assert distance(gradient_of(passes, 0), gradient) < 1e-6


@every_pass
@pytest.mark.parametrize("name", SINGLE)
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_weights_that_are_no_numbers_give_a_loss_that_is_none(kind, threads, name, bad):
    torch.set_num_threads(threads)
    signal = signal_of(np.zeros((6, 6, 1), np.uint8), 8)
    spec = spec_of(signal, representation=name)
    form, network = begin(signal, spec, kind)
    _, good = begin(signal, spec.model_copy(update={"seed": 1}), kind)
    with torch.no_grad():
        network.layers[0].weight[3, 1] = bad
    samples = [signal.samples] * 2
    passes = batch_of(kind, [network, good], form, samples, Settings(), 7)
    counts = passes.run(training=True)
    assert torch.isfinite(counts.loss).tolist() == [False, True]
    assert torch.isfinite(gradient_of(passes, 1)).all()


@pytest.mark.parametrize("kind", PASSES)
def test_weights_that_are_no_numbers_end_a_fit_as_diverged(kind):
    signal = noise_signal()
    form, network = begin(signal, spec_of(signal), kind)
    nn.init.constant_(network.layers[1].bias, math.nan)
    (outcome,) = fit_many(
        [network],
        form,
        [signal.samples],
        QUICK,
        iterations=5,
        device=CPU,
        compiled=kind == "compiled",
    )
    assert outcome.engine == kind
    assert (outcome.status, outcome.iterations, outcome.curve.loss) == ("diverged", 0, [])


# --- less than float32 --------------------------------------------------------------------


@pytest.mark.parametrize("members", [1, 2])
@pytest.mark.parametrize("name", ["bithead", "bitplane"])
def test_bfloat16_rounds_the_hidden_products_and_nothing_else(name, members):
    signal = noise_signal((8, 8, 1))
    results = {}
    for hidden_layers in (0, 3):
        for precision in ("float32", "bfloat16"):
            spec = spec_of(signal, representation=name, width=64, hidden_layers=hidden_layers)
            fits = [begin(signal, spec) for _ in range(members)]
            form, networks = fits[0][0], [network for _, network in fits]
            passes = batch_of(
                "layerwise", networks, form, [signal.samples] * members, Settings(), 100
            )
            counts = passes.run(training=True, precision=precision)
            results[hidden_layers, precision] = (counts.loss, passes.state.gradients)
    # Without hidden products there is nothing to round.
    for one, other in zip(results[0, "float32"], results[0, "bfloat16"], strict=True):
        assert torch.equal(one, other)
    (loss, exact), (rough_loss, rough) = results[3, "float32"], results[3, "bfloat16"]
    error = float((rough - exact).norm() / exact.norm())
    assert 1e-4 < error < 0.1
    assert rough_loss.tolist() == pytest.approx(loss.tolist(), rel=1e-2)


def test_autograd_has_no_bfloat16():
    signal = noise_signal()
    form, network = begin(signal, spec_of(signal, network="wire"))
    passes = batch_of("autograd", [network], form, [signal.samples], Settings(), 9)
    with pytest.raises(ValueError, match="bfloat16"):
        passes.run(training=True, precision="bfloat16")


@pytest.mark.parametrize("kind", ["layerwise", "autograd"])
def test_tf32_is_allowed_inside_its_own_pass_only(kind):
    signal = noise_signal()
    form, network = begin(signal, spec_of(signal), kind)
    passes = batch_of(kind, [network], form, [signal.samples], Settings(), 9)
    seen = []
    forward = passes.forward

    def watched(rows):
        seen.append(torch.backends.cuda.matmul.allow_tf32)
        return forward(rows)

    passes.forward = watched
    passes.run(training=True, precision="tf32")
    passes.run(training=False)
    assert seen == [True] * 4 + [False] * 4
    assert not torch.backends.cuda.matmul.allow_tf32


# --- the compiled pass among threads and processes ----------------------------------------


def test_two_threads_of_python_may_use_the_compiled_pass_at_once():
    torch.set_num_threads(2)
    signal = noise_signal((8, 8, 1))
    expected, found = {}, {}

    def fit(seed, into):
        into[seed] = run(signal, spec_of(signal, seed=seed, iterations=30), "compiled")

    for seed in range(2):
        fit(seed, expected)
    workers = [threading.Thread(target=fit, args=(seed, found)) for seed in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for seed in range(2):
        assert found[seed].curve.loss == expected[seed].curve.loss


def test_a_forked_process_has_threads_of_its_own():
    torch.set_num_threads(2)
    signal = noise_signal((8, 8, 1))
    spec = spec_of(signal, iterations=20)
    expected = run(signal, spec, "compiled").curve.loss
    child = os.fork()
    if child == 0:
        os._exit(0 if run(signal, spec, "compiled").curve.loss == expected else 1)
    for _ in range(600):
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            break
        time.sleep(0.1)
    else:
        os.kill(child, signals.SIGKILL)
        os.waitpid(child, 0)
        pytest.fail("the forked process hangs")
    assert os.waitstatus_to_exitcode(status) == 0
