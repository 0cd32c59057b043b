import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from lossless_inr.fitting.engine import FullBatch, fit, optimiser, rate_factor
from tiny import FORMS, QUICK, build_form, noise_signal, random_samples, signal_of, spec_of

from lossless_inr.fitting.fit import build_network, load_weights, save_weights
from lossless_inr.fitting.recipe import Settings
from lossless_inr.metrics import ssim

CPU = torch.device("cpu")
PUBLISHED = Settings()
WARM_COSINE = QUICK.model_copy(
    update={"warmup": 5, "decay": "cosine", "horizon": 20, "floor": 0.1, "output_init": "zero"}
)
# Methods that are lossless on the 6x6 signal within their budget.
METHODS = {
    "bithead": (8, QUICK),
    "bitplane": (4, QUICK),
    "direct": (1, Settings(rate=1e-3, output_factor=20.0)),
    "bithead, unweighted": (8, QUICK.model_copy(update={"focus": 0.0})),
    "bithead, warm-up and cosine": (8, WARM_COSINE),
}


def method(name):
    bits, settings = METHODS[name]
    signal = noise_signal(bits=bits)
    return signal, spec_of(signal, representation=name.partition(",")[0], settings=settings)


def begin(signal, spec):
    form = build_form(spec.representation, signal.samples.shape, signal.bits)
    return form, build_network(spec, form)


def run(signal, spec, iterations=None, slice_rows=4096, **options):
    form, network = begin(signal, spec)
    budget = spec.iterations if iterations is None else iterations
    outcome = fit(
        network,
        form,
        signal.samples,
        spec.settings,
        iterations=budget,
        slice_rows=slice_rows,
        device=CPU,
        **options,
    )
    return form, network, outcome


def truth_of(signal):
    return signal.samples.astype(np.int64).reshape(-1, signal.samples.shape[-1])


def decoded_by(form, network, state):
    network.load_state_dict(state)
    with torch.no_grad():
        return form.decode(network(form.coordinates())).numpy()


# --- the gradient -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "focus"),
    [("direct", 0.0), *((n, p) for n in ("bithead", "bitplane") for p in (0.0, 1.0, 2.0))],
)
@pytest.mark.parametrize("slice_rows", [1, 7, 40])
@pytest.mark.parametrize("shape", [(5, 4, 3), (19, 2)])
def test_gradient_by_slices_is_the_gradient_of_the_whole_batch(name, focus, slice_rows, shape):
    signal = signal_of(random_samples(shape, 4), 4)
    form, network = begin(signal, spec_of(signal, representation=name, hidden_layers=2))
    network.double()
    batch = FullBatch(form, signal.samples, slice_rows, CPU)
    assert len(batch.slices) > 1 or slice_rows == 40
    batch.coordinates = batch.coordinates.double()
    decoded, loss, _ = batch.train(network, focus)
    found = {key: p.grad.clone() for key, p in network.named_parameters()}

    network.zero_grad()
    outputs = network(form.coordinates().double())
    total, weights = form.loss(outputs, form.targets(torch.as_tensor(truth_of(signal))), focus)
    whole = total / weights
    whole.backward()
    assert loss.item() == pytest.approx(whole.item(), rel=1e-12)
    np.testing.assert_array_equal(decoded.numpy(), form.decode(outputs).numpy())
    for key, parameter in network.named_parameters():
        scale = float(parameter.grad.abs().max())
        np.testing.assert_allclose(found[key], parameter.grad, rtol=0, atol=1e-10 * scale)


@pytest.mark.parametrize("name", FORMS)
def test_evaluation_counts_like_training_and_leaves_no_gradient(name):
    signal = noise_signal(bits=6)
    form, network = begin(signal, spec_of(signal, representation=name))
    batch = FullBatch(form, signal.samples, 7, CPU)
    evaluated = batch.evaluate(network, 0.0)
    assert all(p.grad is None for p in network.parameters())
    trained = batch.train(network, 0.0)
    assert all(torch.equal(one, other) for one, other in zip(evaluated, trained, strict=True))
    decoded, _, errors = trained
    difference = truth_of(signal) ^ decoded.numpy()
    assert errors[:-1].tolist() == [int(((difference >> k) & 1).sum()) for k in range(6)]
    assert errors[-1] == int(((truth_of(signal) - decoded.numpy()) ** 2).sum())


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
        rates[layer.bias] = share * settings.bias_factor * settings.rate
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


