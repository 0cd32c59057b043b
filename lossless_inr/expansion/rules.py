"""Rules that expand x = y >> (m - q), the top q bits of an m-bit y, to m bits. NumPy only.

`midpoint` and `random_bits` are not in the paper: the first is the best that a constant can do on
uniform low bits, the second what a predictor without information does.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lossless_inr.errors import UserError

# The products of `ideal_gain` stay below 2**63 with room to spare; no file here has more bits.
MOST_BITS = 24

Rule = Callable[[np.ndarray, int, int], np.ndarray]


def zero_padding(x: np.ndarray, bits: int, target: int) -> np.ndarray:
    """ZP: append zeros.

    Parameters
    ----------
    x : ndarray of int64, any shape
        Values in 0 .. 2**bits - 1.
    bits, target : int
        q and m, 1 <= q < m <= 24 (see `check_depths`).

    Returns
    -------
    ndarray of int64, same shape
        x 2**(m - q), in 0 .. 2**target - 1.
    """
    return x << (target - bits)


def ideal_gain(x: np.ndarray, bits: int, target: int) -> np.ndarray:
    """MIG: multiply by the ideal gain (2**m - 1) / (2**q - 1), rounded half up, in integers.

    Parameters and result as of `zero_padding`.
    """
    top, bottom = 2**target - 1, 2**bits - 1
    return (2 * x * top + bottom) // (2 * bottom)


def bit_replication(x: np.ndarray, bits: int, target: int) -> np.ndarray:
    """BR: repeat the pattern until m bits are filled, then cut.

    Parameters and result as of `zero_padding`. One bit becomes all zeros or all ones.

    Examples
    --------
    >>> [f"{bit_replication(0b101, 3, m):b}" for m in (4, 6, 8)]
    ['1011', '101101', '10110110']
    """
    times = -(-target // bits)
    repeated = sum(x << (bits * k) for k in range(times))
    return repeated >> (bits * times - target)


def midpoint(x: np.ndarray, bits: int, target: int) -> np.ndarray:
    """MP: append 100...0, the middle of what the missing bits can be.

    Parameters and result as of `zero_padding`.
    """
    return (x << (target - bits)) + (1 << (target - bits - 1))


def random_bits(x: np.ndarray, bits: int, target: int, *, seed: int) -> np.ndarray:
    """Append independent uniform bits (PCG64).

    Parameters and result as of `zero_padding`; the same `seed` and shape give the same bits.
    """
    drawn = np.random.Generator(np.random.PCG64(seed)).integers(
        0, 1 << (target - bits), np.shape(x)
    )
    return (x << (target - bits)) | drawn


# Name -> rule; those that draw are apart.
RULES: dict[str, Rule] = {
    "zero_padding": zero_padding,
    "ideal_gain": ideal_gain,
    "bit_replication": bit_replication,
    "midpoint": midpoint,
}


def check_depths(bits: int, target: int) -> None:
    """Refuse an expansion that adds no bits.

    Raises
    ------
    UserError
        Unless 1 <= bits < target <= 24.
    """
    if not 1 <= bits < target <= MOST_BITS:
        raise UserError(
            f"expansion from {bits} to {target} bits: from at least 1 to more than that, up to "
            f"{MOST_BITS}"
        )


def expand(rule: str, x: np.ndarray, bits: int, target: int, *, seed: int = 0) -> np.ndarray:
    """Expand by the rule of a name, with its input checked.

    Parameters
    ----------
    rule : str
        A key of `RULES`, or "random_bits".
    x : ndarray of unsigned or signed int, any shape
        Values in 0 .. 2**bits - 1.
    bits, target : int
    seed : int
        Of "random_bits".

    Returns
    -------
    ndarray of int64, same shape

    Raises
    ------
    UserError
        See `check_depths`; also for values that `bits` bits do not hold.
    """
    check_depths(bits, target)
    x = np.asarray(x).astype(np.int64)
    if x.size and not 0 <= x.min() <= x.max() < 2**bits:
        raise UserError(
            f"expansion from {bits} bits: values {x.min()} to {x.max()} do not fit in them"
        )
    if rule == "random_bits":
        return random_bits(x, bits, target, seed=seed)
    return RULES[rule](x, bits, target)


def split(samples: np.ndarray, depth: int, bits: int, target: int, name: str) -> tuple:
    """Truth and input of an expansion, of a deeper image.

    Parameters
    ----------
    samples : ndarray of unsigned int, any shape
        The image of `depth` bits.
    depth : int
    bits, target : int
        q and m; m is at most `depth`.
    name : str
        Of the image, for messages.

    Returns
    -------
    truth : ndarray of int64
        samples >> (depth - target).
    known : ndarray of int64
        Its top `bits` bits.

    Raises
    ------
    UserError
        See `check_depths`; also if the image is not deep enough, or the bits that are to be
        found are zero everywhere: of padding, zero padding would score as lossless.
    """
    check_depths(bits, target)
    if target > depth:
        raise UserError(f"{name}: has {depth} bits, so nothing says what its {target} would be")
    truth = np.asarray(samples).astype(np.int64) >> (depth - target)
    if not (truth & ((1 << (target - bits)) - 1)).any():
        raise UserError(
            f"{name}: the lowest {target - bits} of its {target} bits are zero everywhere, as of a "
            f"{bits}-bit image in a deeper file; there is nothing to expand"
        )
    return truth, truth >> (target - bits)
