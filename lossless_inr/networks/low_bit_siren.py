"""SIREN with weights of few bits, the control of the weight-precision sweep (paper Figure 10).

Sitzmann et al., "Implicit Neural Representations with Periodic Activation Functions",
NeurIPS 2020, quantised as in Eq. 12 of Han et al., CVPR 2025, which says that periodic activations
collapse. With ternary weights the first layer's frequencies are (a, b) times one step, a and b in
{-1, 0, 1}: whatever the width, its outputs span at most 9 dimensions.
"""

import torch

from lossless_inr.networks._base import initialise_sine
from lossless_inr.networks._lowbit import LowBitMLP

LABEL = "SIREN, few bits"
ON_REQUEST = True
CHOICES = {"weight_bits": (1.58, 2, 3, 4, 8, 16, 32)}
RANGES = {"activation_bits": (2, 32)}


def build(*, axes, outputs, width, hidden_layers, weight_bits=1.58, activation_bits=16, omega=30.0):
    """Sine network with float32 biases; `weight_bits` is one of 1.58, 2, 3, 4, 8, 16, 32."""
    network = LowBitMLP(
        len(axes),
        outputs,
        width,
        hidden_layers,
        lambda z, index: torch.sin(omega * z),
        weight_bits=weight_bits,
        activation_bits=activation_bits,
        normalise=False,
        bias=True,
    )
    initialise_sine(network.layers, omega)
    return network
