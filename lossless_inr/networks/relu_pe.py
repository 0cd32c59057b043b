"""ReLU network on positional encoding.

Mildenhall et al., "NeRF: Representing Scenes as Neural Radiance Fields for View Synthesis",
ECCV 2020; encoding as in github.com/vsitzmann/siren.
"""

import torch

from lossless_inr.networks._base import CoordinateMLP, PositionalEncoding

LABEL = "ReLU+PE"


def build(*, axes, outputs, width, hidden_layers):
    """ReLU layers with PyTorch's default initialisation (the paper does not say)."""
    encoding = PositionalEncoding(axes)
    return CoordinateMLP(
        encoding.out_features,
        outputs,
        width,
        hidden_layers,
        lambda z, index: torch.relu(z),
        encoding,
    )
