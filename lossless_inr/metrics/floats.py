"""Errors of floats, counted in words: wrong words and ULP distances. NumPy only.

For squared errors, which are not of words, see `Representation.squared_error` and `levels`.
"""

from __future__ import annotations

import numpy as np

FLOAT_TYPES = {16: np.float16, 32: np.float32, 64: np.float64}
LEVEL_BITS = 24  # of floats that are drawn
WORD_TYPES = {16: np.uint16, 32: np.uint32, 64: np.uint64}


def float_values(words: np.ndarray, bits: int) -> np.ndarray:
    """IEEE-754 words as the floats they are: float16, float32 or float64 of the same shape."""
    return np.ascontiguousarray(words).astype(WORD_TYPES[bits]).view(FLOAT_TYPES[bits])


def ordered(words: np.ndarray, bits: int) -> np.ndarray:
    """Integers in the order of the floats: neighbours differ by 1, and both zeros are 0.

    Returns
    -------
    ndarray of object (Python ints) for 64 bits, of int64 otherwise
    """
    kind = object if bits == 64 else np.int64
    whole = np.asarray(words).astype(WORD_TYPES[bits]).astype(kind)
    sign = 1 << (bits - 1)
    return np.where(whole >= sign, sign - whole, whole)


def word_errors(decoded: np.ndarray, truth: np.ndarray, bits: int) -> dict:
    """Wrong words and how far they are off.

    Parameters
    ----------
    decoded, truth : ndarray of int, same shape
        Words of IEEE 754.
    bits : {16, 32, 64}

    Returns
    -------
    dict
        `words` (all of them), `wrong_words` (not identical: -0.0 for 0.0 is wrong, and so is
        another payload of a NaN), `not_finite` (decoded NaN and infinities where the truth is
        finite), `special` (NaN, infinities, -0.0 and subnormal numbers in the truth), and
        `ulp_median` and `ulp_max` (units in the last place between both, over samples that are
        finite on both sides; null if there are none).

    Examples
    --------
    >>> one = np.array([1.0, 2.0], np.float32).view(np.uint32)
    >>> word_errors(one + np.array([0, 3], np.uint32), one, 32)["ulp_max"]
    3
    """
    ours, theirs = float_values(decoded, bits), float_values(truth, bits)
    finite = np.isfinite(theirs)
    both = finite & np.isfinite(ours)
    far = np.abs(ordered(decoded, bits) - ordered(truth, bits))[both]
    tiny = finite & (theirs != 0) & (np.abs(theirs) < np.finfo(theirs.dtype).tiny)
    special = ~finite | tiny | ((theirs == 0) & np.signbit(theirs))
    kind = WORD_TYPES[bits]
    wrong = np.asarray(decoded).astype(kind) != np.asarray(truth).astype(kind)
    return {
        "words": int(theirs.size),
        "wrong_words": int(wrong.sum()),
        "not_finite": int((finite & ~np.isfinite(ours)).sum()),
        "special": int(special.sum()),
        "ulp_median": float(np.median(far.astype(float))) if far.size else None,
        "ulp_max": int(far.max()) if far.size else None,
    }


def levels(words: np.ndarray, truth: np.ndarray, bits: int, sound: bool) -> np.ndarray:
    """Floats as integers that can be drawn: steps of the original's range over 2**24 - 1.

    Parameters
    ----------
    words, truth : ndarray of int, same shape
        Words of IEEE 754; `truth` decides the range: -1 to 1 for a sound that keeps to it, else
        from its smallest to its largest finite value.
    bits : {16, 32, 64}
    sound : bool

    Returns
    -------
    ndarray of int64
        0 .. 2**24 - 1; what is outside is clipped, a NaN is in the middle.
    """
    values = float_values(words, bits).astype(np.float64)
    theirs = float_values(truth, bits).astype(np.float64)
    finite = theirs[np.isfinite(theirs)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (-1.0, 1.0)
    if (sound and low >= -1 and high <= 1) or low == high:
        low, high = min(low, -1.0), max(high, 1.0)
    share = np.nan_to_num((values - low) / (high - low), nan=0.5, posinf=1.0, neginf=0.0)
    return np.rint(np.clip(share, 0, 1) * (2**LEVEL_BITS - 1)).astype(np.int64)
