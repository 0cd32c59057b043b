import math

import numpy as np
import pytest
import torch
from tiny import (
    CPU,
    DIRECT,
    NETWORKS,
    PASSES,
    QUICK,
    SINGLE,
    begin,
    decoded_by,
    noise_signal,
    poisoned,
    random_samples,
    run,
    same_tensors,
    signal_of,
    spec_of,
    truth_of,
)

from lossless_inr.engine.loop import fit, fit_many
from lossless_inr.engine.passes import LayerwisePass
from lossless_inr.engine.settings import Settings
from lossless_inr.fitting.fit import load_weights, save_weights
from lossless_inr.metrics import ssim

PUBLISHED = Settings()
WARM_COSINE = QUICK.model_copy(
    update={"warmup": 5, "decay": "cosine", "horizon": 20, "floor": 0.1, "output_init": "zero"}
)
# Methods that are lossless on the 6x6 signal within their budget.
METHODS = {
    "bithead": (8, QUICK),
    "bitplane": (4, QUICK),
    "direct": (1, DIRECT),
    "bithead, unweighted": (8, QUICK.model_copy(update={"focus": 0.0})),
    "bithead, warm-up and cosine": (8, WARM_COSINE),
}
every_method = pytest.mark.parametrize("name", METHODS)
every_kind = pytest.mark.parametrize("kind", PASSES)


def method(name, **changes):
    bits, settings = METHODS[name]
    signal = noise_signal(bits=bits)
    form = name.partition(",")[0]
    return signal, spec_of(signal, **{"representation": form, "settings": settings} | changes)


# --- iterations to lossless ---------------------------------------------------------------


def naive_iterations(network, form, samples, settings, budget):
    """Update, then look: the number of updates after which every integer is right."""
    truth = torch.as_tensor(samples.astype(np.int64).reshape(-1, form.channels))
    coordinates, targets = form.coordinates(), form.targets(truth)
    output, *_ = reversed(network.layers)
    if settings.output_init == "zero":
        torch.nn.init.zeros_(output.weight)
    rates = {}
    for layer in network.layers:
        share = settings.output_factor if layer is output else 1.0
        rates[layer.weight] = share * settings.rate
        if layer.bias is not None:
            rates[layer.bias] = share * settings.bias_factor * settings.rate
    for parameter in network.parameters():  # what an encoding learns has the plain rate
        rates.setdefault(parameter, settings.rate)
    adam = torch.optim.Adam(
        [{"params": [p], "lr": rate} for p, rate in rates.items()],
        betas=(settings.beta1, settings.beta2),
    )
    for update in range(budget + 1):
        with torch.no_grad():
            if torch.equal(form.decode(network(coordinates)), truth):
                return update
        if update == budget:
            return None
        adam.zero_grad()
        total, weights = form.loss(network(coordinates), targets, settings.focus)
        total.backward()
        factor = min(1.0, (update + 1) / settings.warmup) if settings.warmup else 1.0
        if settings.decay == "cosine":
            wave = (1 + math.cos(math.pi * min(1.0, update / settings.horizon))) / 2
            factor *= settings.floor + (1 - settings.floor) * wave
        for group, rate in zip(adam.param_groups, rates.values(), strict=True):
            group["lr"] = rate * factor
            for parameter in group["params"]:
                parameter.grad /= weights
        adam.step()
    return None


@every_kind
@every_method
def test_iterations_to_lossless_are_those_of_a_loop_that_looks_after_each_update(kind, name):
    signal, spec = method(name)
    outcome = run(signal, spec, kind)
    form, network = begin(signal, spec)
    expected = naive_iterations(network, form, signal.samples, spec.settings, spec.iterations)
    assert outcome.status == "lossless"
    assert outcome.iterations == outcome.margin_iterations == expected > 1
    assert len(outcome.curve.loss) == len(outcome.curve.seconds) == expected + 1
    assert outcome.check_every is None


@pytest.mark.parametrize("network_name", NETWORKS)
def test_every_network_has_the_first_zero_of_a_loop_that_looks_after_each_update(network_name):
    signal = noise_signal(bits=1)
    fast = "_pe" in network_name or network_name in ("diner", "instant_ngp", "ternary")
    settings = QUICK.model_copy(update={"rate": 1e-2 if fast else 1e-3})
    spec = spec_of(signal, network=network_name, width=32, settings=settings)
    form, network = begin(signal, spec)
    expected = naive_iterations(network, form, signal.samples, settings, spec.iterations)
    outcome = run(signal, spec)
    assert (outcome.status, outcome.iterations) == ("lossless", expected)
    np.testing.assert_array_equal(decoded_by(form, network, outcome.state), truth_of(signal))