@pytest.mark.parametrize("name", METHODS)
def test_iterations_to_lossless_are_those_of_a_loop_that_looks_after_each_update(name):
    signal, spec = method(name)
    _, _, outcome = run(signal, spec)
    form, network = begin(signal, spec)
    expected = naive_iterations(network, form, signal.samples, spec.settings, spec.iterations)
    assert outcome.status == "lossless"
    assert outcome.iterations == expected > 1
    assert len(outcome.curve.loss) == expected + 1


@pytest.mark.parametrize("name", METHODS)
def test_one_update_less_than_needed_is_not_lossless_and_just_enough_is(name):
    signal, spec = method(name)
    needed = run(signal, spec)[2].iterations
    short, enough = (run(signal, spec, iterations=n)[2] for n in (needed - 1, needed))
    assert (short.status, short.iterations) == ("budget_exhausted", needed - 1)
    assert sum(short.curve.wrong_bits[-1]) > 0
    assert (enough.status, enough.iterations) == ("lossless", needed)


@pytest.mark.parametrize("name", METHODS)
def test_the_state_of_a_lossless_fit_decodes_exactly_after_saving(name, tmp_path):
    signal, spec = method(name)
    form, _, outcome = run(signal, spec)
    save_weights(outcome.state, tmp_path / "w.safetensors")
    _, fresh = begin(signal, spec)
    load_weights(fresh, tmp_path / "w.safetensors")
    decoded = decoded_by(form, fresh, fresh.state_dict())
    for integers in (decoded, outcome.decoded, outcome.best_decoded):
        np.testing.assert_array_equal(integers, truth_of(signal))
    assert outcome.best_iteration == outcome.iterations
    assert outcome.curve.squared_error[-1] == sum(outcome.curve.wrong_bits[-1]) == 0


def test_slicing_changes_neither_outcome_nor_first_losses():
    signal, spec = method("bithead")
    whole, parts = (run(signal, spec, slice_rows=rows)[2] for rows in (4096, 5))
    assert (whole.status, parts.status) == ("lossless", "lossless")
    assert parts.curve.loss[:3] == pytest.approx(whole.curve.loss[:3], rel=1e-4)
    assert parts.curve.wrong_bits[0] == whole.curve.wrong_bits[0]


# --- edges --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FORMS)
def test_a_budget_of_zero_evaluates_the_initial_weights_only(name):
    signal = noise_signal(bits=4)
    spec = spec_of(signal, representation=name, settings=PUBLISHED)
    form, network = begin(signal, spec)
    initial = {k: v.clone() for k, v in network.state_dict().items()}
    _, _, outcome = run(signal, spec, iterations=0)
    assert (outcome.status, outcome.iterations) == ("budget_exhausted", 0)
    assert len(outcome.curve.loss) == 1
    for key, value in outcome.state.items():
        assert torch.equal(value, initial[key])
    np.testing.assert_array_equal(outcome.decoded, decoded_by(form, network, initial))


@pytest.mark.parametrize("name", ["bithead", "bitplane"])
@pytest.mark.parametrize("value", [0, 255, 77])
def test_a_constant_signal_is_fitted(name, value):
    signal = signal_of(np.full((4, 4, 2), value, np.uint8), 8)
    _, _, outcome = run(signal, spec_of(signal, representation=name))
    assert outcome.status == "lossless"
    assert (outcome.decoded == value).all()


@pytest.mark.parametrize("name", ["bithead", "bitplane"])
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1)])
@pytest.mark.parametrize("bits", [1, 16])
def test_a_signal_of_one_sample_is_fitted(name, shape, bits):
    signal = signal_of(random_samples(shape, bits, seed=3), bits)
    _, _, outcome = run(signal, spec_of(signal, representation=name))
    assert outcome.status == "lossless"
    assert outcome.decoded.item() == signal.samples.item()


