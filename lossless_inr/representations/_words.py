"""Floats as words of IEEE 754, on the device of the fit, and their squared errors."""

from __future__ import annotations

import torch

FLOATS = {
    16: (torch.float16, torch.int16),
    32: (torch.float32, torch.int32),
    64: (torch.float64, torch.int64),
}


def values_of(words: torch.Tensor, bits: int) -> torch.Tensor:
    """Values of int64 words: float64, same shape. Exact; a NaN is a NaN, without its payload."""
    kind, integer = FLOATS[bits]
    return words.to(integer).contiguous().view(kind).to(torch.float64)


def words_of(values: torch.Tensor, bits: int) -> torch.Tensor:
    """Words of the nearest floats of `bits` bits: int64 in 0 .. 2**bits - 1 (64: its bits)."""
    kind, integer = FLOATS[bits]
    words = values.to(kind).contiguous().view(integer).to(torch.int64)
    return words if bits == 64 else words & ((1 << bits) - 1)


def span(values: torch.Tensor, sound: bool) -> torch.Tensor:
    """Range that errors are measured against, shape (..., 1, 1).

    2 (from -1 to 1, full scale) for a sound that keeps to it; for other signals the distance from
    the smallest to the largest finite value, or 1 where that is 0.
    """
    finite = torch.isfinite(values)
    low = torch.where(finite, values, torch.inf).amin((-2, -1), keepdim=True)
    high = torch.where(finite, values, -torch.inf).amax((-2, -1), keepdim=True)
    found = torch.where(high > low, high - low, torch.ones_like(low))
    within = (low >= -1) & (high <= 1) if sound else torch.zeros_like(low, dtype=torch.bool)
    return torch.where(within, torch.full_like(found, 2.0), found)


def squared_error(
    decoded: torch.Tensor, truth: torch.Tensor, bits: int, sound: bool
) -> torch.Tensor:
    """Sum of squared errors in levels of the range over 2**bits - 1, so that one PSNR serves all.

    A word that is not finite, or further off than the range, counts as off by the range: one wrong
    exponent bit would otherwise be the whole sum. A wrong word counts at least one level (-0.0 for
    0.0, another payload of a NaN), so the sum is 0 only if all words are identical.

    Parameters
    ----------
    decoded, truth : int64 tensor, (..., positions, channels)
        Words.
    bits : {16, 32, 64}
    sound : bool

    Returns
    -------
    Tensor of float64, (...)
    """
    theirs = values_of(truth, bits)
    whole = span(theirs, sound)
    error = (values_of(decoded, bits) - theirs).abs() / whole
    # NaN compares false: what is no number becomes the whole range.
    error = torch.where(error <= 1, error, torch.ones_like(error)) * float(2**bits - 1)
    error = torch.where(decoded == truth, torch.zeros_like(error), error.clamp_min(1.0))
    return (error * error).sum((-2, -1))
