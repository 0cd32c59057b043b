"""Instant-NGP: features interpolated on grids of several resolutions, then a small ReLU network.

Müller et al., "Instant Neural Graphics Primitives with a Multiresolution Hash Encoding",
SIGGRAPH 2022 (ACM TOG 41-4); sizes as in github.com/NVlabs/instant-ngp. Plain PyTorch: exactness
needs float32 tables, and one gather does.
"""

import itertools
import math

import torch
from torch import nn

from lossless_inr.networks._base import CoordinateMLP
from lossless_inr.networks.relu_pe import Relu

LABEL = "Instant-NGP"
# The authors' network: two activated layers of 64.
SHAPE = {"width": 64, "hidden_layers": 1}
# Spatial hash of the paper's Eq. 4; the first prime is 1.
PRIMES = (1, 2_654_435_761, 805_459_861, 3_674_653_429)


class HashGrid(nn.Module):
    """Levels of grids on [0, 1]^d, d-linear interpolation, features side by side.

    A level with more vertices than entries shares them by hash. Axes beyond the first `inside`
    are not interpolated but handed on as they are.

    Parameters
    ----------
    axes : list of Axis
    inside : int
        Axes that the grid covers.
    levels, features, table : int
        Number of levels, features of an entry, most entries of a level.
    coarsest, finest : float
        Cells per side of the first and the last level; geometric between.
    """

    def __init__(self, axes, inside, levels, features, table, coarsest, finest):
        super().__init__()
        extents = torch.tensor([axis.extent for axis in axes])
        self.register_buffer("extents", extents, persistent=False)
        self.inside, self.features = inside, features
        growth = (finest / coarsest) ** (1 / max(levels - 1, 1))
        # A hair above: the last level must not fall short of `finest` by rounding.
        self.cells = [max(1, math.floor(coarsest * growth**k + 1e-9)) for k in range(levels)]
        self.entries = [min((cells + 1) ** inside, table) for cells in self.cells]
        self.table = nn.Parameter(torch.empty(sum(self.entries), features).uniform_(-1e-4, 1e-4))
        self.out_features = levels * features + len(axes) - inside
        corners = list(itertools.product((0, 1), repeat=inside))
        self.register_buffer("corners", torch.tensor(corners), persistent=False)

    @property
    def macs_per_row(self) -> int:
        """Multiply-accumulates of the interpolation."""
        return len(self.cells) * len(self.corners) * self.features

    def _vertices(self, points: torch.Tensor, cells: int, entries: int) -> tuple:
        """Entry numbers and weights of the corners around each point: (rows, 2**d) each."""
        scaled = points * cells
        low = scaled.floor().clamp(0, cells - 1)
        share = scaled - low
        vertex = low.to(torch.int64)[:, None] + self.corners
        weight = torch.where(self.corners.bool(), share[:, None], 1 - share[:, None]).prod(-1)
        if entries == (cells + 1) ** self.inside:
            strides = [(cells + 1) ** k for k in range(self.inside)]
            return sum(vertex[..., k] * s for k, s in enumerate(strides)), weight
        number = vertex[..., 0] * PRIMES[0]
        for k in range(1, self.inside):
            number = number ^ (vertex[..., k] * PRIMES[k])
        return number % entries, weight

    def forward(self, coordinates: torch.Tensor) -> torch.Tensor:
        """(rows, axes) -> (rows, levels * features + axes not inside)."""
        x = coordinates / self.extents.to(coordinates.dtype)
        points = (x[:, : self.inside] + 1) / 2
        numbers, weights, first = [], [], 0
        for cells, entries in zip(self.cells, self.entries, strict=True):
            number, weight = self._vertices(points, cells, entries)
            numbers.append(number + first)
            weights.append(weight)
            first += entries
        # One gather and one weighted sum for all levels: (rows * levels, 2**d) -> features.
        bags = torch.stack(numbers, 1).flatten(0, 1), torch.stack(weights, 1).flatten(0, 1)
        found = nn.functional.embedding_bag(
            bags[0], self.table, per_sample_weights=bags[1].to(self.table.dtype), mode="sum"
        )
        return torch.cat([found.reshape(len(x), -1), x[:, self.inside :]], dim=1)


def build(
    *, axes, outputs, width, hidden_layers,
    levels=16, features=2, log2_table=19, coarsest=0.0625, finest=0.5, bits_in_grid=1,
):  # fmt: skip
    """Hash grid, then ReLU layers.

    `coarsest` and `finest` are cells per position of the longest side: 16 and half the side at 256
    positions, the authors' numbers for images; at other sizes in proportion. Of a bit-plane fit,
    `bits_in_grid=1` makes the bit an axis of the grid (a 3-D grid, the literal reading of
    "Instant-NGP + Ours"), 0 leaves the grid 2-D and hands the bit to the network as a number.
    """
    inside = sum(axis.role == "position" or bool(bits_in_grid) for axis in axes)
    side = max(axis.positions for axis in axes if axis.role == "position")
    encoding = HashGrid(
        axes,
        inside,
        int(levels),
        int(features),
        2 ** int(log2_table),
        max(1.0, coarsest * side),
        max(1.0, finest * side),
    )
    return CoordinateMLP(encoding.out_features, outputs, width, hidden_layers, Relu(), encoding)
