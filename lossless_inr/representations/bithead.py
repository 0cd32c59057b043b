"""All bits of a sample from one forward pass: f(coordinates) -> n logits per channel.

Ours, not the paper's: same targets and loss as `bitplane`, one row per sample instead of n, so
a step costs about 1/n. It is reported as another representation.
"""

from lossless_inr.representations._base import BitRepresentation, signal_axes


class Form(BitRepresentation):
    """Bits as outputs, plane by plane (least significant first), channels fastest."""

    label = "bit head"

    def __init__(self, shape, bits, *, loss="bce"):
        super().__init__(shape, bits, loss)

    @property
    def axes(self):
        """Signal axes only."""
        return signal_axes(self.shape)

    @property
    def outputs(self):
        """N logits per channel."""
        return self.bits * self.channels
