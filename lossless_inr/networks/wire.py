"""WIRE: complex Gabor wavelet exp(j omega z - |s z|^2) with z = W x + b.

Saragadam et al., "WIRE: Wavelet Implicit Neural Representations", CVPR 2023; structure as in
github.com/vishwa91/wire, constants as in FINER's image comparison (omega 20, s 10).
"""

import math

import torch

from lossless_inr.networks._base import CoordinateMLP

LABEL = "WIRE"


def build(*, axes, outputs, width, hidden_layers, omega=20.0, scale=10.0):
    """Gabor network, complex from the second layer on, of width floor(width / sqrt 2).

    The reduced width keeps the count of real numbers near that of a real network.
    """

    def activation(z, index):
        if z.is_complex():
            # j omega z = -omega Im z + j omega Re z: assembled from real parts, which is
            # several times faster than a complex exponential.
            size = torch.exp(-omega * z.imag - scale**2 * (z.real**2 + z.imag**2))
            angle = omega * z.real
        else:
            size, angle = torch.exp(-((scale * z) ** 2)), omega * z
        # Not torch.polar: its gradient is NaN where `size` is subnormal, on some CPUs and at the
        # end of a tensor, so that whether a fit diverged hung on the slices (torch 2.13).
        return torch.complex(size * torch.cos(angle), size * torch.sin(angle))

    return CoordinateMLP(
        len(axes),
        outputs,
        math.floor(width / math.sqrt(2)),
        hidden_layers,
        activation,
        dtype=torch.get_default_dtype().to_complex(),
    )
