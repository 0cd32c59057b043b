import copy
import re

import pytest

from lossless_inr.analysis.bound import WHAT_IT_SAYS, agrees, epsilon, table, upper_bound
from lossless_inr.errors import UserError
from lossless_inr.published import load_published


@pytest.fixture
def published():
    return copy.deepcopy(load_published())


def row_of(frame, quantity):
    return frame.set_index("quantity").loc[quantity]


def test_epsilon_is_half_a_grey_level():
    assert [epsilon(1), epsilon(2)] == [0.5, 1 / 6]
    assert epsilon(8) == pytest.approx(0.00196078, rel=1e-5)


@pytest.mark.parametrize(
    ("bits", "dimensions", "value"),
    [
        (1, 2, 16),
        (2, 2, 1296),
        (4, 2, 810_000),
        (8, 2, 67_652_010_000),
        (1, 3, 64),
        (16, 2, 295_129_891_193_156_010_000),
    ],
)
def test_upper_bound_is_exact(bits, dimensions, value):
    assert upper_bound(bits, dimensions) == value


def test_upper_bound_is_an_integer_where_floats_no_longer_are():
    assert upper_bound(8, 5) == 510**10
    assert upper_bound(8, 5) == pytest.approx(1.190e27, rel=1e-3)
    assert upper_bound(8, 3) == pytest.approx(1.76e16, rel=1e-3)


def test_upper_bound_is_a_power_of_epsilon():
    for bits in (1, 3, 8):
        assert upper_bound(bits, 3) == pytest.approx(epsilon(bits) ** -6)


@pytest.mark.parametrize("arguments", [(0, 2), (8, 0), (-1, 2)])
def test_what_has_no_bound_is_refused(arguments):
    with pytest.raises(UserError, match=r"=(0|-1)"):
        upper_bound(*arguments)
    with pytest.raises(UserError, match="bits=0"):
        epsilon(0)


@pytest.mark.parametrize(
    ("value", "printed", "step", "same"),
    [
        (1296, 1300, 10, True),  # rounded up
        (405_274_624, 405.2e6, 1e5, True),  # cut
        (405_274_624, 405.3e6, 1e5, True),  # rounded
        (405_274_624, 405.4e6, 1e5, False),
        (405_274_624, 405.1e6, 1e5, False),
        (1.238e27, 1.23e27, 1e25, True),
        (1.190e27, 1.23e27, 1e25, False),
    ],
)
def test_a_print_agrees_when_rounded_or_cut(value, printed, step, same):
    assert agrees(value, printed, step) is same


def test_all_printed_values_reproduce_but_one(published):
    frame = table(published)
    assert list(frame.columns) == ["quantity", "formula", "value", "published", "verdict"]
    verdicts = frame.set_index("quantity").verdict.to_dict()
    assert verdicts.pop("U_5(8)/C") == "differs"
    assert verdicts.pop("U_3(8)/C") == "not printed"
    assert set(verdicts.values()) == {"reproduces"} and len(verdicts) == 6
    assert row_of(frame, "U_2(8)/C").formula == "510^4"
    assert row_of(frame, "U_5(8)/C").value == 510**10


@pytest.mark.parametrize(
    ("index", "printed", "quantity"),
    [
        (0, 17, "U_2(1)/C"),
        (1, 1310.0, "U_2(2)/C"),
        (2, 820000.0, "U_2(4)/C"),
        (3, 67.8e9, "U_2(8)/C"),
        (4, 16, "U_3(1)/C"),
    ],
)
def test_the_verdict_follows_the_printed_cell(published, index, printed, quantity):
    published["table3"][index]["upper_bound_over_c"] = printed
    differing = table(published).query("verdict == 'differs'").quantity
    assert set(differing) == {"U_5(8)/C", quantity}


def test_the_text_names_the_numbers_of_table_3(published):
    digits = [row for row in published["table3"] if row["method"] == "digits"]
    named = [int(number) for number in re.findall(r"\d{2,}", WHAT_IT_SAYS)]
    assert named[:3] == [row["iterations"]["mean"] for row in digits]
    assert named[3:] == [16, 1296, 810_000]
