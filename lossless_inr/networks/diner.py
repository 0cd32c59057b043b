"""DINER: a table with one learnable coordinate pair per sample, then a small network.

Xie et al., "DINER: Disorder-Invariant Implicit Neural Representation", CVPR 2023; sizes and
initialisation as in github.com/Ezio77/DINER. Its clamp of the outputs to [-1, 1] is left out: it
has no gradient beyond, and decoding clamps anyway.
"""

import math

import torch
from torch import nn

from lossless_inr.networks._base import CoordinateMLP, Sine, initialise_sine
from lossless_inr.networks.relu_pe import Relu

LABEL = "DINER"
SHAPE = {"width": 64, "hidden_layers": 2}


class CoordinateTable(nn.Module):
    """Position number k -> row k of a table; nothing is interpolated.

    Axes that have no place in the table are handed on as they are.
    """

    def __init__(self, axes, inside, features):
        super().__init__()
        self.register_buffer(
            "extents", torch.tensor([axis.extent for axis in axes]), persistent=False
        )
        self.sizes = [axis.positions for axis in axes[:inside]]
        self.table = nn.Parameter(
            torch.empty(math.prod(self.sizes), features).uniform_(-1e-4, 1e-4)
        )
        self.out_features = features + len(axes) - inside

    def forward(self, coordinates: torch.Tensor) -> torch.Tensor:
        """(rows, axes) -> (rows, features + axes not in the table)."""
        x = coordinates / self.extents.to(coordinates.dtype)
        number = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        for axis, size in enumerate(self.sizes):
            place = ((x[:, axis] + 1) / 2 * (size - 1)).round().to(torch.int64)
            number = number * size + place.clamp(0, size - 1)
        rows = nn.functional.embedding(number, self.table)
        return torch.cat([rows, x[:, len(self.sizes) :]], dim=1)


def build(*, axes, outputs, width, hidden_layers, features=2, omega=0.0, private=0):
    """Table, then ReLU layers, or sine layers if `omega` is above 0 (the authors have both).

    In a bit-plane fit all planes share a position's row and the bit is one more input;
    `private=1` gives every position and bit a row of its own, which can memorise any signal.
    """
    inside = sum(axis.role == "position" or bool(private) for axis in axes)
    encoding = CoordinateTable(axes, inside, int(features))
    sine = {"scale": lambda index: omega} if omega else {}
    network = CoordinateMLP(
        encoding.out_features,
        outputs,
        width,
        hidden_layers,
        Sine() if omega else Relu(),
        encoding,
        **sine,
    )
    if omega:
        initialise_sine(network.layers, omega)
    return network
