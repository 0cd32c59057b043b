"""Rules with values worked out by hand, what holds of each of them, and refusals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lossless_inr.errors import UserError
from lossless_inr.expansion import rules
from lossless_inr.expansion.rules import MOST_BITS, RULES, expand, split

QUIET = settings(deadline=None, derandomize=True, database=None, max_examples=60)
depths = st.integers(1, MOST_BITS - 1).flatmap(
    lambda q: st.tuples(st.just(q), st.integers(q + 1, MOST_BITS))
)


@st.composite
def inputs(draw):
    bits, target = draw(depths)
    values = st.lists(st.integers(0, 2**bits - 1), min_size=1, max_size=20)
    return np.array(draw(values), dtype=np.int64), bits, target


@pytest.mark.parametrize(
    ("rule", "bits", "target", "x", "expected"),
    [
        ("zero_padding", 8, 16, [0, 1, 255], [0, 256, 65280]),
        ("midpoint", 8, 16, [0, 1, 255], [128, 384, 65408]),
        ("ideal_gain", 8, 16, [0, 1, 255], [0, 257, 65535]),
        ("bit_replication", 8, 16, [0, 1, 255], [0, 257, 65535]),
        ("ideal_gain", 8, 12, [1, 15, 16], [16, 241, 257]),
        ("bit_replication", 8, 12, [1, 15, 16], [16, 240, 257]),
        ("bit_replication", 10, 16, [0b1100000011], [0b1100000011110000]),
        ("bit_replication", 3, 8, [0b101], [0b10110110]),  # two whole patterns and two bits
        ("zero_padding", 7, 13, [127], [127 * 64]),  # an odd number of planes
        ("bit_replication", 1, 5, [0, 1], [0, 31]),
        ("ideal_gain", 1, 5, [0, 1], [0, 31]),
        ("midpoint", 1, 2, [0, 1], [1, 3]),
    ],
)
def test_values_worked_out_by_hand(rule, bits, target, x, expected):
    assert expand(rule, np.array(x), bits, target).tolist() == expected


@QUIET
@given(inputs(), st.sampled_from([*RULES, "random_bits"]))
def test_every_rule_stays_in_range_and_keeps_the_order_of_steps(case, rule):
    x, bits, target = case
    found = expand(rule, x, bits, target, seed=3)
    assert found.dtype == np.int64 and found.shape == x.shape
    assert found.min() >= 0 and found.max() < 2**target
    if rule != "ideal_gain":  # which moves a value to its own share of the range, not into its step
        assert np.array_equal(found >> (target - bits), x)


@QUIET
@given(inputs())
def test_gain_and_replication_meet_both_ends_and_are_one_where_the_depth_doubles(case):
    _, bits, target = case
    ends = np.array([0, 2**bits - 1])
    for rule in ("ideal_gain", "bit_replication"):
        assert expand(rule, ends, bits, target).tolist() == [0, 2**target - 1]
    if bits <= MOST_BITS // 2:
        every = np.arange(min(2**bits, 4096))
        gain = expand("ideal_gain", every, bits, 2 * bits)
        assert np.array_equal(gain, expand("bit_replication", every, bits, 2 * bits))


@QUIET
@given(inputs())
def test_no_guess_is_further_off_than_the_midpoint_at_worst(case):
    x, bits, target = case
    half = 2 ** (target - bits - 1)
    low, high = x * 2 * half, x * 2 * half + 2 * half - 1
    middle = expand("midpoint", x, bits, target)
    assert np.maximum(middle - low, high - middle).max() == half


def test_random_bits_are_those_of_their_seed_and_uniform():
    x = np.zeros(20_000, np.int64)
    one, again, other = (rules.random_bits(x, 8, 12, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one, again) and not np.array_equal(one, other)
    counts = np.bincount(one, minlength=16)
    assert len(counts) == 16 and abs(counts - 1250).max() < 5 * np.sqrt(1250)


@pytest.mark.parametrize(("bits", "target"), [(8, 8), (12, 8), (0, 8), (8, 25), (-1, 4)])
def test_expansions_that_add_no_bits_are_refused_in_one_line(bits, target):
    with pytest.raises(UserError, match=f"from {bits} to {target} bits") as raised:
        expand("midpoint", np.array([0]), bits, target)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("value", [-1, 256])
def test_values_of_another_depth_are_refused(value):
    with pytest.raises(UserError, match="do not fit in them"):
        expand("midpoint", np.array([value]), 8, 16)


def test_an_image_is_split_into_truth_and_known_bits():
    image = np.array([[[0xABCD, 0x1234, 0x00FF]]], np.uint16)
    truth, known = split(image, 16, 8, 12, "a")
    assert truth.tolist() == [[[0xABC, 0x123, 0x00F]]]
    assert known.tolist() == [[[0xAB, 0x12, 0x00]]]
    assert truth.dtype == known.dtype == np.int64


def test_an_8_bit_image_in_a_16_bit_file_has_nothing_to_expand():
    image = np.arange(12, dtype=np.uint16).reshape(2, 2, 3) << 8
    with pytest.raises(UserError, match=r"set/a: the lowest 8 of its 16 bits are zero") as raised:
        split(image, 16, 8, 16, "set/a")
    assert "\n" not in str(raised.value)
    image[0, 0, 0] += 1
    truth, _ = split(image, 16, 8, 16, "set/a")
    assert np.array_equal(truth, image)
    with pytest.raises(UserError, match="lowest 4 of its 12 bits are zero"):
        split(image, 16, 8, 12, "set/a")


def test_an_image_of_fewer_bits_than_the_target_is_refused():
    with pytest.raises(UserError, match="set/a: has 8 bits, so nothing says what its 16"):
        split(np.array([[[1]]], np.uint8), 8, 4, 16, "set/a")
