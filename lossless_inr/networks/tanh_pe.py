"""Tanh network on positional encoding.

Sitzmann et al., "Implicit Neural Representations with Periodic Activation Functions",
NeurIPS 2020 (its Tanh baseline, Xavier-normal weights), on the encoding of Mildenhall et al.,
ECCV 2020.
"""

import torch

from lossless_inr.networks._base import Activation, CoordinateMLP, PositionalEncoding

LABEL = "Tanh+PE"


class Tanh(Activation):
    """The hyperbolic tangent."""

    def __call__(self, z, index):
        """Values."""
        return torch.tanh(z)

    def with_slope(self, z, index, out):
        """Slope 1 - tanh(z)**2."""
        torch.tanh(z, out=out)
        torch.mul(out, out, out=z).neg_().add_(1)


def build(*, axes, outputs, width, hidden_layers):
    """Tanh layers with Xavier-normal weights, as in SIREN's repository."""
    encoding = PositionalEncoding(axes)
    network = CoordinateMLP(
        encoding.out_features,
        outputs,
        width,
        hidden_layers,
        Tanh(),
        encoding,
    )
    for layer in network.layers:
        torch.nn.init.xavier_normal_(layer.weight)
    return network
