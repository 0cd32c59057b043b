import inspect
import math

import numpy as np
import pytest
import torch
from tiny import NETWORKS, imported_by, refusal
from torch import nn

from lossless_inr import registry
from lossless_inr.fitting.fit import load_weights, save_weights
from lossless_inr.networks._base import count_parameters, macs_per_row
from lossless_inr.networks.diner import CoordinateTable
from lossless_inr.networks.instant_ngp import HashGrid
from lossless_inr.representations._base import Axis, signal_axes

IMAGE = signal_axes((9, 7, 3))
AXES = {
    "image": IMAGE,
    "image and bits": [*IMAGE, Axis(8, role="bit")],
    "sound": signal_axes((50, 1)),
}
every_network = pytest.mark.parametrize("name", NETWORKS)


def build(name, axes=IMAGE, outputs=3, width=32, hidden_layers=2, seed=0, **parameters):
    torch.manual_seed(seed)
    module = registry.load("network", name)
    return module.build(
        axes=axes, outputs=outputs, width=width, hidden_layers=hidden_layers, **parameters
    )


def coordinates_of(axes, rows=40, seed=0):
    generator = torch.Generator().manual_seed(seed)
    extents = torch.tensor([axis.extent for axis in axes])
    return (2 * torch.rand(rows, len(axes), generator=generator) - 1) * extents


# --- every network, beyond its contract (lossless_inr/extend/contract.py) ------------------


@every_network
@pytest.mark.parametrize("axes", AXES.values(), ids=AXES)
@pytest.mark.parametrize("outputs", [1, 48])
@pytest.mark.parametrize("hidden_layers", [0, 2])
def test_outputs_are_finite_reals_of_the_asked_shape(name, axes, outputs, hidden_layers):
    network = build(name, axes, outputs, hidden_layers=hidden_layers)
    result = network(coordinates_of(axes))
    assert result.shape == (40, outputs)
    assert result.dtype == torch.float32
    assert torch.isfinite(result).all()
    assert len(network.layers) == hidden_layers + 2


@every_network
def test_outputs_depend_on_every_axis(name):
    axes = AXES["image and bits"]
    network, x = build(name, axes), coordinates_of(axes)
    for axis in range(len(axes)):
        moved = x.clone()
        moved[:, axis] *= -1
        assert not torch.equal(network(moved), network(x))


@every_network
def test_weights_of_another_network_are_refused(name, tmp_path):
    path = tmp_path / "w.safetensors"
    save_weights(build(name).state_dict(), path)
    assert str(path) in refusal(load_weights, build(name, width=48), path)
    assert str(path) in refusal(load_weights, build(name, hidden_layers=3), path)


# --- tables --------------------------------------------------------------------------------


def grid_of(side, bits=None, **changes):
    axes = [*signal_axes((side, side, 3)), *([Axis(bits, role="bit")] if bits else [])]
    network = build("instant_ngp", axes, width=64, hidden_layers=1, **changes)
    return network, network.encoding


@pytest.mark.parametrize(
    ("bits", "log2_table", "finest", "numbers"),
    [
        (None, 19, 0.5, 136_204),
        (None, 19, 1.0, 426_436),  # the notes' 425,410 has a last level of 255 cells, by rounding
        (8, 19, 0.5, 6_592_720),
        (8, 19, 1.0, 9_015_738),
        (16, 24, 0.5, 12_612_284),
    ],
)
def test_hash_tables_have_the_size_of_the_authors(bits, log2_table, finest, numbers):
    """Counted by hand for 256 positions a side in the design notes."""
    axes = [*signal_axes((256, 256, 3)), *([Axis(bits, role="bit")] if bits else [])]
    grid = HashGrid(axes, len(axes), 16, 2, 2**log2_table, 16.0, 256 * finest)
    assert grid.table.numel() == numbers
    assert (grid.cells[0], grid.cells[-1]) == (16, 256 * finest)


