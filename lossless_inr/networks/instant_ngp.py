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
        corners = torch.tensor(list(itertools.product((0, 1), repeat=inside)))
        sizes = torch.tensor([cells + 1 for cells in self.cells])
        # The vertices of a dense level, the first axis fastest: (levels, axes).
        strides = torch.stack([sizes**k for k in range(inside)], 1)
        first = torch.tensor([0, *itertools.accumulate(self.entries)][:-1])
        for name, constant in (("corners", corners), ("strides", strides), ("first", first)):
            self.register_buffer(name, constant, persistent=False)

    @property
    def macs_per_row(self) -> int:
        """Multiply-accumulates of the interpolation."""
        return len(self.cells) * len(self.corners) * self.features

    def vertices(self, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Table rows and weights of the corners around points of [0, 1]^d.

        (rows, d) -> int64 and float, (rows, levels, 2**d) each.
        """
        cells = torch.tensor(self.cells, device=points.device)
        scaled = points[:, None, :] * cells[:, None]
        low = scaled.floor().clamp_(min=0).minimum(cells[:, None] - 1)
        share = scaled - low
        low = low.to(torch.int64)
        weight = points.new_ones(len(points), len(self.cells), 1)
        for axis in range(self.inside):
            one = share[..., axis, None]
            weight = torch.stack([weight * (1 - one), weight * one], -1).flatten(-2)
        number = (low * self.strides).sum(-1)[..., None] + self.strides @ self.corners.mT
        for level, (cells, entries) in enumerate(zip(self.cells, self.entries, strict=True)):
            if entries < (cells + 1) ** self.inside:
                vertex = low[:, level, None] + self.corners
                shared = vertex[..., 0] * PRIMES[0]
                for axis in range(1, self.inside):
                    shared = shared ^ (vertex[..., axis] * PRIMES[axis])
                number[:, level] = shared % entries
        return number + self.first[:, None], weight

    def forward(self, coordinates: torch.Tensor) -> torch.Tensor:
        """(rows, axes) -> (rows, levels * features + axes not inside)."""
        x = coordinates / self.extents.to(coordinates.dtype)
        number, weight = self.vertices((x[:, : self.inside] + 1) / 2)
        found = Interpolate.apply(self.table, number.flatten(0, 1), weight.flatten(0, 1))
        return torch.cat([found.reshape(len(x), -1), x[:, self.inside :]], dim=1)


class Interpolate(torch.autograd.Function):
    """Weighted sums of table rows: (entries, F), (n, k) int64, (n, k) -> (n, F).

    PyTorch's own gradient of a bag of embeddings sorts the numbers; adding where they point is
    some 40 times faster on a CPU.
    """

    @staticmethod
    def forward(context, table, number, weight):
        """One gather and sum."""
        context.save_for_backward(number, weight)
        context.shape = table.shape
        weight = weight.to(table.dtype)
        bag = nn.functional.embedding_bag
        return bag(number, table, per_sample_weights=weight, mode="sum")

    @staticmethod
    def backward(context, gradient):
        """The table's gradient; numbers and weights have none."""
        number, weight = context.saved_tensors
        features = torch.arange(gradient.shape[1], device=gradient.device)
        place = number[..., None] * gradient.shape[1] + features
        part = weight.to(gradient.dtype)[..., None] * gradient[:, None, :]
        whole = gradient.new_zeros(context.shape.numel())
        return (
            whole.scatter_add_(0, place.flatten(), part.flatten()).view(context.shape),
            None,
            None,
        )


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
