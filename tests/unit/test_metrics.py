import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from tiny import random_samples

from lossless_inr.metrics import (
    bit_error_rate,
    count_errors,
    psnr,
    rmse,
    ssim,
    wrong_bits_per_plane,
)


@st.composite
def pairs(draw):
    bits = draw(st.integers(1, 16))
    shape = draw(st_numpy.array_shapes(min_dims=1, max_dims=3, max_side=5))
    values = st.integers(0, 2**bits - 1)
    decoded, truth = (draw(st_numpy.arrays(np.int64, shape, elements=values)) for _ in range(2))
    return decoded, truth, bits


def counts_of(decoded, truth, bits):
    return [int(n) for n in wrong_bits_per_plane(decoded, truth, bits)]


def image_and_its_copy_with_one_wrong_bit(size, bits, position):
    truth = random_samples((size, size, 3), bits).astype(np.int64)
    decoded = truth.copy()
    decoded[position] ^= 1
    return decoded, truth


@given(pair=pairs())
def test_wrong_bits_and_squared_error_equal_a_count_by_hand(pair):
    decoded, truth, bits = pair
    both = list(zip(decoded.ravel().tolist(), truth.ravel().tolist(), strict=True))
    by_hand = [sum((a >> k) % 2 != (b >> k) % 2 for a, b in both) for k in range(bits)]
    assert counts_of(decoded, truth, bits) == by_hand
    assert int(count_errors(decoded, truth)) == sum((a - b) ** 2 for a, b in both)


@given(pair=pairs())
def test_arrays_and_tensors_give_the_same_counts(pair):
    decoded, truth, bits = pair
    tensors = torch.as_tensor(decoded), torch.as_tensor(truth)
    assert counts_of(*tensors, bits) == counts_of(decoded, truth, bits)
    assert int(count_errors(*tensors)) == int(count_errors(decoded, truth))


@given(pair=pairs())
def test_ber_is_zero_for_equal_and_one_for_complementary_integers(pair):
    _, truth, bits = pair
    for other, expected in ((truth, 0.0), (2**bits - 1 - truth, 1.0)):
        wrong = sum(counts_of(other, truth, bits))
        assert bit_error_rate(wrong, truth.size, bits) == expected


def test_ber_of_random_integers_is_near_one_half():
    decoded, truth = (random_samples((100, 100, 3), 16, s).astype(np.int64) for s in (1, 2))
    ber = bit_error_rate(sum(counts_of(decoded, truth, 16)), truth.size, 16)
    assert ber == pytest.approx(0.5, abs=5 / math.sqrt(4 * truth.size * 16))


@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor])
def test_squared_error_is_exact_at_the_16_bit_extremes(kind):
    size = 256 * 256 * 3
    top = np.full(size, 2**16 - 1, dtype=np.int64)
    zero = np.zeros(size, dtype=np.int64)
    zero[0] = 1
    expected = (size - 1) * (2**16 - 1) ** 2 + (2**16 - 2) ** 2
    assert int(count_errors(kind(top), kind(zero))) == expected
    assert int(count_errors(kind(zero), kind(top))) == expected


@pytest.mark.parametrize(
    ("side", "bits", "decibels"), [(256, 8, 101.07), (256, 16, 149.27), (128, 16, 143.24)]
)
def test_psnr_of_one_wrong_least_significant_bit(side, bits, decibels):
    assert psnr(1, side * side * 3, bits) == pytest.approx(decibels, abs=0.005)


@given(pair=pairs())
def test_psnr_is_infinite_exactly_when_nothing_differs(pair):
    decoded, truth, bits = pair
    value = psnr(int(count_errors(decoded, truth)), truth.size, bits)
    assert math.isinf(value) == np.array_equal(decoded, truth)
    assert value >= 0  # the error can never exceed the peak


@given(pair=pairs())
def test_psnr_and_rmse_satisfy_their_definition(pair):
    decoded, truth, bits = pair
    squared = int(count_errors(decoded, truth))
    error = rmse(squared, truth.size)
    assert error == pytest.approx(float(np.sqrt(((decoded - truth) ** 2.0).mean())), rel=1e-12)
    if squared:
        expected = 20 * np.log10((2**bits - 1) / error)
        assert psnr(squared, truth.size, bits) == pytest.approx(expected)


@pytest.mark.parametrize("bits", [8, 16])
def test_ssim_of_equal_images_is_exactly_one(bits):
    truth = random_samples((16, 16, 3), bits).astype(np.int64)
    assert ssim(truth.copy(), truth, bits) == 1.0


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("position", [(16, 16, 0), (0, 0, 0), (31, 0, 2)])
def test_ssim_of_images_with_one_wrong_bit_is_below_one(bits, position):
    decoded, truth = image_and_its_copy_with_one_wrong_bit(32, bits, position)
    assert ssim(decoded, truth, bits) < 1.0


def test_ssim_falls_as_noise_grows():
    rng = np.random.default_rng(0)
    truth = random_samples((24, 24, 1), 16).astype(np.int64)
    noise = rng.normal(size=truth.shape)
    values = []
    for size in (10, 1000, 10_000):
        noisy = np.clip(truth + np.rint(size * noise), 0, 2**16 - 1).astype(np.int64)
        values.append(ssim(noisy, truth, 16))
    assert 1 > values[0] > values[1] > values[2]


@pytest.mark.parametrize("shape", [(10, 10, 3), (10, 64, 1), (64, 10, 1), (500, 1), (500, 2)])
def test_ssim_is_none_below_the_window_and_for_sounds(shape):
    truth = random_samples(shape, 8).astype(np.int64)
    assert ssim(truth, truth, 8) is None
    assert ssim(255 - truth, truth, 8) is None


def test_ssim_is_defined_from_eleven_samples_on():
    truth = random_samples((11, 11, 1), 8).astype(np.int64)
    assert ssim(255 - truth, truth, 8) < 0.5