@every_method
def test_one_update_less_than_needed_is_not_lossless_and_just_enough_is(name):
    signal, spec = method(name)
    needed = run(signal, spec).iterations
    short, enough = (run(signal, spec, iterations=n) for n in (needed - 1, needed))
    assert (short.status, short.iterations) == ("budget_exhausted", needed - 1)
    assert sum(short.curve.wrong_bits[-1]) > 0
    assert (enough.status, enough.iterations) == ("lossless", needed)


@every_kind
@every_method
def test_the_state_of_a_lossless_fit_decodes_exactly_after_saving(kind, name, tmp_path):
    signal, spec = method(name)
    outcome = run(signal, spec, kind)
    save_weights(outcome.state, tmp_path / "w.safetensors")
    form, fresh = begin(signal, spec)
    load_weights(fresh, tmp_path / "w.safetensors")
    decoded = decoded_by(form, fresh, fresh.state_dict())
    for integers in (decoded, outcome.decoded, outcome.best_decoded):
        np.testing.assert_array_equal(integers, truth_of(signal))
    assert outcome.best_iteration == outcome.iterations
    assert outcome.curve.squared_error[-1] == sum(outcome.curve.wrong_bits[-1]) == 0


@every_kind
@pytest.mark.parametrize("slice_rows", [1, 5, 10**6])
def test_slicing_changes_neither_outcome_nor_first_losses(kind, slice_rows):
    signal, spec = method("bithead")
    whole, parts = (run(signal, spec, kind, slice_rows=rows) for rows in (36, slice_rows))
    assert (whole.status, whole.iterations) == (parts.status, parts.iterations)
    assert whole.status == "lossless"
    assert parts.curve.loss[:3] == pytest.approx(whole.curve.loss[:3], rel=1e-4)
    assert parts.curve.wrong_bits[0] == whole.curve.wrong_bits[0]
    assert parts.slice_rows == min(slice_rows, 36)


def test_fit_loads_what_it_found_into_the_network():
    signal, spec = method("bithead")
    form, network = begin(signal, spec)
    outcome = fit(network, form, signal.samples, spec.settings, iterations=200, device=CPU)
    assert same_tensors(dict(network.state_dict()), outcome.state)
    with torch.no_grad():
        decoded = form.decode(network(form.coordinates()))
    np.testing.assert_array_equal(decoded.numpy(), truth_of(signal))


@every_kind
def test_fit_many_leaves_the_networks_as_they_were(kind):
    signal, spec = method("bithead")
    form, network = begin(signal, spec, kind)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    options = {"iterations": 3, "device": CPU, "compiled": kind == "compiled"}
    fit_many([network], form, [signal.samples], spec.settings, **options)
    assert same_tensors(dict(network.state_dict()), before)


# --- edges --------------------------------------------------------------------------------


@every_kind
@pytest.mark.parametrize("name", SINGLE)
def test_a_budget_of_zero_evaluates_the_initial_weights_only(kind, name):
    signal = noise_signal(bits=4)
    spec = spec_of(signal, representation=name, settings=PUBLISHED)
    form, network = begin(signal, spec)
    initial = {k: v.clone() for k, v in network.state_dict().items()}
    outcome = run(signal, spec, kind, iterations=0)
    assert (outcome.status, outcome.iterations) == ("budget_exhausted", 0)
    assert len(outcome.curve.loss) == 1
    assert same_tensors(outcome.state, initial)
    np.testing.assert_array_equal(outcome.decoded, decoded_by(form, network, initial))
    with torch.no_grad():
        margin = float(form.margin(network(form.coordinates())))
    assert outcome.margin == pytest.approx(margin, abs=1e-5)


@pytest.mark.parametrize("name", ["bithead", "bitplane"])
@pytest.mark.parametrize("value", [0, 255, 77])
def test_a_constant_signal_is_fitted(name, value):
    signal = signal_of(np.full((4, 4, 2), value, np.uint8), 8)
    outcome = run(signal, spec_of(signal, representation=name))
    assert outcome.status == "lossless"
    assert (outcome.decoded == value).all()


