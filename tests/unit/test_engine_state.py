import copy
import math
from itertools import pairwise

import pytest
import torch
from tiny import CPU, QUICK, begin, noise_signal, spec_of

from lossless_inr.engine.compiled import CompiledPass
from lossless_inr.engine.passes import Batch
from lossless_inr.engine.settings import Settings
from lossless_inr.engine.state import State, real

PUBLISHED = Settings()
SCHEDULE = Settings(
    rate=1e-3,
    output_factor=40.0,
    bias_factor=0.2,
    beta1=0.8,
    beta2=0.95,
    warmup=3,
    decay="cosine",
    horizon=8,
    floor=0.1,
)


def network_of(name="siren", **changes):
    signal = noise_signal()
    return begin(signal, spec_of(signal, network=name, hidden_layers=2, **changes))[1]


def in_double(network):
    for parameter in network.parameters():
        parameter.data = parameter.to(torch.complex128 if parameter.is_complex() else torch.float64)
    return network


def flat(tensors):
    return torch.cat([real(tensor.detach()).reshape(-1) for tensor in tensors])


# --- the schedule -------------------------------------------------------------------------


def test_a_constant_rate_has_factor_one_throughout():
    assert {PUBLISHED.rate_factor(t) for t in (0, 1, 10, 10**6)} == {1.0}


def test_warm_up_rises_linearly_and_then_stays():
    settings = Settings(warmup=4)
    found = [settings.rate_factor(t) for t in range(6)]
    assert found == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


@pytest.mark.parametrize("floor", [0.0, 0.1, 1.0])
def test_cosine_falls_from_one_to_the_floor_over_the_horizon_and_stays(floor):
    settings = Settings(decay="cosine", horizon=80, floor=floor)
    factors = [settings.rate_factor(t) for t in range(200)]
    assert factors[0] == 1.0
    assert factors[40] == pytest.approx((1 + floor) / 2)
    assert factors[20] == pytest.approx(floor + (1 - floor) * (2 + math.sqrt(2)) / 4)
    assert factors[80:] == pytest.approx([floor] * 120)
    assert all(a >= b for a, b in pairwise(factors))


def test_steps_multiply_after_each_tenth_of_the_horizon():
    settings = Settings(decay="steps", horizon=200, floor=1e-9)
    factors = [settings.rate_factor(t) for t in (0, 19, 20, 39, 40, 179, 180, 199, 200, 10**6)]
    assert factors == pytest.approx([1, 1, 0.1, 0.1, 0.01, 1e-8, 1e-9, 1e-9, 1e-9, 1e-9])


def test_warm_up_multiplies_the_cosine():
    settings = Settings(warmup=10, decay="cosine", horizon=20, floor=0.2)
    cosine = settings.model_copy(update={"warmup": 0})
    for t in (0, 4, 9, 15, 30):
        expected = min(1, (t + 1) / 10) * cosine.rate_factor(t)
        assert settings.rate_factor(t) == pytest.approx(expected)


# --- rows of real numbers -----------------------------------------------------------------


@pytest.mark.parametrize("name", ["siren", "relu_pe", "wire"])
@pytest.mark.parametrize("width", [16, 17])
def test_each_parameter_gets_the_rate_of_its_layer_and_kind(name, width):
    network = network_of(name, width=width)
    rates = State([network], SCHEDULE)
    rates = rates.views(rates.rates)
    assert rates.keys() == dict(network.named_parameters()).keys()
    for index, layer in enumerate(network.layers):
        share = 40.0 if layer is network.layers[-1] else 1.0
        for kind, factor in (("weight", 1.0), ("bias", 0.2)):
            found = rates[f"layers.{index}.{kind}"]
            assert found.shape == real(getattr(layer, kind)).shape
            assert found.unique().tolist() == [pytest.approx(1e-3 * share * factor)]


@pytest.mark.parametrize("name", ["siren", "wire"])
@pytest.mark.parametrize("width", [16, 17])
def test_views_are_the_parameters_of_every_member_in_place(name, width):
    networks = [network_of(name, width=width, seed=seed) for seed in range(3)]
    state = State(networks, PUBLISHED)
    views = state.views(state.weights)
    for row, network in enumerate(networks):
        for key, parameter in network.named_parameters():
            assert torch.equal(views[key][row], real(parameter.detach())), key
            # A network's row alone gives the same, without the axis of members.
            assert torch.equal(state.views(state.weights[row])[key], real(parameter.detach()))
    views["layers.1.bias"][2] = 7.0
    assert (state.views(state.weights[2])["layers.1.bias"] == 7.0).all()
    assert not (state.weights[:2] == 7.0).any()
    # The networks' own parameters are copies: fitting does not change what was handed in.
    assert not any((real(p.detach()) == 7.0).any() for p in networks[2].parameters())


