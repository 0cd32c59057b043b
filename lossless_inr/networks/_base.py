"""The multilayer perceptron all coordinate networks share, and how its size is counted.

"5 hidden layers of 512" means, as in the published code, one input layer, five 512 -> 512
layers and a linear output: six activated layers and one linear one.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import nn


class Activation(ABC):
    """Elementwise function that knows its slope, so that gradients need no autograd.

    A plain function works as a network's activation as well; its gradients are then autograd's.
    """

    @abstractmethod
    def __call__(self, z: torch.Tensor, index: int) -> torch.Tensor:
        """Values at `z`, the output of linear layer `index`."""

    @abstractmethod
    def with_slope(self, z: torch.Tensor, index: int, out: torch.Tensor) -> None:
        """Write the values into `out` and the derivative by z into `z` itself."""


class Sine(Activation):
    """The sine; its argument's omega is the layer's `scale`."""

    def __call__(self, z, index):
        """Sine of z."""
        return torch.sin(z)

    def with_slope(self, z, index, out):
        """Sine and cosine."""
        torch.sin(z, out=out)
        z.cos_()


class CoordinateMLP(nn.Module):
    """Linear layers with one activation between them.

    Parameters
    ----------
    in_features, outputs, width, hidden_layers : int
    activation : Activation or callable, (tensor, layer index) -> tensor
        Applied after every layer but the last.
    encoding : nn.Module, optional
        Applied to the coordinates first; `in_features` counts its output. It may have parameters
        (a table of features).
    dtype : torch.dtype, optional
        Of every layer after the first (complex networks have a real first layer); torch's default
        if left out.
    scale : callable, int -> float
        Factor of layer k's argument, the omega of sin(omega (W x + b)). It multiplies the weights
        rather than the activations: the same function, with two passes less over the largest
        tensors in each direction.

    Attributes
    ----------
    layers : nn.ModuleList
        All linear layers, first to last; recipes give the last its own rate.
    """

    def __init__(
        self,
        in_features: int,
        outputs: int,
        width: int,
        hidden_layers: int,
        activation: Callable[[torch.Tensor, int], torch.Tensor],
        encoding: nn.Module | None = None,
        dtype: torch.dtype | None = None,
        scale: Callable[[int], float] = lambda index: 1.0,
    ):
        super().__init__()
        self.encoding = encoding
        self.activation = activation
        self.scales = [scale(index) for index in range(hidden_layers + 1)]
        self.layers = nn.ModuleList(
            [
                nn.Linear(in_features, width),
                *(nn.Linear(width, width, dtype=dtype) for _ in range(hidden_layers)),
                nn.Linear(width, outputs, dtype=dtype),
            ]
        )

    def forward(self, coordinates: torch.Tensor) -> torch.Tensor:
        """Outputs of shape (rows, outputs); the real part if the network is complex."""
        x = coordinates if self.encoding is None else self.encoding(coordinates)
        for index, (layer, scale) in enumerate(zip(self.layers, self.scales, strict=False)):
            if scale == 1.0:
                z = layer(x)
            else:
                z = nn.functional.linear(x, scale * layer.weight, scale * layer.bias)
            x = self.activation(z, index)
        x = self.layers[-1](x)
        return x.real if x.is_complex() else x


class PositionalEncoding(nn.Module):
    """x, then sin(2**i pi x_j) and cos(2**i pi x_j) for each axis j and i < F_j.

    F_j = max(1, floor(log2(positions_j / 4))), SIREN's Nyquist rule, per axis: a bit axis of 8
    positions carries 1 frequency, not the 10 that the rule for images would give it. Axes are
    scaled to [-1, 1] first, so a sound's long axis gets the same treatment. `frequencies` is F of
    every axis, in place of the rule.
    """

    def __init__(self, axes, frequencies: int | None = None):
        super().__init__()
        extents = torch.tensor([axis.extent for axis in axes])
        self.register_buffer("extents", extents, persistent=False)
        self.frequencies = [
            frequencies or max(1, math.floor(math.log2(max(axis.positions, 8) / 4)))
            for axis in axes
        ]
        self.out_features = len(axes) + 2 * sum(self.frequencies)

    def forward(self, coordinates: torch.Tensor) -> torch.Tensor:
        """(rows, axes) -> (rows, axes + 2 sum F)."""
        x = coordinates / self.extents
        features = [x]
        for axis, count in enumerate(self.frequencies):
            scale = math.pi * 2.0 ** torch.arange(count, device=x.device, dtype=x.dtype)
            angle = x[:, axis : axis + 1] * scale
            features += [torch.sin(angle), torch.cos(angle)]
        return torch.cat(features, dim=1)


@torch.no_grad()
def initialise_sine(layers: nn.ModuleList, omega_hidden: float) -> None:
    """SIREN's weights: first U(+-1/fan_in), others (output too) U(+-sqrt(6/fan_in)/omega).

    Biases keep PyTorch's default U(+-1/sqrt(fan_in)), as in the authors' repository.
    """
    for index, layer in enumerate(layers):
        fan_in = layer.in_features
        bound = 1 / fan_in if index == 0 else math.sqrt(6 / fan_in) / omega_hidden
        layer.weight.uniform_(-bound, bound)


def count_parameters(network: nn.Module) -> int:
    """Real numbers in the network; a complex parameter counts as two."""
    return sum(p.numel() * (2 if p.is_complex() else 1) for p in network.parameters())


def macs_per_row(network: nn.Module) -> int:
    """Real multiply-accumulates for one row; a complex one counts as four.

    Those of linear layers, and what a module with an attribute `macs_per_row` says of itself.
    """
    linear = sum(
        m.weight.numel() * (4 if m.weight.is_complex() else 1)
        for m in network.modules()
        if isinstance(m, nn.Linear)
    )
    return linear + sum(getattr(m, "macs_per_row", 0) for m in network.modules())


class Parallel(nn.Module):
    """Networks of one structure side by side: same input, outputs one after another."""

    def __init__(self, networks: list[nn.Module]):
        super().__init__()
        self.parallel = nn.ModuleList(networks)

    def forward(self, coordinates: torch.Tensor) -> torch.Tensor:
        """Outputs of shape (rows, networks x outputs)."""
        return torch.cat([network(coordinates) for network in self.parallel], dim=1)


def layers_of(network: nn.Module) -> list[nn.ModuleList]:
    """The linear layers, first to last, of every network that stands side by side."""
    return [member.layers for member in getattr(network, "parallel", [network])]


def stored_state(network: nn.Module, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """What is kept of trained weights: packed where a module has `pack`, the rest as it is."""
    stored = dict(state)
    for name, module in network.named_modules():
        if hasattr(module, "pack"):
            packed = module.pack(stored.pop(f"{name}.weight"))
            stored |= {f"{name}.{key}": value for key, value in packed.items()}
    return stored


def load_stored(network: nn.Module, stored: dict[str, torch.Tensor]) -> None:
    """Take up what `stored_state` returned.

    Raises
    ------
    KeyError, RuntimeError, UserError
        If it is not of this network.
    """
    state = dict(stored)
    for name, module in network.named_modules():
        if hasattr(module, "unpack"):
            own = {key: value for key, value in state.items() if key.startswith(f"{name}.")}
            packed = {key.removeprefix(f"{name}."): state.pop(key) for key in own}
            state |= {f"{name}.{k}": packed[k] for k in ("bias",) if k in packed}
            state[f"{name}.weight"] = module.unpack(packed)
    network.load_state_dict(state)