@every_kind
@pytest.mark.parametrize("name", ["bithead", "bitplane"])
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1)])
@pytest.mark.parametrize("bits", [1, 16])
def test_a_signal_of_one_sample_is_fitted(kind, name, shape, bits):
    signal = signal_of(random_samples(shape, bits, seed=3), bits)
    outcome = run(signal, spec_of(signal, representation=name), kind)
    assert outcome.status == "lossless"
    assert outcome.decoded.item() == signal.samples.item()


@every_kind
@pytest.mark.parametrize("hidden_layers", [0, 1, 4])
def test_any_number_of_hidden_layers_is_fitted(kind, hidden_layers):
    signal = noise_signal((4, 4, 2), 4)
    outcome = run(signal, spec_of(signal, hidden_layers=hidden_layers), kind)
    assert outcome.status == "lossless"
    assert len(outcome.state) == 2 * (hidden_layers + 2)


@pytest.mark.parametrize("slice_rows", [0, -1])
def test_a_slice_without_rows_is_refused(slice_rows):
    signal, spec = method("bithead")
    with pytest.raises(ValueError, match="slice_rows must be at least 1"):
        run(signal, spec, slice_rows=slice_rows)


@every_kind
def test_more_rows_at_once_than_the_signal_has_take_no_more_memory(kind):
    # In a C int this is 0, and as floats it is some 10 TiB.
    signal, spec = method("bithead")
    outcome = run(signal, spec, kind, slice_rows=2**40)
    assert (outcome.status, outcome.slice_rows) == ("lossless", 36)


@pytest.mark.parametrize("option", [{"look_every": 0}, {"iterations": -1}])
def test_an_option_out_of_range_is_refused(option):
    signal, spec = method("bithead")
    with pytest.raises(ValueError, match=next(iter(option))):
        # A budget that is never reached must not hang the test.
        run(signal, spec, stop=lambda: True, **option)


@every_kind
def test_direct_has_no_focus(kind):
    signal, spec = method("direct", settings=QUICK)
    with pytest.raises(ValueError, match="no focus"):
        run(signal, spec, kind)


# --- divergence ---------------------------------------------------------------------------


@every_kind
@pytest.mark.parametrize("name", SINGLE)
@pytest.mark.parametrize("look_every", [1, 7])
def test_a_fit_that_runs_off_is_diverged_with_its_last_good_weights(kind, name, look_every):
    signal = noise_signal()
    settings = Settings(rate=1e38, output_init="zero")
    spec = spec_of(signal, representation=name, settings=settings, hidden_layers=2)
    form, network = begin(signal, spec)
    outcome = run(signal, spec, kind, look_every=look_every)
    assert outcome.status == "diverged"
    assert 0 < outcome.iterations < 50
    assert all(torch.isfinite(v).all() for v in outcome.state.values())
    # Good up to the copy that is taken before the first update.
    assert torch.equal(outcome.state["layers.0.weight"], network.layers[0].weight)
    np.testing.assert_array_equal(outcome.decoded, decoded_by(form, network, outcome.state))
    assert all(math.isfinite(loss) for loss in outcome.curve.loss)
    assert len(outcome.curve.loss) == outcome.iterations


@every_kind
@pytest.mark.parametrize("name", SINGLE)
def test_a_network_whose_first_loss_is_no_number_is_diverged_at_once(kind, name):
    signal = noise_signal(bits=4)
    spec = spec_of(signal, representation=name, settings=PUBLISHED)
    form, network = begin(signal, spec, kind)
    torch.nn.init.constant_(network.layers[0].weight, math.inf)
    outcome = fit(
        network,
        form,
        signal.samples,
        PUBLISHED,
        iterations=5,
        device=CPU,
        compiled=kind == "compiled",
    )
    assert outcome.engine == kind
    assert (outcome.status, outcome.iterations) == ("diverged", 0)
    assert outcome.curve.loss == []
    assert outcome.decoded.shape == outcome.best_decoded.shape == (36, 1)
    # What is no number decodes to 0 in every form.
    assert not outcome.decoded.any() and not outcome.best_decoded.any()


