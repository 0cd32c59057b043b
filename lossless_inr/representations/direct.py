"""Value regression, the baseline form: f(coordinates) -> one value per channel, MSE.

Targets y = 2 I / (2**n - 1) - 1 in [-1, 1], decoded by round(clip((y + 1) / 2, 0, 1)(2**n - 1)):
the convention of Sitzmann et al., "Implicit Neural Representations with Periodic Activation
Functions", NeurIPS 2020. The paper does not state its own range.
"""

import torch

from lossless_inr.representations._base import Representation, signal_axes


class Form(Representation):
    """Real-valued targets in [-1, 1]."""

    label = "direct"

    @property
    def axes(self):
        """Signal axes only."""
        return signal_axes(self.shape)

    @property
    def outputs(self):
        """One value per channel."""
        return self.channels

    def targets(self, samples):
        """float32 values; float32 separates all 2**16 levels with a factor of 64 to spare."""
        return (samples.to(torch.float64) * 2 / (2**self.bits - 1) - 1).to(torch.float32)

    def loss(self, outputs, targets, focus):
        """Squared error; there is no notion of a wrong bit to focus on."""
        if focus != 0:
            raise ValueError("the direct form has no focus")
        error = outputs - targets.to(outputs.dtype)
        return (error * error).sum((-2, -1)), torch.ones_like(error).sum((-2, -1))

    def _levels(self, outputs):
        return (outputs.to(torch.float64) + 1) / 2 * (2**self.bits - 1)

    def decode(self, outputs):
        """Nearest level, half to even, clamped."""
        # NaN has no integer: a diverged output decodes to 0 rather than to an undefined value.
        levels = torch.nan_to_num(self._levels(outputs), nan=0.0)
        return levels.round().clamp(0, 2**self.bits - 1).to(torch.int64)

    def margin(self, outputs):
        """Smallest distance to a rounding boundary, in grey levels (at most 0.5).

        Outputs beyond the range are clamped, so there the boundary is the outermost one only.
        """
        levels = self._levels(outputs)
        top = 2**self.bits - 1
        inside = 0.5 - (levels - levels.round()).abs()
        beyond = torch.where(levels < 0, 0.5 - levels, levels - (top - 0.5))
        return torch.where((levels < 0) | (levels > top), beyond, inside).min()
