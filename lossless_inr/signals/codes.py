"""What the bits of a sample mean: three codes of integers, and the words of IEEE 754.

A signal's integers are kept in offset binary, u = s + 2**(n-1) for a signed s. A fit may write
the same integer otherwise before it takes bit-planes of it; every code is a bijection of the
n-bit words, so equal words are equal samples. Floats are kept as their words and never converted:
-0.0, infinities, subnormal numbers and the payload of a NaN come back as they were.

Only operators that NumPy arrays and torch tensors share are used, so one function serves both.
"""

from __future__ import annotations

INTEGER_CODES = ("offset", "twos-complement", "sign-magnitude")
# Name -> bits of a word.
FLOAT_CODES = {"float16": 16, "float32": 32, "float64": 64}
# Sign-magnitude of a signal that is not signed has no meaning, but does no harm: it is a bijection.
CODES = (*INTEGER_CODES, *FLOAT_CODES)


def to_words(samples, bits: int, code: str):
    """Words whose bit-planes are fitted.

    Parameters
    ----------
    samples : int64 array or tensor
        Offset binary in 0 .. 2**bits - 1, or words of IEEE 754.
    bits : int
        Bit depth n.
    code : str
        One of `CODES`. `twos-complement` inverts the sign plane; `sign-magnitude` writes |s| below
        the sign, and -2**(n-1), whose magnitude has no room, as the word of -0.

    Returns
    -------
    int64 array or tensor
        Of the same kind; the samples themselves for `offset` and floats.

    Examples
    --------
    >>> import numpy as np
    >>> signed = np.array([-4, -3, -1, 0, 1, 3])
    >>> to_words(signed + 4, 3, "twos-complement").tolist()
    [4, 5, 7, 0, 1, 3]
    >>> to_words(signed + 4, 3, "sign-magnitude").tolist()
    [4, 7, 5, 0, 1, 3]
    """
    half = 1 << (bits - 1)
    if code == "twos-complement":
        return samples ^ half
    if code == "sign-magnitude":
        signed = samples - half
        return (abs(signed) & (half - 1)) | (half * (signed < 0))
    return samples


def from_words(words, bits: int, code: str):
    """Inverse of `to_words`.

    Examples
    --------
    >>> import numpy as np
    >>> every = np.arange(256)
    >>> all((from_words(to_words(every, 8, c), 8, c) == every).all() for c in INTEGER_CODES)
    True
    """
    half = 1 << (bits - 1)
    if code == "twos-complement":
        return words ^ half
    if code == "sign-magnitude":
        magnitude, negative = words & (half - 1), (words >> (bits - 1)) & 1
        signed = magnitude * (1 - 2 * negative) - half * (negative * (magnitude == 0))
        return signed + half
    return words
