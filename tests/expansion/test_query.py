"""Where a network is asked for the planes it never saw, and which fits can be asked."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lossless_inr.engine.settings import Settings
from lossless_inr.errors import UserError
from lossless_inr.expansion.query import low_coordinates, low_positions, low_probabilities, values
from lossless_inr.expansion.targets import check_fits, targets_of
from lossless_inr.fitting.fit import build_form, build_network, save_weights
from lossless_inr.fitting.forms import check_parameters
from lossless_inr.fitting.record import FitSpec, Record
from lossless_inr.representations.bitplane import Form

QUIET = settings(deadline=None, derandomize=True, database=None, max_examples=40)


def spec_of(representation="bitplane", bits=8, **changes):
    given = {
        **{"signal": f"set/3x2/a-top{bits}", "kind": "photo", "shape": [3, 2, 2], "bits": bits},
        **{"network": "siren", "width": 8, "hidden_layers": 1, "seed": 0, "iterations": 5},
        **{"representation": representation, "recipe": "published", "settings": Settings()},
    }
    return FitSpec(**given | changes)


def record_of(spec, folder):
    """A record of untrained weights, which are saved as a fit saves its own."""
    network = build_network(spec, build_form(spec))
    save_weights(network.state_dict(), folder / "weights.safetensors")
    facts = {"code_digest": "c", "signal_sha256": "s", "provenance": {}}
    record = Record(spec=spec, spec_digest=spec.digest, status="lossless", **facts)
    return record, folder / "weights.safetensors", network


def test_the_grid_of_16_is_asked_below_the_points_that_were_fitted():
    form = Form((3, 2, 1), 8, of_bits=16)
    fitted = form.axes[-1].values()
    assert fitted.tolist() == pytest.approx([2 * i / 15 - 1 for i in range(8, 16)])
    assert fitted[0].item() == pytest.approx(0.0667, abs=1e-4) and fitted[-1] == 1
    low = low_positions(form, 16)
    assert low.tolist() == pytest.approx([2 * i / 15 - 1 for i in range(8)])
    # Bit for bit the grid that a fit of all 16 planes has.
    assert torch.equal(torch.cat([low, fitted]), Form((3, 2, 1), 16).axes[-1].values())


def test_outside_goes_on_below_minus_one_with_the_same_step():
    form = Form((3, 2, 1), 8)
    assert form.axes[-1].values().tolist() == pytest.approx([2 * i / 7 - 1 for i in range(8)])
    low = low_positions(form, 12)
    assert low.tolist() == pytest.approx([-1 - 2 * k / 7 for k in (4, 3, 2, 1)])


@QUIET
@given(st.integers(2, 12), st.integers(1, 10), st.booleans())
def test_asked_and_fitted_points_are_one_even_grid(bits, more, on_grid):
    form = Form((2, 2, 1), bits, of_bits=bits + more if on_grid else None)
    every = torch.cat([low_positions(form, bits + more), form.axes[-1].values()]).double()
    assert len(every) == bits + more and every[-1] == 1
    step = 2 / (bits + more - 1) if on_grid else 2 / (bits - 1)
    np.testing.assert_allclose(np.diff(every.numpy()), step, atol=1e-6)
    assert (every.min() >= -1) == on_grid


def test_rows_run_over_positions_with_the_bit_axis_fastest():
    form = Form((3, 2, 1), 4, of_bits=6)
    rows, fitted = low_coordinates(form, 6), form.coordinates()
    assert rows.shape == (3 * 2 * 2, 3)
    places = rows.reshape(6, 2, 3)[:, 0, :2]
    assert torch.equal(places, fitted.reshape(6, 4, 3)[:, 0, :2])
    assert torch.equal(rows[:2, 2], low_positions(form, 6))


@pytest.mark.parametrize("parameters", [{}, {"of_bits": 10}])
def test_probabilities_are_those_of_the_saved_network_at_those_points(tmp_path, parameters):
    spec = spec_of(representation_parameters=parameters)
    record, weights, network = record_of(spec, tmp_path)
    p = low_probabilities(record, weights, 10)
    assert p.shape == (2, 3, 2, 2) and p.min() > 0 and p.max() < 1
    step = 2 / 9 if parameters else 2 / 7
    first = -1.0 if parameters else -1 - 2 * step
    for row, column, plane in ((0, 0, 0), (2, 1, 1)):
        at = torch.tensor([[row - 1.0, 2 * column - 1.0, first + plane * step]])
        expected = torch.sigmoid(network(at))[0].tolist()
        assert p[plane, row, column].tolist() == pytest.approx(expected, abs=1e-5)


def test_values_are_outputs_before_rounding(tmp_path):
    spec = spec_of("direct")
    record, weights, network = record_of(spec, tmp_path)
    levels = values(record, weights)
    expected = (network(build_form(spec).coordinates()) + 1) / 2 * 255
    np.testing.assert_allclose(levels.reshape(-1, 2), expected.detach().numpy(), rtol=1e-5)
    assert not np.array_equal(levels, np.rint(levels))


def test_missing_weights_are_one_line(tmp_path):
    record, weights, _ = record_of(spec_of(), tmp_path)
    weights.unlink()
    with pytest.raises(UserError, match=r"weights\.safetensors: weights missing"):
        low_probabilities(record, weights, 16)


def test_a_fit_answers_the_depths_of_its_grid_or_all_of_the_table():
    assert targets_of(spec_of(), 16) == [16, 12, 10]
    assert targets_of(spec_of("direct"), 12) == [12, 10]
    assert targets_of(spec_of(bits=10), 16) == [16]
    assert targets_of(spec_of(bits=7), 16) == [16]  # no depth of the table: the whole one
    assert targets_of(spec_of(representation_parameters={"of_bits": 12}), 16) == [12]
    assert targets_of(spec_of(bits=1, representation_parameters={"of_bits": 4}), 16) == [4]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"representation": "bithead"}, "the bit head has no bit axis.*take bitplane"),
        ({"representation": "bitchannel"}, "written for bitplane and direct"),
        ({"signal": "set/3x2/a"}, "a whole image has no bits to find; fit set/3x2/a-top8"),
        ({"bits": 1}, "a single plane has no step.*of_bits"),
        ({"representation_parameters": {"of_bits": 20}}, "of_bits 20 is more than the 16 bits"),
        ({"network": "diner", "network_parameters": {"private": 1}}, "a table of bit positions"),
    ],
)
def test_fits_with_nothing_to_ask_are_refused_in_one_line(changes, message):
    with pytest.raises(UserError, match=message) as raised:
        check_fits([spec_of(), spec_of(**changes)], lambda name: 16)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("grid", [8, 7, 8.5, 25, "16"])
def test_a_grid_without_room_below_is_refused_before_anything_runs(grid):
    with pytest.raises(UserError, match=f"of_bits {grid}: a whole number above the 8 bits"):
        check_parameters("bitplane", {"of_bits": grid}, 8)


def test_the_form_itself_refuses_a_grid_that_is_full():
    with pytest.raises(UserError, match="of_bits: 8 leaves no plane below the 8"):
        Form((2, 2, 1), 8, of_bits=8)


def test_a_form_without_a_grid_is_the_papers_and_its_specification_has_no_such_key(plan_of):
    spec = plan_of("skimage16/16x16/chelsea")
    assert spec.representation_parameters == {"loss": "bce"} and spec.variant == ""
    grid = plan_of("skimage16/16x16/chelsea-top8", of_bits=16)
    assert grid.bits == 8 and grid.variant == "of_bits=16"
    assert grid.digest != plan_of("skimage16/16x16/chelsea-top8").digest
