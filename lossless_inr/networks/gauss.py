"""Gaussian activations: exp(-(s (W x + b))^2).

Ramasinghe and Lucey, "Beyond Periodicity: Towards a Unifying Framework for Activations in
Coordinate-MLPs", ECCV 2022; scale s = 30 as in FINER's image comparison.
"""

import torch

from lossless_inr.networks._base import Activation, CoordinateMLP

LABEL = "Gauss"


class Gaussian(Activation):
    """exp(-z**2); the scale s is the layer's."""

    def __call__(self, z, index):
        """Values."""
        return torch.exp(-(z * z))

    def with_slope(self, z, index, out):
        """Slope -2 z exp(-z**2)."""
        torch.mul(z, z, out=out).neg_().exp_()
        z.mul_(out).mul_(-2)


def build(*, axes, outputs, width, hidden_layers, scale=30.0):
    """Gaussian network with PyTorch's default initialisation."""
    return CoordinateMLP(
        len(axes),
        outputs,
        width,
        hidden_layers,
        Gaussian(),
        scale=lambda index: scale,
    )