def test_grid_features_are_entries_at_vertices_and_means_between():
    axes = [Axis(5), Axis(5)]
    grid = HashGrid(axes, 2, levels=1, features=2, table=1000, coarsest=4.0, finest=4.0)
    with torch.no_grad():
        grid.table.copy_(torch.arange(50.0).reshape(25, 2))
    # Vertex (row 1, column 3) of 4x4 cells: the first axis is the fastest in the table.
    vertex = grid(torch.tensor([[-0.5, 0.5]]))
    assert vertex.tolist() == [[2.0 * (1 + 5 * 3), 2.0 * (1 + 5 * 3) + 1]]
    corners = grid(torch.tensor([[-1.0, -1.0], [1.0, 1.0]]))
    assert corners[:, 0].tolist() == [0.0, 48.0]
    middle = grid(torch.tensor([[-0.75, 0.5]]))
    assert middle[0, 0] == (2 * (0 + 15) + 2 * (1 + 15)) / 2


def test_a_level_larger_than_the_table_shares_entries_by_hash():
    grid = HashGrid([Axis(65), Axis(65)], 2, levels=2, features=1, table=64, coarsest=4, finest=64)
    assert grid.entries == [25, 64]
    x = coordinates_of([Axis(65), Axis(65)], rows=500)
    assert torch.isfinite(grid(x)).all()
    number, weight = grid.vertices((x + 1) / 2)
    assert (number[:, 0].max(), number[:, 1].min(), number[:, 1].max()) == (24, 25, 25 + 63)
    torch.testing.assert_close(weight.sum(-1), torch.ones(500, 2))


