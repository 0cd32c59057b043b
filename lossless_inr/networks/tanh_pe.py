"""Tanh network on positional encoding.

Sitzmann et al., "Implicit Neural Representations with Periodic Activation Functions",
NeurIPS 2020 (its Tanh baseline, Xavier-normal weights), on the encoding of Mildenhall et al.,
ECCV 2020.
"""

import torch

from lossless_inr.networks._base import CoordinateMLP, PositionalEncoding

LABEL = "Tanh+PE"


def build(*, axes, outputs, width, hidden_layers):
    """Tanh layers with Xavier-normal weights, as in SIREN's repository."""
    encoding = PositionalEncoding(axes)
    network = CoordinateMLP(
        encoding.out_features,
        outputs,
        width,
        hidden_layers,
        lambda z, index: torch.tanh(z),
        encoding,
    )
    for layer in network.layers:
        torch.nn.init.xavier_normal_(layer.weight)
    return network