def test_keeping_members_keeps_their_rows_in_the_order_asked_for():
    state = State([network_of(seed=seed) for seed in range(3)], PUBLISHED)
    for number, name in enumerate(("gradients", "mean", "square")):
        getattr(state, name).copy_(torch.arange(3)[:, None] + 10 * number)
    weights = state.weights.clone()
    state.step = 5
    state.keep([2, 0])
    assert torch.equal(state.weights, weights[[2, 0]])
    for number, name in enumerate(("gradients", "mean", "square")):
        found = getattr(state, name)
        assert found.is_contiguous() and found.shape == (2, weights.shape[1])
        assert [row.unique().tolist() for row in found] == [[2 + 10 * number], [10 * number]]
    assert state.step == 5


# --- Adam ---------------------------------------------------------------------------------


def reference_adam(network, settings):
    """torch.optim.Adam with the rates of a recipe; a function that takes gradients and steps."""
    rates = {}
    for layer in network.layers:
        share = settings.output_factor if layer is network.layers[-1] else 1.0
        rates[layer.weight] = share * settings.rate
        if layer.bias is not None:
            rates[layer.bias] = share * settings.bias_factor * settings.rate
    adam = torch.optim.Adam(
        [{"params": [p], "lr": rate} for p, rate in rates.items()],
        betas=(settings.beta1, settings.beta2),
    )

    def step(gradients, factor):
        for group, rate in zip(adam.param_groups, rates.values(), strict=True):
            group["lr"] = rate * factor
        for parameter, gradient in zip(network.parameters(), gradients, strict=True):
            parameter.grad = gradient
        adam.step()

    return step


@pytest.mark.parametrize("name", ["siren", "relu_pe", "wire"])
@pytest.mark.parametrize("settings", [PUBLISHED, SCHEDULE], ids=["published", "schedule"])
@pytest.mark.parametrize("width", [16, 17])
def test_an_update_is_that_of_adam_with_a_rate_for_each_parameter(name, settings, width):
    networks = [in_double(network_of(name, width=width, seed=seed)) for seed in range(2)]
    state = State(networks, settings)
    assert state.weights.dtype == torch.float64
    steps = [reference_adam(network, settings) for network in networks]
    generator = torch.Generator().manual_seed(0)
    for update in range(12):
        views = state.views(state.gradients)
        for row, (network, step) in enumerate(zip(networks, steps, strict=True)):
            gradients = []
            for key, parameter in network.named_parameters():
                # From tiny to large, so that epsilon matters for some and not for others.
                size = 10.0 ** torch.randint(-12, 3, parameter.shape, generator=generator)
                gradient = size * torch.randn(
                    parameter.shape, dtype=parameter.dtype, generator=generator
                )
                views[key][row] = real(gradient)
                gradients.append(gradient)
            step(gradients, settings.rate_factor(update))
        state.update()
        for row, network in enumerate(networks):
            for key, parameter in network.named_parameters():
                found = state.views(state.weights[row])[key]
                wanted = real(parameter.detach())
                torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)
    assert state.step == 12


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("width", "members"), [(5, 1), (16, 3), (330, 2)])
def test_the_compiled_update_is_that_of_the_state(threads, width, members):
    # 330 wide has more than 200,000 parameters: two threads share one network's out.
    signal = noise_signal()
    fits = [
        begin(signal, spec_of(signal, width=width, hidden_layers=2, seed=seed), "compiled")
        for seed in range(members)
    ]
    form, networks = fits[0][0], [network for _, network in fits]
    plain, fast = (State(copy.deepcopy(networks), SCHEDULE) for _ in range(2))
    assert width != 330 or plain.weights.shape[1] > 200_000
    batch = Batch(form, [signal.samples] * members, CPU)
    torch.set_num_threads(threads)
    passes = CompiledPass(networks, batch, fast, 36)
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(1)
    for _ in range(6):
        powers = torch.randint(-12, 3, plain.gradients.shape, generator=generator)
        gradient = 10.0**powers * torch.randn(plain.gradients.shape, generator=generator)
        for state, update in ((plain, plain.update), (fast, passes.update)):
            state.gradients.copy_(gradient)
            update()
        # A few roundings. Means cancel, so theirs are measured by the gradients' size.
        size = plain.square.sqrt()
        assert float(((fast.mean - plain.mean).abs() / size).max()) < 2e-6
        assert float(((fast.square - plain.square).abs() / plain.square).max()) < 2e-6
        torch.testing.assert_close(fast.weights, plain.weights, rtol=1e-6, atol=5e-7)
    assert (fast.step, plain.step) == (6, 6)


def test_quick_settings_move_the_output_layer_faster_than_the_others():
    network = network_of()
    state = State([network], QUICK)
    before = state.views(state.weights.clone())
    state.gradients.fill_(1.0)
    state.update()
    moved = {k: (v - before[k]).abs().max().item() for k, v in state.views(state.weights).items()}
    # The first step of Adam is the rate itself, whatever the gradient.
    assert moved["layers.3.weight"] == pytest.approx(3e-3 * 20, rel=1e-4)
    assert moved["layers.1.weight"] == pytest.approx(3e-3, rel=1e-4)
    assert moved["layers.1.bias"] == pytest.approx(3e-3 * 0.2, rel=1e-3)