@pytest.mark.parametrize("name", ["direct", "bithead", "bitplane"])
def test_a_fit_that_runs_off_is_diverged_with_its_last_good_weights(name):
    signal = noise_signal()
    settings = Settings(rate=1e30, output_init="zero")
    spec = spec_of(signal, representation=name, settings=settings, hidden_layers=2)
    form, network, outcome = run(signal, spec)
    assert outcome.status == "diverged"
    assert 0 < outcome.iterations < 50
    assert all(torch.isfinite(v).all() for v in outcome.state.values())
    # Good up to the copy that is taken before the first update.
    _, initial = begin(signal, spec)
    assert torch.equal(outcome.state["layers.0.weight"], initial.layers[0].weight)
    np.testing.assert_array_equal(outcome.decoded, decoded_by(form, network, outcome.state))
    assert all(math.isfinite(loss) for loss in outcome.curve.loss)
    assert len(outcome.curve.loss) == outcome.iterations


@pytest.mark.parametrize("name", FORMS)
def test_a_network_whose_first_loss_is_no_number_is_diverged_at_once(name):
    signal = noise_signal(bits=4)
    spec = spec_of(signal, representation=name, settings=PUBLISHED)
    form, network = begin(signal, spec)
    torch.nn.init.constant_(network.layers[0].weight, math.inf)
    outcome = fit(network, form, signal.samples, PUBLISHED, iterations=5, slice_rows=99, device=CPU)
    assert (outcome.status, outcome.iterations) == ("diverged", 0)
    assert outcome.curve.loss == []
    assert outcome.decoded.shape == outcome.best_decoded.shape == (36, 1)


# --- schedule and optimiser ---------------------------------------------------------------


def test_a_constant_rate_has_factor_one_throughout():
    assert {rate_factor(PUBLISHED, t) for t in (0, 1, 10, 10**6)} == {1.0}


def test_warm_up_rises_linearly_and_then_stays():
    settings = Settings(warmup=4)
    found = [rate_factor(settings, t) for t in range(6)]
    assert found == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


@pytest.mark.parametrize("floor", [0.0, 0.1, 1.0])
def test_cosine_falls_from_one_to_the_floor_over_the_horizon_and_stays(floor):
    settings = Settings(decay="cosine", horizon=80, floor=floor)
    factors = [rate_factor(settings, t) for t in range(200)]
    assert factors[0] == 1.0
    assert factors[40] == pytest.approx((1 + floor) / 2)
    assert factors[20] == pytest.approx(floor + (1 - floor) * (2 + math.sqrt(2)) / 4)
    assert factors[80:] == pytest.approx([floor] * 120)
    assert all(a >= b for a, b in pairwise(factors))


def test_warm_up_multiplies_the_cosine():
    settings = Settings(warmup=10, decay="cosine", horizon=20, floor=0.2)
    cosine = settings.model_copy(update={"warmup": 0})
    for t in (0, 4, 9, 15, 30):
        expected = min(1, (t + 1) / 10) * rate_factor(cosine, t)
        assert rate_factor(settings, t) == pytest.approx(expected)


@pytest.mark.parametrize("network_name", ["siren", "relu_pe", "wire"])
def test_each_parameter_gets_the_rate_of_its_layer_and_kind(network_name):
    signal = noise_signal()
    settings = Settings(rate=1e-3, output_factor=40.0, bias_factor=0.2, beta1=0.8, beta2=0.95)
    _, network = begin(signal, spec_of(signal, network=network_name, hidden_layers=2))
    adam = optimiser(network, settings)
    rates = {id(p): group["lr"] for group in adam.param_groups for p in group["params"]}
    assert sum(len(group["params"]) for group in adam.param_groups) == len(rates)
    assert rates.keys() == {id(p) for p in network.parameters()}
    for layer in network.layers:
        share = 40.0 if layer is network.layers[-1] else 1.0
        assert rates[id(layer.weight)] == pytest.approx(1e-3 * share)
        assert rates[id(layer.bias)] == pytest.approx(1e-3 * share * 0.2)
    assert {group["betas"] for group in adam.param_groups} == {(0.8, 0.95)}


def test_zero_output_weights_start_the_loss_of_the_bias_alone():
    signal, spec = method("bithead, warm-up and cosine")
    form, network = begin(signal, spec)
    _, _, outcome = run(signal, spec, iterations=0)
    assert (outcome.state["layers.2.weight"] == 0).all()
    logits = network.layers[-1].bias.detach().expand(form.rows, -1)
    targets = form.targets(torch.as_tensor(truth_of(signal)))
    total, weights = form.loss(logits, targets, spec.settings.focus)
    assert outcome.curve.loss[0] == pytest.approx(float(total / weights), rel=1e-5)


