"""Gaussian activations: exp(-(s (W x + b))^2).

Ramasinghe and Lucey, "Beyond Periodicity: Towards a Unifying Framework for Activations in
Coordinate-MLPs", ECCV 2022; scale s = 30 as in FINER's image comparison.
"""

import torch

from lossless_inr.networks._base import CoordinateMLP

LABEL = "Gauss"


def build(*, axes, outputs, width, hidden_layers, scale=30.0):
    """Gaussian network with PyTorch's default initialisation."""
    return CoordinateMLP(
        len(axes),
        outputs,
        width,
        hidden_layers,
        lambda z, index: torch.exp(-(z * z)),
        scale=lambda index: scale,
    )
