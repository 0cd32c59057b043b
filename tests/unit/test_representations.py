import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from tiny import FORMS, build_form, random_samples

from lossless_inr import registry
from lossless_inr.engine.passes import slices
from lossless_inr.errors import UserError
from lossless_inr.fitting.forms import LOSSES, check_parameters, regresses_values
from lossless_inr.representations import _base
from lossless_inr.representations._base import (
    TIME_STEP,
    BitRepresentation,
    from_planes,
    signal_axes,
    to_planes,
)

BIT_FORMS = [name for name in FORMS if not regresses_values(name)]
every_form = pytest.mark.parametrize("name", FORMS)
every_bit_form = pytest.mark.parametrize("name", BIT_FORMS)

images = st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 4))
sounds = st.tuples(st.integers(1, 20), st.integers(1, 4))


def ranges_of(form, slice_rows):
    return slices(form.rows, form.rows_per_sample, slice_rows)


@st.composite
def signals(draw):
    bits = draw(st.integers(1, 16))
    values = st.integers(0, 2**bits - 1)
    samples = draw(st_numpy.arrays(np.int64, draw(images | sounds), elements=values))
    return samples, bits


def rows_of(samples):
    return torch.as_tensor(samples.reshape(-1, samples.shape[-1]))


def perfect_outputs(form, targets):
    if isinstance(form, BitRepresentation):
        return 10 * (2 * targets.to(torch.float32) - 1)
    return targets


def random_batch(name, bits=5, channels=2, seed=0):
    form = build_form(name, (3, 4, channels), bits)
    targets = form.targets(rows_of(random_samples(form.shape, bits, seed).astype(np.int64)))
    generator = torch.Generator().manual_seed(seed)
    outputs = torch.randn(targets.shape, dtype=torch.float64, generator=generator)
    return form, outputs, targets


@every_form
@given(signal=signals())
def test_decode_inverts_encode(name, signal):
    samples, bits = signal
    form = build_form(name, samples.shape, bits)
    truth = rows_of(samples)
    decoded = form.decode(perfect_outputs(form, form.targets(truth)))
    assert decoded.dtype == torch.int64
    assert torch.equal(decoded, truth)


@every_form
@given(signal=signals(), slice_rows=st.sampled_from([1, 2, 7, 33, 10**6]))
def test_slices_of_whole_positions_decode_like_the_whole(name, signal, slice_rows):
    samples, bits = signal
    form = build_form(name, samples.shape, bits)
    truth = rows_of(samples)
    outputs = perfect_outputs(form, form.targets(truth))
    ranges = ranges_of(form, slice_rows)
    edges = [0, *(rows.stop for rows in ranges)]
    assert [rows.start for rows in ranges] == edges[:-1]
    assert edges[-1] == form.rows
    assert max(r.stop - r.start for r in ranges) <= max(slice_rows, form.rows_per_sample)
    assert torch.equal(torch.cat([form.decode(outputs[rows]) for rows in ranges]), truth)


@every_form
@given(signal=signals())
def test_rows_axes_and_outputs_agree_with_coordinates_and_targets(name, signal):
    samples, bits = signal
    form = build_form(name, samples.shape, bits)
    coordinates, targets = form.coordinates(), form.targets(rows_of(samples))
    assert coordinates.shape == (form.rows, len(form.axes))
    assert coordinates.dtype == torch.float32
    assert targets.shape == (form.rows, form.networks * form.outputs)
    assert torch.isfinite(coordinates).all()
    assert len(torch.unique(coordinates, dim=0)) == form.rows


@pytest.mark.parametrize(
    ("name", "axes", "rows", "outputs"),
    [
        ("direct", 2, 12, 2),
        ("bithead", 2, 12, 10),
        ("bitplane", 3, 60, 2),
        ("bitchannel", 4, 120, 1),
    ],
)
def test_sizes_of_a_3x4_image_of_2_channels_and_5_bits(name, axes, rows, outputs):
    form = build_form(name, (3, 4, 2), 5)
    assert (len(form.axes), form.rows, form.outputs) == (axes, rows, outputs)


@every_form
@pytest.mark.parametrize("shape", [(2, 2, 3), (5, 7, 1), (32, 32, 3)])
def test_image_coordinates_reach_both_ends_of_minus_one_to_one(name, shape):
    form = build_form(name, shape, 8)
    coordinates = form.coordinates()
    assert torch.equal(coordinates.amin(dim=0), -torch.ones(coordinates.shape[1]))
    several = torch.tensor([axis.positions > 1 for axis in form.axes])  # grey: one channel
    assert torch.equal(coordinates.amax(dim=0), torch.where(several, 1.0, -1.0))


