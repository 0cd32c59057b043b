"""Parallel networks, each of which regresses one digit of b bits (paper Table 3, Figure 8).

Between `direct` (one digit of n bits) and single bits: K = n / b networks f_k(coordinates) ->
digit k, and a sample is right when all its digits are. The paper's supplement, which has the
details, could not be obtained; digits share the target range of `direct`, so that b = n is
`direct` itself and b is all that changes between rows.
"""

from lossless_inr.errors import UserError
from lossless_inr.representations._base import ValueRepresentation


class Form(ValueRepresentation):
    """Digits of `digit_bits` bits."""

    label = "digits"

    def __init__(self, shape, bits, *, digit_bits=1, loss="mse"):
        if digit_bits < 1 or bits % digit_bits:
            raise UserError(f"digit_bits={digit_bits} does not divide the {bits} bits of a sample")
        super().__init__(shape, bits, loss, int(digit_bits))
