"""FINER: sin(omega (|z| + 1) z) with z = W x + b.

Liu et al., "FINER: Flexible Spectral-bias Tuning in Implicit Neural Representation by
Variable-periodic Activation Functions", CVPR 2024. Written from the formula.
"""

import torch

from lossless_inr.networks._base import CoordinateMLP, initialise_sine

LABEL = "FINER"


def build(
    *, axes, outputs, width, hidden_layers, omega_first=30.0, omega_hidden=30.0, first_bias=0.0
):
    """Variable-period sine; `first_bias` k draws the first biases from U(-k, k), 0 = default.

    The authors' code treats the factor (|z| + 1) as a constant in the backward pass, and its
    image script gives no k; both are kept.
    """

    def activation(z, index):
        with torch.no_grad():
            period = z.abs() + 1
        return torch.sin((omega_first if index == 0 else omega_hidden) * period * z)

    network = CoordinateMLP(len(axes), outputs, width, hidden_layers, activation)
    initialise_sine(network.layers, omega_hidden)
    if first_bias:
        torch.nn.init.uniform_(network.layers[0].bias, -first_bias, first_bias)
    return network
