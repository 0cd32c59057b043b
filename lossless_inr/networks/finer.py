"""FINER: sin(omega (|z| + 1) z) with z = W x + b.

Liu et al., "FINER: Flexible Spectral-bias Tuning in Implicit Neural Representation by
Variable-periodic Activation Functions", CVPR 2024. Written from the formula.
"""

import torch

from lossless_inr.networks._base import Activation, CoordinateMLP, initialise_sine

LABEL = "FINER"


class VariableSine(Activation):
    """sin(omega (|z| + 1) z), the factor (|z| + 1) being a constant of the gradient."""

    def __init__(self, omega_first: float, omega_hidden: float):
        self.omega_first, self.omega_hidden = omega_first, omega_hidden

    def _frequency(self, z, index):
        return (z.detach().abs() + 1) * (self.omega_hidden if index else self.omega_first)

    def __call__(self, z, index):
        """Values."""
        return torch.sin(self._frequency(z, index) * z)

    def with_slope(self, z, index, out):
        """Slope omega (|z| + 1) cos(omega (|z| + 1) z)."""
        frequency = self._frequency(z, index)
        z.mul_(frequency)
        torch.sin(z, out=out)
        z.cos_().mul_(frequency)


def build(
    *, axes, outputs, width, hidden_layers, omega_first=30.0, omega_hidden=30.0, first_bias=0.0
):
    """Variable-period sine; `first_bias` k draws the first biases from U(-k, k), 0 = default.

    The authors' code treats the factor (|z| + 1) as a constant in the backward pass, and its
    image script gives no k; both are kept.
    """
    activation = VariableSine(omega_first, omega_hidden)
    network = CoordinateMLP(len(axes), outputs, width, hidden_layers, activation)
    initialise_sine(network.layers, omega_hidden)
    if first_bias:
        torch.nn.init.uniform_(network.layers[0].bias, -first_bias, first_bias)
    return network
