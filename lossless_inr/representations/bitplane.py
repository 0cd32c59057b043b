"""The paper's method: f(coordinates, bit index) -> one logit per channel (Eq. 8).

Han et al., "Towards Lossless Implicit Neural Representation via Bit Plane Decomposition",
CVPR 2025.
"""

from dataclasses import dataclass

import torch

from lossless_inr.errors import UserError
from lossless_inr.representations._base import Axis, BitRepresentation, signal_axes


@dataclass(frozen=True)
class TopAxis(Axis):
    """The last `positions` of `of` equally spaced points on [-extent, extent]."""

    of: int = 0

    def values(self) -> torch.Tensor:
        """Coordinates, float32, shape (positions,); the last one sits at extent."""
        return Axis(self.of, self.extent).values()[-self.positions :]


class Form(BitRepresentation):
    """Bit index as an extra coordinate on [-1, 1], -1 = least significant bit.

    With `of_bits`, the planes are the top ones of a grid of so many, whose lower points nothing is
    fitted at: bit-depth expansion (paper, Table 5) asks the network there.
    """

    label = "bit-plane coordinate"

    def __init__(self, shape, bits, *, loss="bce", of_bits=None):
        super().__init__(shape, bits, loss)
        if of_bits is not None and of_bits <= bits:
            raise UserError(f"of_bits: {of_bits} leaves no plane below the {bits} of the signal")
        self.rows_per_sample, self.of_bits = bits, of_bits

    @property
    def axes(self):
        """Signal axes, then the bit axis (fastest)."""
        if self.of_bits is None:
            return [*signal_axes(self.shape), Axis(self.bits, role="bit")]
        return [*signal_axes(self.shape), TopAxis(self.bits, role="bit", of=int(self.of_bits))]

    @property
    def outputs(self):
        """One logit per channel."""
        return self.channels