@pytest.mark.parametrize("name", ["direct", "bithead"])
def test_image_positions_come_row_by_row(name):
    expected = [[-1, -1], [-1, 0], [-1, 1], [1, -1], [1, 0], [1, 1]]
    assert build_form(name, (2, 3, 1), 4).coordinates().tolist() == expected


def test_bit_axis_is_fastest_and_starts_at_the_least_significant_bit():
    form = build_form("bitplane", (2, 2, 1), 3)
    coordinates = form.coordinates()
    assert coordinates[:4].tolist() == [[-1, -1, -1], [-1, -1, 0], [-1, -1, 1], [-1, 1, -1]]
    targets = form.targets(torch.tensor([[1], [4], [6], [0]]))
    assert targets.flatten().tolist() == [1, 0, 0, 0, 0, 1, 0, 1, 1, 0, 0, 0]


def test_bithead_orders_planes_from_the_least_significant_with_channels_fastest():
    targets = build_form("bithead", (1, 1, 2), 3).targets(torch.tensor([[1, 6]]))
    assert targets.tolist() == [[1, 0, 0, 1, 0, 1]]


def test_planes_sum_to_the_samples_with_powers_of_two():
    samples = torch.as_tensor(random_samples((50, 3), 16).astype(np.int64))
    planes = to_planes(samples, 16)
    weights = torch.tensor([2**i for i in range(16)]).view(1, 16, 1)
    assert torch.equal((planes * weights).sum(dim=1), samples)
    assert torch.equal(from_planes(planes), samples)


@pytest.mark.parametrize("length", [2, 3, 64, 3072, 20_000])
def test_neighbouring_samples_of_a_sound_are_one_time_step_apart(length):
    (axis,) = signal_axes((length, 1))
    steps = axis.values().double().diff()
    assert steps.min() > 0
    assert steps.max() - steps.min() <= 2e-3 * TIME_STEP  # float32 far from zero
    assert steps.mean() == pytest.approx(TIME_STEP, rel=1e-6)


@every_form
@pytest.mark.parametrize("length", [2, 3, 64, 3072, 60_000])
def test_first_siren_layer_stays_below_nyquist_on_sounds(name, length):
    form = build_form(name, (length, 1), 8)
    step = form.axes[0].values().double().diff().max().item()
    largest_weight = 1 / len(form.axes)  # SIREN's U(-1/fan_in, 1/fan_in)
    assert 30 * step * largest_weight <= math.pi
    assert 30 * step <= math.pi


