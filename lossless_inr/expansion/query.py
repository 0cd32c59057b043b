"""Ask a network that was fitted to the top bit-planes for the planes below them (paper, Table 5).

The paper does not say at which coordinates. Both readings are here: `grid` fits the top planes of
a grid of m points on [-1, 1] (`of_bits` of the representation `bitplane`) and asks at the others;
`outside` fits q points on [-1, 1] and goes on with the same step, below -1.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from lossless_inr.engine.passes import slices
from lossless_inr.fitting.fit import build_form, build_network, exact_float32, load_weights
from lossless_inr.fitting.record import Record
from lossless_inr.representations._base import Axis, Representation

# Rows that the network is asked for at once.
SLICE = 65_536


def low_positions(form: Representation, target: int) -> torch.Tensor:
    """Coordinates on the bit axis of the planes below those of a form.

    Parameters
    ----------
    form : Representation
        `bitplane` of q bits; its `of_bits` is None (outside) or `target` (grid).
    target : int
        m; see `expansion.plan.targets_of`, which refuses all else.

    Returns
    -------
    Tensor of float32, (m - q,)
        Least significant first. Grid: 2 i / (m - 1) - 1. Outside: -1 - 2 k / (q - 1), k = m - q
        first.
    """
    count = target - form.bits
    if form.of_bits is not None:
        return Axis(target).values()[:count]
    k = torch.arange(count, 0, -1, dtype=torch.float64)
    return (-1 - 2 * k / (form.bits - 1)).to(torch.float32)


def low_coordinates(form: Representation, target: int) -> torch.Tensor:
    """All rows of the planes below, float32 (positions x (m - q), axes), bit axis fastest."""
    axes = [axis.values() for axis in form.axes[:-1]] + [low_positions(form, target)]
    grids = torch.meshgrid(*axes, indexing="ij")
    return torch.stack([grid.reshape(-1) for grid in grids], dim=1)


def _network(record: Record, weights: Path):
    exact_float32()
    form = build_form(record.spec)
    network = build_network(record.spec, form)
    load_weights(network, weights)
    return form, network


@torch.no_grad()
def low_probabilities(record: Record, weights: Path, target: int) -> np.ndarray:
    """Probability of a one in each plane below those fitted.

    Parameters
    ----------
    record : Record
        Of a `bitplane` fit.
    weights : Path
        Its `weights.safetensors`.
    target : int
        m.

    Returns
    -------
    ndarray of float64, (m - q, *shape of the signal)
        sigmoid of the network's float32 outputs on the CPU, least significant plane first.

    Raises
    ------
    UserError
        If the weights are missing or damaged.
    """
    form, network = _network(record, weights)
    coordinates, count = low_coordinates(form, target), target - form.bits
    parts = [network(coordinates[rows]) for rows in slices(len(coordinates), count, SLICE)]
    planes = torch.sigmoid(torch.cat(parts).double()).reshape(-1, count, form.channels)
    return planes.permute(1, 0, 2).reshape(count, *record.spec.shape).numpy()


@torch.no_grad()
def values(record: Record, weights: Path) -> np.ndarray:
    """What a `direct` fit returns before it is rounded, in levels of the signal it was fitted to.

    Returns
    -------
    ndarray of float64, the signal's shape
        About 0 .. 2**q - 1, not clamped.

    Raises
    ------
    UserError
        If the weights are missing or damaged.
    """
    form, network = _network(record, weights)
    coordinates = form.coordinates()
    parts = [network(coordinates[rows]) for rows in slices(form.rows, 1, SLICE)]
    outputs = torch.cat(parts).double()
    share = torch.sigmoid(outputs) if form.loss_name == "bce" else (outputs + 1) / 2
    return (share * (2**form.bits - 1)).reshape(record.spec.shape).numpy()