@every_kind
# Weights are copied at the first look from iteration 50 on, then from 100 on: NaN before, at, and
# after such a look, and after one whose next look is the one at which a copy is due.
@pytest.mark.parametrize(
    ("after", "look_every", "good"),
    [(40, 1, 0), (49, 1, 0), (55, 1, 50), (47, 16, 0), (99, 1, 50), (101, 1, 100)],
)
def test_a_diverged_fit_has_good_weights_wherever_it_diverged(kind, after, look_every, good):
    signal = noise_signal(bits=8)
    spec = spec_of(signal, settings=PUBLISHED)
    form, network, outcome = poisoned(signal, spec, kind, after, look_every=look_every)
    assert (outcome.status, outcome.iterations) == ("diverged", after + 1)
    assert all(torch.isfinite(v).all() for v in outcome.state.values())
    np.testing.assert_array_equal(outcome.decoded, decoded_by(form, network, outcome.state))
    with torch.no_grad():
        margin = float(form.margin(network(form.coordinates())))
    assert outcome.margin == pytest.approx(margin, abs=1e-5)
    assert outcome.margin_iterations == good
    assert same_tensors(outcome.state, run(signal, spec, kind, iterations=good).state)


# --- schedule and optimiser ---------------------------------------------------------------


@every_kind
def test_zero_output_weights_start_the_loss_of_the_bias_alone(kind):
    signal, spec = method("bithead, warm-up and cosine")
    form, network = begin(signal, spec)
    outcome = run(signal, spec, kind, iterations=0)
    assert (outcome.state["layers.2.weight"] == 0).all()
    logits = network.layers[-1].bias.detach().expand(form.rows, -1)
    targets = form.targets(torch.as_tensor(truth_of(signal)))
    total, weights = form.loss(logits, targets, spec.settings.focus)
    assert outcome.curve.loss[0] == pytest.approx(float(total / weights), rel=1e-5)


# --- what is reported ---------------------------------------------------------------------


@every_kind
@pytest.mark.parametrize("name", SINGLE)
# The first is restless, so that best and last differ; the second stands still: all are equal.
@pytest.mark.parametrize("rate", [1.0, 1e-12])
@pytest.mark.parametrize("look_every", [1, 3])
def test_best_over_training_is_the_first_smallest_squared_error(kind, name, rate, look_every):
    signal = noise_signal(bits=8)
    spec = spec_of(signal, representation=name, settings=Settings(rate=rate))
    outcome = run(signal, spec, kind, iterations=8, look_every=look_every)
    errors = outcome.curve.squared_error
    assert outcome.best_iteration == errors.index(min(errors))
    best, last = (
        int(((integers - truth_of(signal)) ** 2).sum())
        for integers in (outcome.best_decoded, outcome.decoded)
    )
    assert best == min(errors)
    assert best <= last == errors[-1]


@every_kind
@pytest.mark.parametrize(
    ("name", "macs", "rows"),
    # Width 16, one hidden layer, 2 or 3 inputs, 1 or n outputs, on 6x6 samples.
    [
        ("direct", 2 * 16 + 16 * 16 + 16 * 1, 36),
        ("bithead", 2 * 16 + 16 * 16 + 16 * 8, 36),
        ("bitplane", 3 * 16 + 16 * 16 + 16 * 1, 288),
    ],
)
@pytest.mark.parametrize("budget", [0, 3])
def test_flops_are_six_per_product_and_row_and_two_for_the_last_look(
    kind, name, macs, rows, budget
):
    signal = noise_signal()
    spec = spec_of(signal, representation=name, settings=PUBLISHED)
    outcome = run(signal, spec, kind, iterations=budget)
    assert outcome.status == "budget_exhausted"
    assert outcome.flops == (6 * budget + 2) * macs * rows
    # Rows that training has seen; the last look is none of it.
    assert outcome.rows_seen == budget * rows


@every_kind
def test_flops_of_a_lossless_fit_count_its_last_training_pass_in_full(kind):
    signal, spec = method("bithead")
    outcome = run(signal, spec, kind)
    macs = 2 * 16 + 16 * 16 + 16 * 8
    assert outcome.flops == 6 * (outcome.iterations + 1) * macs * 36
    assert outcome.rows_seen == (outcome.iterations + 1) * 36


@every_kind
@pytest.mark.parametrize("name", ["bithead", "bitplane"])
@pytest.mark.parametrize("look_every", [2, 7, 16, 1000])
def test_rare_looks_report_and_keep_the_first_zero_all_the_same(kind, name, look_every):
    signal, spec = method(name)
    often, rarely = (run(signal, spec, kind, look_every=every) for every in (1, look_every))
    assert often.status == rarely.status == "lossless"
    assert rarely.iterations == often.iterations
    assert rarely.margin == often.margin
    assert rarely.curve.loss == often.curve.loss
    assert rarely.curve.wrong_bits == often.curve.wrong_bits
    assert len(rarely.curve.seconds) == len(rarely.curve.loss)
    assert same_tensors(rarely.state, often.state)
    assert (rarely.decoded == often.decoded).all()
    assert rarely.best_iteration == often.best_iteration
    # What the loop did after the first zero is counted, not hidden.
    rows = signal.samples.size * (signal.bits if name == "bitplane" else 1)
    assert often.rows_seen <= rarely.rows_seen <= often.rows_seen + (look_every - 1) * rows