def test_the_gradient_of_the_interpolation_is_that_of_plain_indexing():
    grid = HashGrid([Axis(9), Axis(9)], 2, levels=3, features=2, table=40, coarsest=2, finest=8)
    grid.double()
    x = coordinates_of([Axis(9), Axis(9)], rows=60).double()
    slopes = torch.randn(60, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    (grid(x) * slopes).sum().backward()
    table = grid.table.detach().clone().requires_grad_(True)
    number, weight = grid.vertices((x + 1) / 2)
    features = (table[number] * weight[..., None]).sum(2).flatten(1)
    torch.testing.assert_close(features, grid(x), rtol=1e-12, atol=0)
    (features * slopes).sum().backward()
    torch.testing.assert_close(grid.table.grad, table.grad, rtol=1e-12, atol=1e-15)


def test_the_bit_is_an_axis_of_the_grid_or_a_number_beside_it():
    inside, grid = grid_of(16, bits=8)
    beside, flat = grid_of(16, bits=8, bits_in_grid=0)
    assert (grid.out_features, flat.out_features) == (32, 33)
    assert count_parameters(inside) > count_parameters(beside)


def test_each_position_reads_its_own_row_and_planes_share_it():
    axes = [*signal_axes((4, 3, 1)), Axis(8, role="bit")]
    table = CoordinateTable(axes, inside=2, features=2)
    grids = torch.meshgrid(*[axis.values() for axis in axes], indexing="ij")
    x = torch.stack([grid.reshape(-1) for grid in grids], dim=1)
    expected = table.table.repeat_interleave(8, dim=0)
    assert torch.equal(table(x)[:, :2], expected) and torch.equal(table(x)[:, 2], x[:, 2])
    private = build("diner", axes, private=1)
    assert private.encoding.table.shape == (4 * 3 * 8, 2)
    sine = build("diner", axes, omega=30.0)
    assert sine.scales == [30.0, 30.0, 30.0]


def test_numbers_that_a_lookup_costs_are_counted():
    network, grid = grid_of(16)
    linear = 32 * 64 + 64 * 64 + 64 * 3
    assert grid.macs_per_row == 16 * 4 * 2
    assert macs_per_row(network) == linear + 16 * 4 * 2


# --- what the listing says ----------------------------------------------------------------


@every_network
def test_description_is_that_of_the_module(name):
    module, described = registry.load("network", name), registry.describe("network", name)
    keywords = inspect.signature(module.build).parameters
    defaults = {k: p.default for k, p in keywords.items() if p.default is not p.empty}
    assert described.label == module.LABEL
    assert described.citation == inspect.getdoc(module)
    assert described.parameters == defaults
    assert set(keywords) == {*registry.COMMON, *defaults}


@every_network
def test_the_citation_names_a_venue_and_a_year(name):
    citation = registry.describe("network", name).citation
    assert "et al." in citation or " and " in citation
    assert any(f" {year}" in citation for year in range(2017, 2030))


@every_network
def test_each_own_parameter_changes_the_function(name):
    axes = AXES["image and bits"]
    x = coordinates_of(axes)
    usual = build(name, axes)(x)
    described = registry.describe("network", name)
    for key, value in described.parameters.items():
        tried = described.choices.get(key) or described.ranges.get(key)
        tried = tried or [v for v in (value + 1.5, 1 - value, 3) if v >= 0]
        others = [build(name, axes, **{key: v})(x) for v in tried]
        assert any(not torch.equal(other, usual) for other in others), key


def test_the_expected_networks_are_there():
    expected = {"siren", "finer", "gauss", "wire", "relu_pe", "tanh_pe", "diner", "instant_ngp"}
    assert expected == set(registry.every("network"))
    assert expected | {"ternary", "low_bit_siren"} == set(NETWORKS)


def test_labels_are_distinct():
    for kind in ("network", "representation"):
        labels = [registry.describe(kind, name).label for name in registry.names(kind)]
        assert len(set(labels)) == len(labels)


@pytest.mark.parametrize(("kind", "near"), [("network", "siren"), ("representation", "direct")])
@pytest.mark.parametrize("action", [registry.check, registry.path, registry.load])
def test_an_unknown_plug_in_is_refused_with_the_nearest(kind, near, action):
    line = refusal(action, kind, near[:-1] + "k")
    assert f"unknown {kind}" in line and f"did you mean '{near}'?" in line


@pytest.mark.parametrize("name", ["_base", "__init__", "../errors", "", None, ["siren"]])
def test_only_plug_ins_are_names(name):
    assert "unknown network" in refusal(registry.check, "network", name)


def test_listing_plug_ins_does_not_import_torch():
    modules = imported_by(
        "from lossless_inr import registry as r; "
        "print([r.describe(k, n) for k in r.ROOMS for n in r.names(k)])"
    )
    assert "lossless_inr.registry" in modules
    assert "torch" not in modules


# --- sizes --------------------------------------------------------------------------------


def real_counts(inputs, outputs, width, hidden_layers):
    macs = inputs * width + hidden_layers * width**2 + width * outputs
    return macs + (hidden_layers + 1) * width + outputs, macs


@pytest.mark.parametrize("name", ["siren", "finer", "gauss"])
@pytest.mark.parametrize(("inputs", "parameters"), [(3, 1_316_867), (2, 1_316_355)])
def test_the_papers_network_has_the_papers_size(name, inputs, parameters):
    network = build(name, [Axis(256)] * inputs, 3, 512, 5)
    assert count_parameters(network) == parameters
    assert (parameters, macs_per_row(network)) == real_counts(inputs, 3, 512, 5)


def test_multiply_accumulates_of_the_papers_network():
    assert macs_per_row(build("siren", [Axis(256)] * 3, 3, 512, 5)) == 1_313_792


@pytest.mark.parametrize("name", ["relu_pe", "tanh_pe"])
def test_size_of_encoded_networks_at_256x256(name):
    # 6 frequencies a side of 256 (Nyquist rule), sine and cosine, beside the 2 coordinates.
    network = build(name, signal_axes((256, 256, 3)), 3, 512, 5)
    expected = real_counts(2 + 2 * 2 * 6, 3, 512, 5)
    assert (count_parameters(network), macs_per_row(network)) == expected


@pytest.mark.parametrize("inputs", [2, 3])
def test_wire_counts_complex_numbers_as_two_reals_and_products_as_four(inputs):
    network = build("wire", [Axis(256)] * inputs, 3, 512, 5)
    width = 362  # floor(512 / sqrt 2)
    parameters = (inputs + 1) * width + 2 * (5 * (width + 1) * width + (width + 1) * 3)
    assert count_parameters(network) == parameters
    assert macs_per_row(network) == inputs * width + 4 * (5 * width**2 + width * 3)
    assert parameters == pytest.approx(1_316_867, rel=0.01)  # near that of a real network


@pytest.mark.parametrize(
    ("positions", "frequencies"),
    [(1, 1), (8, 1), (15, 1), (16, 2), (31, 2), (32, 3), (256, 6), (512, 7), (3072, 9)],
)
def test_encoding_follows_the_nyquist_rule_on_each_axis(positions, frequencies):
    network = build("relu_pe", [Axis(positions), Axis(8)])
    assert network.encoding.frequencies == [frequencies, 1]
    assert network.layers[0].in_features == 2 + 2 * (frequencies + 1)


# --- formulas, written again in NumPy -----------------------------------------------------


def in_double(network):
    for parameter in network.parameters():
        parameter.data = parameter.data.to(
            torch.complex128 if parameter.is_complex() else torch.float64
        )
    return network


def by_formula(network, x, activation):
    """The network as a plain loop; `activation(z, layer index)` gets unscaled W x + b."""
    *hidden, last = [
        (layer.weight.detach().numpy(), layer.bias.detach().numpy()) for layer in network.layers
    ]
    for index, (weight, bias) in enumerate(hidden):
        x = activation(x @ weight.T + bias, index)
    return np.real(x @ last[0].T + last[1])


def encoded(x, axes):
    columns = [x[:, j] / axis.extent for j, axis in enumerate(axes)]
    features = list(columns)
    for column, axis in zip(columns, axes, strict=True):
        count = max(1, int(math.log2(axis.positions / 4)))
        features += [np.sin(2**i * math.pi * column) for i in range(count)]
        features += [np.cos(2**i * math.pi * column) for i in range(count)]
    return np.stack(features, axis=1)


FORMULAS = {
    "siren": lambda z, k: np.sin(30 * z),
    "finer": lambda z, k: np.sin(30 * (np.abs(z) + 1) * z),
    "gauss": lambda z, k: np.exp(-((30 * z) ** 2)),
    "wire": lambda z, k: np.exp(1j * 20 * z - np.abs(10 * z) ** 2),
    "relu_pe": lambda z, k: np.maximum(z, 0),
    "tanh_pe": lambda z, k: np.tanh(z),
}


@pytest.mark.parametrize("name", sorted(FORMULAS))
@pytest.mark.parametrize("axes", AXES.values(), ids=AXES)
def test_forward_equals_the_formula_in_double_precision(name, axes):
    network, x = in_double(build(name, axes)), coordinates_of(axes).double()
    if network.encoding is not None:
        network.encoding.extents = torch.tensor([a.extent for a in axes], dtype=torch.float64)
    inputs = encoded(x.numpy(), axes) if name.endswith("_pe") else x.numpy()
    expected = by_formula(network, inputs, FORMULAS[name])
    np.testing.assert_allclose(network(x).detach().numpy(), expected, rtol=0, atol=1e-9)


def test_siren_forward_equals_the_formula_to_float32_accuracy():
    network, x = build("siren", width=64, hidden_layers=3), coordinates_of(IMAGE)
    found = network(x).detach().numpy()
    expected = by_formula(in_double(network), x.double().numpy(), FORMULAS["siren"])
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize("name", ["siren", "finer"])
def test_first_and_hidden_omega_act_on_their_own_layers(name):
    network = in_double(build(name, omega_first=7.0, omega_hidden=3.0))
    x = coordinates_of(IMAGE).double()

    def activation(z, index):
        factor = np.abs(z) + 1 if name == "finer" else 1
        return np.sin((7.0 if index == 0 else 3.0) * factor * z)

    expected = by_formula(network, x.numpy(), activation)
    np.testing.assert_allclose(network(x).detach().numpy(), expected, rtol=0, atol=1e-12)


def test_finer_treats_its_period_as_a_constant_in_the_gradient():
    network, x = in_double(build("finer", hidden_layers=0)), coordinates_of(IMAGE).double()
    network(x).sum().backward()
    first, last = network.layers
    z = x @ first.weight.detach().T + first.bias.detach()
    factor = 30 * (z.abs() + 1)
    slope = last.weight.detach().sum(dim=0) * torch.cos(factor * z) * factor
    torch.testing.assert_close(first.weight.grad, slope.T @ x)


# --- initial weights ----------------------------------------------------------------------


def assert_uniform(values, bound):
    """Within +-bound, filling it, with the variance of a uniform distribution."""
    values = values.detach()
    values = torch.view_as_real(values) if values.is_complex() else values
    assert values.abs().max() <= bound * (1 + 1e-6)
    assert values.abs().max() >= 0.97 * bound
    assert float(values.std()) == pytest.approx(bound / math.sqrt(3), rel=0.1)


@pytest.mark.parametrize("name", ["siren", "finer"])
@pytest.mark.parametrize("omega", [30.0, 10.0])
def test_sine_networks_start_with_sirens_weights_and_default_biases(name, omega):
    first, *others = build(name, IMAGE, 64, 256, 2, omega_hidden=omega).layers
    assert_uniform(first.weight, 1 / 2)
    assert_uniform(first.bias, 1 / math.sqrt(2))
    for layer in others:  # the output layer too
        assert_uniform(layer.weight, math.sqrt(6 / 256) / omega)
        assert_uniform(layer.bias, 1 / math.sqrt(256))


@pytest.mark.parametrize("name", ["gauss", "relu_pe", "wire"])
def test_other_networks_start_with_the_default_weights(name):
    for layer in build(name, IMAGE, 64, 256, 2).layers:
        assert isinstance(layer, nn.Linear)
        assert_uniform(layer.weight, 1 / math.sqrt(layer.in_features))
        assert_uniform(layer.bias, 1 / math.sqrt(layer.in_features))


def test_tanh_network_starts_with_xavier_normal_weights():
    for layer in build("tanh_pe", IMAGE, 64, 256, 2).layers:
        deviation = math.sqrt(2 / (layer.in_features + layer.out_features))
        weight = layer.weight.detach()
        assert float(weight.std()) == pytest.approx(deviation, rel=0.1)
        assert float(weight.abs().max()) > 2.5 * deviation  # normal, not uniform
        assert_uniform(layer.bias, 1 / math.sqrt(layer.in_features))


def test_finer_draws_its_first_biases_from_the_wider_range_when_asked():
    assert_uniform(build("finer", width=256, first_bias=5.0).layers[0].bias, 5.0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64])
def test_wire_has_a_gradient_where_its_envelope_is_subnormal(dtype):
    network = build("wire", [Axis(16)], 1, 8, 1)
    # exp(-(10 z)**2) leaves the normal numbers at z = 0.935 and is 0 from 1.02 on; odd lengths,
    # since kernels treat the end of a tensor otherwise.
    for length in (1, 7, 1001):
        z = torch.linspace(0.92, 1.04, length).to(dtype).requires_grad_()
        network.activation(z, 0 if dtype == torch.float32 else 1).real.sum().backward()
        assert torch.isfinite(torch.view_as_real(z.grad) if z.is_complex() else z.grad).all()