# --- what is reported ---------------------------------------------------------------------


@pytest.mark.parametrize("name", FORMS)
# The first is restless, so that best and last differ; the second stands still: all are equal.
@pytest.mark.parametrize("rate", [1.0, 1e-12])
def test_best_over_training_is_the_first_smallest_squared_error(name, rate):
    signal = noise_signal(bits=8)
    settings = Settings(rate=rate)
    _, _, outcome = run(signal, spec_of(signal, representation=name, settings=settings), 8)
    errors = outcome.curve.squared_error
    assert outcome.best_iteration == errors.index(min(errors))
    best, last = (
        int(((integers - truth_of(signal)) ** 2).sum())
        for integers in (outcome.best_decoded, outcome.decoded)
    )
    assert best == min(errors)
    assert best <= last == errors[-1]


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
def test_flops_are_six_per_product_and_row_and_two_for_the_last_look(name, macs, rows, budget):
    signal = noise_signal()
    spec = spec_of(signal, representation=name, settings=PUBLISHED)
    _, _, outcome = run(signal, spec, iterations=budget)
    assert outcome.status == "budget_exhausted"
    assert outcome.flops == (6 * budget + 2) * macs * rows
    assert outcome.rows_seen == (budget + 1) * rows


def test_flops_of_a_lossless_fit_count_its_last_training_pass_in_full():
    signal, spec = method("bithead")
    outcome = run(signal, spec)[2]
    macs = 2 * 16 + 16 * 16 + 16 * 8
    assert outcome.flops == 6 * (outcome.iterations + 1) * macs * 36


@pytest.mark.parametrize("name", ["bithead", "bitplane"])
@pytest.mark.parametrize("look_every", [2, 7, 16, 1000])
def test_rare_looks_report_and_keep_the_first_zero_all_the_same(name, look_every):
    signal, spec = method(name)
    outcomes = []
    for every in (1, look_every):
        form, network = begin(signal, spec)
        outcomes.append(
            fit(
                network,
                form,
                signal.samples,
                spec.settings,
                iterations=spec.iterations,
                slice_rows=50,
                device=CPU,
                look_every=every,
            )
        )
    often, rarely = outcomes
    assert often.status == rarely.status == "lossless"
    assert rarely.iterations == often.iterations
    assert rarely.curve.loss == often.curve.loss
    assert rarely.curve.wrong_bits == often.curve.wrong_bits
    assert all(torch.equal(rarely.state[key], often.state[key]) for key in often.state)
    assert (rarely.decoded == often.decoded).all()
    # What the loop did after the first zero is counted, not hidden.
    assert often.rows_seen <= rarely.rows_seen <= often.rows_seen + (look_every - 1) * form.rows


@pytest.mark.parametrize("look_every", [1, 7])
def test_rare_looks_find_the_same_divergence(look_every):
    signal = noise_signal()
    spec = spec_of(signal, representation="direct", settings=Settings(rate=1e30), hidden_layers=2)
    form, network = begin(signal, spec)
    outcome = fit(
        network,
        form,
        signal.samples,
        spec.settings,
        iterations=60,
        slice_rows=50,
        device=CPU,
        look_every=look_every,
    )
    assert outcome.status == "diverged"
    assert outcome.iterations == len(outcome.curve.loss)
    assert all(torch.isfinite(tensor).all() for tensor in outcome.state.values())


def test_ssim_is_kept_at_the_schedule_the_best_and_the_end():
    signal = noise_signal((12, 12, 1))
    spec = spec_of(signal, settings=PUBLISHED)
    _, _, outcome = run(signal, spec, iterations=8)
    assert set(outcome.ssim) == {1, 2, 3, 6, 8, outcome.best_iteration}
    decoded = outcome.decoded.reshape(12, 12, 1)
    assert outcome.ssim[8] == ssim(decoded, signal.samples.astype(np.int64), 8)


def test_progress_sees_every_iteration_with_its_wrong_bits():
    signal, spec = method("bithead")
    seen = []
    outcome = run(signal, spec, progress=lambda t, wrong: seen.append((t, wrong)))[2]
    assert seen == list(enumerate(map(sum, outcome.curve.wrong_bits)))
    assert seen[-1] == (outcome.iterations, 0)
