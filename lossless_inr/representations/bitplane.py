"""The paper's method: f(coordinates, bit index) -> one logit per channel (Eq. 8).

Han et al., "Towards Lossless Implicit Neural Representation via Bit Plane Decomposition",
CVPR 2025.
"""

from lossless_inr.representations._base import Axis, BitRepresentation, signal_axes


class Form(BitRepresentation):
    """Bit index as an extra coordinate on [-1, 1], -1 = least significant bit."""

    label = "bit-plane coordinate"

    def __init__(self, shape, bits, *, loss="bce"):
        super().__init__(shape, bits, loss)
        self.rows_per_sample = bits

    @property
    def axes(self):
        """Signal axes, then the bit axis (fastest)."""
        return [*signal_axes(self.shape), Axis(self.bits, role="bit")]

    @property
    def outputs(self):
        """One logit per channel."""
        return self.channels
