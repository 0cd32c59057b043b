"""ReLU network on positional encoding.

Mildenhall et al., "NeRF: Representing Scenes as Neural Radiance Fields for View Synthesis",
ECCV 2020; encoding as in github.com/vsitzmann/siren.
"""

import torch

from lossless_inr.networks._base import Activation, CoordinateMLP, PositionalEncoding

LABEL = "ReLU+PE"


class Relu(Activation):
    """max(z, 0)."""

    def __call__(self, z, index):
        """Values."""
        return torch.relu(z)

    def with_slope(self, z, index, out):
        """Slope 1 where z > 0, else 0."""
        torch.clamp(z, min=0, out=out)
        z.gt_(0)


def build(*, axes, outputs, width, hidden_layers):
    """ReLU layers with PyTorch's default initialisation (the paper does not say)."""
    encoding = PositionalEncoding(axes)
    return CoordinateMLP(
        encoding.out_features,
        outputs,
        width,
        hidden_layers,
        Relu(),
        encoding,
    )
