"""How wide a network must be to have the paper's parameters for a signal of another size."""

from __future__ import annotations

import math

# The paper's network: 512 wide, 5 hidden layers, 3 inputs (row, column, bit), 3 outputs.
PAPER_PARAMETERS = 1_316_867
# Samples of its images, 256x256 RGB: 0.84 parameters per bit at 8 bits, 0.42 at 16.
PAPER_SAMPLES = 256 * 256 * 3


def mlp_parameters(inputs: int, outputs: int, width: int, hidden_layers: int) -> int:
    """Parameters of an MLP with one input layer, `hidden_layers` square ones and an output."""
    return (inputs + 1) * width + hidden_layers * (width + 1) * width + (width + 1) * outputs


def paper_ratio_width(shape: tuple[int, ...], hidden_layers: int, together: int = 1) -> int:
    """Multiple of 4 with which `together` networks keep the paper's parameters per sample (6.7).

    Counted for SIREN with a bit coordinate, the paper's network. The paper uses one network at 8
    and at 16 bits, so the bit depth does not matter.

    Parameters
    ----------
    shape : tuple of int
        (height, width, channels) or (samples, channels).
    hidden_layers, together : int

    Examples
    --------
    >>> paper_ratio_width((32, 32, 3), 5), paper_ratio_width((32, 32, 1), 5)
    (64, 36)
    """
    wanted = math.prod(shape) * PAPER_PARAMETERS / PAPER_SAMPLES
    return min(
        range(4, 4096, 4),
        key=lambda w: abs(
            together * mlp_parameters(len(shape), shape[-1], w, hidden_layers) - wanted
        ),
    )
