"""Weights in {-1, 0, 1}: LayerNorm, quantised activations, GELU, positional encoding.

Han et al., "Towards Lossless Implicit Neural Representation via Bit Plane Decomposition",
CVPR 2025, Eq. 12 and Table 4, as in its published code: no bias anywhere, 7 frequencies an axis
whatever the size of the image (the code's side length keeps its default 512), activations of 16
bits and a sign. The paper takes one network for each bit plane (`digits` with `digit_bits: 1`); in
the form `bithead` a single network has all planes as outputs.
"""

from torch.nn.functional import gelu

from lossless_inr.networks._base import PositionalEncoding
from lossless_inr.networks._lowbit import LowBitMLP

LABEL = "ternary"
ON_REQUEST = True
SHAPE = {"width": 256, "hidden_layers": 3}
CHOICES = {"weight_bits": (1.58, 2, 3, 4, 8, 16, 32)}
RANGES = {"activation_bits": (2, 32), "frequencies": (1, 16)}


def build(
    *, axes, outputs, width, hidden_layers, weight_bits=1.58, activation_bits=16, frequencies=7
):
    """Low-precision network; `weight_bits` is one of 1.58, 2, 3, 4, 8, 16, 32."""
    encoding = PositionalEncoding(axes, int(frequencies))
    return LowBitMLP(
        encoding.out_features,
        outputs,
        width,
        hidden_layers,
        lambda z, index: gelu(z),
        encoding,
        weight_bits=weight_bits,
        activation_bits=activation_bits,
        normalise=True,
    )