def test_seconds_of_the_curve_rise_and_end_with_those_of_the_fit():
    signal, spec = method("bithead")
    outcome = run(signal, spec, look_every=4)
    assert outcome.curve.seconds == sorted(outcome.curve.seconds)
    assert 0 < outcome.curve.seconds[-1] <= outcome.seconds


@every_kind
@pytest.mark.parametrize("look_every", [1, 16])
def test_ssim_is_kept_at_the_schedule_the_best_and_the_end(kind, look_every):
    signal = noise_signal((12, 12, 1))
    spec = spec_of(signal, settings=PUBLISHED)
    outcome = run(signal, spec, kind, iterations=8, look_every=look_every)
    assert set(outcome.ssim) == {1, 2, 3, 6, 8, outcome.best_iteration}
    decoded = outcome.decoded.reshape(12, 12, 1)
    assert outcome.ssim[8] == ssim(decoded, signal.samples.astype(np.int64), 8)


def test_a_sound_has_no_ssim():
    signal = signal_of(random_samples((300, 1), 8), 8)
    assert run(signal, spec_of(signal, settings=PUBLISHED), iterations=3).ssim == {}


def test_progress_sees_every_iteration_with_its_wrong_bits():
    signal, spec = method("bithead")
    seen = []
    outcome = run(signal, spec, progress=lambda t, wrong: seen.append((t, wrong)))
    assert seen == list(enumerate(map(sum, outcome.curve.wrong_bits)))
    assert seen[-1] == (outcome.iterations, 0)


# --- memory that runs out -----------------------------------------------------------------


def starved(monkeypatch, limit, error):
    """PyTorch's pass has memory for slices of at most `limit` rows."""
    forward = LayerwisePass.forward
    refused = []

    def tight(self, rows):
        if len(rows) > limit:
            refused.append(len(rows))
            raise error
        return forward(self, rows)

    monkeypatch.setattr(LayerwisePass, "forward", tight)
    return refused


ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory"),
    RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 99 bytes"),
]


@pytest.mark.parametrize("error", ERRORS, ids=["cuda", "cpu"])
@pytest.mark.parametrize(
    ("name", "slice_rows", "limit", "refused"),
    [
        ("bithead", 36, 10, [36, 18]),
        ("bithead", 10**6, 35, [36]),
        ("bitplane", 144, 4, [144, 72, 36, 16, 8]),  # slices hold whole positions of 4 rows
    ],
)
def test_a_slice_that_does_not_fit_into_memory_is_halved(
    monkeypatch, error, name, slice_rows, limit, refused
):
    signal, spec = method(name)
    expected = run(signal, spec, "layerwise", slice_rows=slice_rows)
    found = starved(monkeypatch, limit, error)
    outcome = run(signal, spec, "layerwise", slice_rows=slice_rows)
    assert found == refused
    assert outcome.slice_rows <= max(limit, 4) < slice_rows
    assert (outcome.status, outcome.iterations) == (expected.status, expected.iterations)
    assert outcome.curve.loss == pytest.approx(expected.curve.loss, rel=1e-3)
    # The attempts that failed are no work of the fit.
    assert (outcome.flops, outcome.rows_seen) == (expected.flops, expected.rows_seen)


@pytest.mark.parametrize("error", ERRORS, ids=["cuda", "cpu"])
@pytest.mark.parametrize(("name", "rows"), [("bithead", 1), ("bitplane", 4)])
def test_memory_that_is_too_small_for_one_position_is_an_error(monkeypatch, error, name, rows):
    signal, spec = method(name)
    refused = starved(monkeypatch, 0, error)
    with pytest.raises(RuntimeError, match="memory"):
        run(signal, spec, "layerwise")
    assert refused[-1] == rows


def test_another_error_is_not_taken_for_want_of_memory(monkeypatch):
    signal, spec = method("bithead")
    refused = starved(monkeypatch, 0, RuntimeError("shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="shapes"):
        run(signal, spec, "layerwise")
    assert refused == [36]
