"""Error counts in integers: they decide lossless, so nothing here is rounded.

The functions take NumPy arrays or torch tensors alike (only operators both have are used), so
the fitting loop counts on its own device with the very code the tests check.
"""

from __future__ import annotations


def wrong_bits_per_plane(decoded, truth, bits: int, axis=None):
    """Count wrong bits in each plane, least significant first.

    Parameters
    ----------
    decoded, truth : int64 array or tensor, same shape
        Values in 0 .. 2**bits - 1.
    bits : int
        Bit depth n.
    axis : tuple of int, optional
        Axes to count over; all by default.

    Returns
    -------
    list of array or tensor, length n
        Wrong bits of plane 0 .. n-1, on the device of the input.

    Notes
    -----
    BER as the paper uses it (section 4.1) is their sum over (number of samples x n).
    """
    difference = decoded ^ truth
    return [((difference >> plane) & 1).sum(axis) for plane in range(bits)]


def count_errors(decoded, truth, axis=None):
    """Sum of squared differences, as an exact integer.

    Parameters
    ----------
    decoded, truth : int64 array or tensor, same shape
        Integer samples below 2**16, so that 2**31 squared differences fit in 63 bits.
    axis : tuple of int, optional
        Axes to sum over; all by default.

    Returns
    -------
    scalar or array of the input's kind
        sum((decoded - truth)**2).
    """
    difference = decoded - truth
    return (difference * difference).sum(axis)