@every_bit_form
@pytest.mark.parametrize("focus", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("slice_rows", [1, 6, 10**6])
def test_bit_losses_of_slices_add_up_to_the_whole(name, focus, slice_rows):
    form, outputs, targets = random_batch(name)
    whole = form.loss(outputs, targets, focus)
    parts = [form.loss(outputs[r], targets[r], focus) for r in ranges_of(form, slice_rows)]
    for k in (0, 1):
        total = sum(float(part[k]) for part in parts)
        assert total == pytest.approx(float(whole[k]), rel=1e-12)


@pytest.mark.parametrize("slice_rows", [1, 5, 10**6])
def test_squared_errors_of_slices_add_up_to_the_whole(slice_rows):
    form, outputs, targets = random_batch("direct")
    expected = ((outputs.numpy() - targets.numpy().astype(np.float64)) ** 2).sum()
    parts = [form.loss(outputs[r], targets[r], 0.0) for r in ranges_of(form, slice_rows)]
    assert sum(float(loss) for loss, _ in parts) == pytest.approx(expected, rel=1e-12)
    assert sum(float(weight) for _, weight in parts) == outputs.numel()


def test_direct_form_refuses_a_focus():
    form, outputs, targets = random_batch("direct")
    with pytest.raises(ValueError, match="focus"):
        form.loss(outputs, targets, 1.0)


@every_bit_form
def test_unweighted_loss_is_the_probability_cross_entropy_for_moderate_logits(name):
    form, outputs, targets = random_batch(name)
    p, bit = 1 / (1 + np.exp(-outputs.numpy())), targets.numpy()
    expected = -(bit * np.log(p) + (1 - bit) * np.log(1 - p)).sum()
    loss, weight = form.loss(outputs, targets, 0.0)
    assert float(loss) == pytest.approx(expected, rel=1e-12)
    assert float(weight) == bit.size


@every_bit_form
@pytest.mark.parametrize("focus", [0.5, 1.0, 2.0, 4.0])
def test_focus_weights_each_bit_by_its_probability_error_to_that_power(name, focus):
    form, outputs, targets = random_batch(name)
    p, bit = 1 / (1 + np.exp(-outputs.numpy())), targets.numpy()
    entropy = -(bit * np.log(p) + (1 - bit) * np.log(1 - p))
    weights = np.abs(p - bit) ** focus
    loss, weight = form.loss(outputs, targets, focus)
    assert float(loss) == pytest.approx((weights * entropy).sum(), rel=1e-12)
    assert float(weight) == pytest.approx(weights.sum(), rel=1e-12)


@every_bit_form
@pytest.mark.parametrize("focus", [0.0, 1.0, 2.0])
def test_focus_weights_take_no_part_in_the_gradient(name, focus):
    form, outputs, targets = random_batch(name)
    outputs.requires_grad_(True)
    form.loss(outputs, targets, focus)[0].backward()
    error = 1 / (1 + np.exp(-outputs.detach().numpy())) - targets.numpy()
    np.testing.assert_allclose(outputs.grad.numpy(), np.abs(error) ** focus * error, rtol=1e-10)


@every_bit_form
def test_confidently_wrong_logits_keep_a_gradient_of_one(name):
    form, _, targets = random_batch(name)
    wrong = (-200 * (2 * targets.float() - 1)).requires_grad_(True)
    form.loss(wrong, targets, 0.0)[0].backward()
    assert torch.equal(wrong.grad.abs(), torch.ones_like(wrong))


@every_bit_form
def test_a_logit_of_exactly_zero_decodes_to_bit_zero(name):
    form = build_form(name, (2, 2, 1), 4)
    outputs = torch.zeros(form.rows, form.outputs)
    assert torch.equal(form.decode(outputs), torch.zeros(4, 1, dtype=torch.int64))


@every_form
@given(signal=signals(), seed=st.integers(0, 2**31 - 1))
def test_outputs_may_move_by_less_than_the_margin_but_not_by_more(name, signal, seed):
    samples, bits = signal
    form = build_form(name, samples.shape, bits)
    generator = torch.Generator().manual_seed(seed)
    shape = (form.rows, form.networks * form.outputs)
    outputs = torch.rand(shape, dtype=torch.float64, generator=generator) * 1.8 - 0.9
    decoded, margin = form.decode(outputs), float(form.margin(outputs))
    # The margin of values is in steps of a digit.
    unit = 2 / form.top if regresses_values(name) else 1.0
    signs = torch.sign(torch.randn(shape, generator=generator))
    assert torch.equal(form.decode(outputs + 0.999 * margin * unit * signs), decoded)
    further = 1.001 * margin * unit + 1e-12
    moved = [form.decode(outputs + sign * further) for sign in (-1, 1)]
    assert any(not torch.equal(other, decoded) for other in moved)


# --- other losses --------------------------------------------------------------------------


def numbers(form, outputs, targets):
    """Outputs and targets of a small batch as float64 arrays, and the loss with its gradient."""
    outputs = outputs.clone().requires_grad_(True)
    loss, weight = form.loss(outputs, targets, 0.0)
    loss.backward()
    assert float(weight) == outputs.numel()
    z, truth = outputs.detach().numpy(), targets.numpy().astype(np.float64)
    return z, truth, float(loss.detach()), outputs.grad.numpy()


@every_bit_form
def test_squared_and_absolute_errors_of_bits_are_those_of_the_probability(name):
    for loss, power in (("mse", 2), ("mae", 1)):
        _, outputs, targets = random_batch(name)
        z, bit, found, gradient = numbers(
            build_form(name, (3, 4, 2), 5, loss=loss), outputs, targets
        )
        p = 1 / (1 + np.exp(-z))
        assert found == pytest.approx((np.abs(p - bit) ** power).sum(), rel=1e-12)
        slope = 2 * (p - bit) if power == 2 else np.sign(p - bit)
        np.testing.assert_allclose(gradient, slope * p * (1 - p), rtol=1e-9)


@every_bit_form
def test_the_probability_form_is_the_logit_form_until_float32_saturates(name):
    form, outputs, targets = random_batch(name)
    published = build_form(name, (3, 4, 2), 5, loss="bce-probability")
    moderate = [float(f.loss(outputs, targets, 0.0)[0]) for f in (form, published)]
    assert moderate[0] == pytest.approx(moderate[1], rel=1e-9)
    wrong = (-200 * (2 * targets.float() - 1)).requires_grad_(True)
    published.loss(wrong, targets, 0.0)[0].backward()
    assert not wrong.grad.any()


def test_a_value_may_be_a_probability():
    form = build_form("direct", (3, 4, 2), 5, loss="bce")
    samples = rows_of(random_samples((3, 4, 2), 5).astype(np.int64))
    targets = form.targets(samples)
    assert (float(targets.min()), float(targets.max())) >= (0.0, 0.0) and targets.max() <= 1
    _, outputs, _ = random_batch("direct")
    z, share, found, gradient = numbers(form, outputs, targets)
    p = 1 / (1 + np.exp(-z))
    expected = -(share * np.log(p) + (1 - share) * np.log(1 - p)).sum()
    assert found == pytest.approx(expected, rel=1e-7)
    np.testing.assert_allclose(gradient, p - share, atol=1e-7)
    perfect = torch.logit(targets.double())
    assert torch.equal(form.decode(perfect), samples)


def test_absolute_error_of_values():
    form = build_form("direct", (3, 4, 2), 5, loss="mae")
    _, outputs, targets = random_batch("direct")
    z, value, found, gradient = numbers(form, outputs, targets)
    assert found == pytest.approx(np.abs(z - value).sum(), rel=1e-12)
    np.testing.assert_array_equal(gradient, np.sign(z - value))


def test_an_unknown_loss_is_refused():
    with pytest.raises(UserError, match="'l1' is none of mse, mae, bce"):
        build_form("direct", (3, 4, 2), 5, loss="l1")


# --- digits --------------------------------------------------------------------------------


def test_digits_are_those_of_the_number_written_in_their_base():
    form = build_form("digits", (1, 2, 1), 8, digit_bits=4)
    assert (form.networks, form.top) == (2, 15)
    targets = (form.targets(torch.tensor([[0xA3], [0x0F]])) + 1) / 2 * 15
    assert targets.round().int().tolist() == [[0x3, 0xA], [0xF, 0x0]]


def test_one_digit_of_all_bits_is_the_direct_form():
    samples = rows_of(random_samples((3, 4, 2), 6).astype(np.int64))
    direct = build_form("direct", (3, 4, 2), 6)
    digit = build_form("digits", (3, 4, 2), 6, digit_bits=6)
    assert digit.networks == 1
    assert torch.equal(direct.targets(samples), digit.targets(samples))


def test_digits_of_one_bit_are_bits_in_their_order():
    samples = rows_of(random_samples((3, 4, 2), 6).astype(np.int64))
    digits = build_form("digits", (3, 4, 2), 6).targets(samples)
    bits = build_form("bithead", (3, 4, 2), 6).targets(samples)
    assert torch.equal(digits, 2 * bits.float() - 1)


@pytest.mark.parametrize("digit_bits", [0, 3, 16])
def test_digits_that_do_not_divide_the_sample_are_refused(digit_bits):
    with pytest.raises(UserError, match=f"digit_bits={digit_bits} does not divide the 8 bits"):
        build_form("digits", (1, 1, 1), 8, digit_bits=digit_bits)


# --- direct --------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", range(1, 17))
def test_direct_targets_are_an_exact_round_trip_for_every_level(bits):
    levels = torch.arange(2**bits).reshape(-1, 1)
    form = build_form("direct", (2**bits, 1, 1), bits)
    targets = form.targets(levels)
    assert targets.dtype == torch.float32
    assert (float(targets[0]), float(targets[-1])) == (-1.0, 1.0)
    assert torch.equal(form.decode(targets), levels)
    # float32 leaves almost all of the half level that rounding allows.
    assert float(form.margin(targets)) > 0.49


def test_direct_decode_clamps_and_survives_non_finite_outputs():
    form = build_form("direct", (5, 1, 1), 8)
    outputs = torch.tensor([[-7.0], [9.0], [math.nan], [math.inf], [-math.inf]])
    assert form.decode(outputs).flatten().tolist() == [0, 255, 0, 255, 0]


def test_direct_margin_beyond_the_range_counts_to_the_outermost_boundary_only():
    form = build_form("direct", (1, 1, 1), 1)  # grey level = (output + 1) / 2
    assert float(form.margin(torch.tensor([[3.0]]))) == pytest.approx(1.5)
    assert float(form.margin(torch.tensor([[-3.0]]))) == pytest.approx(1.5)
    assert float(form.margin(torch.tensor([[0.5]]))) == pytest.approx(0.25)


def test_plans_know_the_losses_of_the_classes_without_importing_them():
    assert {name: getattr(_base, name).losses for name in LOSSES} == LOSSES
    assert {name for name in FORMS if regresses_values(name)} == {"direct", "digits"}


@pytest.mark.parametrize("name", FORMS)
def test_a_plan_refuses_the_losses_that_the_representation_refuses(name):
    defaults = registry.describe("representation", name).parameters
    for loss in ("bce", "bce-probability", "mse", "mae", "mes"):
        try:
            build_form(name, (2, 2, 1), 4, loss=loss)
        except UserError:
            with pytest.raises(UserError, match=f"no loss '{loss}'"):
                check_parameters(name, defaults | {"loss": loss}, 4)
        else:
            check_parameters(name, defaults | {"loss": loss}, 4)
