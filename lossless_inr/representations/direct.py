"""Value regression, the baseline form: f(coordinates) -> one value per channel, MSE.

Targets and rounding: the convention of Sitzmann et al., "Implicit Neural Representations with
Periodic Activation Functions", NeurIPS 2020. The paper does not state its own range.
"""

from lossless_inr.representations._base import ValueRepresentation


class Form(ValueRepresentation):
    """The sample is one digit of n bits, and one network's work."""

    label = "direct"

    def __init__(self, shape, bits, *, loss="mse"):
        super().__init__(shape, bits, loss, digit_bits=bits)
