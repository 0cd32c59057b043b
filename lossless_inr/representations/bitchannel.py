"""Bit and colour as coordinates: f(coordinates, bit, channel) -> one logit (paper Table 8).

The paper's ablation of the input's dimension: (h, w, i, c) in the place of (h, w, i).
"""

from lossless_inr.representations._base import Axis, BitRepresentation, signal_axes


class Form(BitRepresentation):
    """Bit index and channel as extra coordinates on [-1, 1]."""

    label = "bit-plane and channel coordinates"

    def __init__(self, shape, bits, *, loss="bce"):
        super().__init__(shape, bits, loss)
        self.rows_per_sample = bits * self.channels

    @property
    def axes(self):
        """Signal axes, the bit axis, then the channel axis (fastest)."""
        extra = [Axis(self.bits, role="bit"), Axis(self.channels, role="channel")]
        return [*signal_axes(self.shape), *extra]

    @property
    def outputs(self):
        """One logit."""
        return 1
