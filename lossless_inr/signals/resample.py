"""Crops and the published down-sampling, in float64 with a fixed order of summation.

The published code resizes with torchvision's antialiased bilinear filter in float32. Here the
same filter is applied tap by tap with elementwise float64 operations only: no BLAS, whose order
of summation differs between machines, so every machine gets the same integers.
"""

from __future__ import annotations

import numpy as np

from lossless_inr.errors import UserError

# Rows that are resized at a time.
BAND = 128


def centre_square(samples: np.ndarray) -> np.ndarray:
    """Centre crop (height, width, C) to the smaller side; offset round((size - side) / 2)."""
    height, width = samples.shape[:2]
    side = min(height, width)
    # Python's round is half-to-even, as in torchvision's center_crop.
    top, left = round((height - side) / 2), round((width - side) / 2)
    return samples[top : top + side, left : left + side]


def _taps(old: int, new: int) -> tuple[np.ndarray, np.ndarray]:
    """Source indices and weights, each (new, taps), of the antialiased triangle filter."""
    scale = old / new
    centres = (np.arange(new) + 0.5) * scale
    first = np.maximum(np.floor(centres - scale + 0.5), 0).astype(int)
    last = np.minimum(np.floor(centres + scale + 0.5), old).astype(int)
    offsets = np.arange((last - first).max())
    index = first[:, None] + offsets
    weight = np.maximum(0.0, 1.0 - np.abs((index - centres[:, None] + 0.5) / scale))
    weight[index >= last[:, None]] = 0.0
    total = np.zeros(new)
    for k in range(offsets.size):
        total = total + weight[:, k]
    return np.minimum(index, old - 1), weight / total[:, None]


def _resize_axis(values: np.ndarray, new: int) -> np.ndarray:
    """Resize the first axis of a float64 array."""
    index, weight = _taps(len(values), new)
    result = np.zeros((new, *values.shape[1:]))
    for k in range(index.shape[1]):
        factor = weight[:, k].reshape(-1, *[1] * (values.ndim - 1))
        result = result + factor * values[index[:, k]]
    return result


def downsample(
    samples: np.ndarray, height: int, width: int, *, from_bits: int, to_bits: int
) -> np.ndarray:
    """Antialiased bilinear reduction, then quantisation to `to_bits`.

    Parameters
    ----------
    samples : ndarray of int, (H, W, C)
        Values in 0 .. 2**from_bits - 1.
    height, width : int
        Wanted size, at most the size at hand: enlarging would invent samples.
    from_bits, to_bits : int
        Bit depth before and after; averaging an 8-bit photograph fills the planes below.

    Returns
    -------
    ndarray of int64, (height, width, C)
        round-half-even(mean / (2**from_bits - 1) * (2**to_bits - 1)), clamped.

    Raises
    ------
    UserError
        If the wanted size exceeds the size at hand.
    """
    if height > samples.shape[0] or width > samples.shape[1]:
        raise UserError(
            f"cannot enlarge {samples.shape[0]}x{samples.shape[1]} to {height}x{width}; "
            "ask for a smaller size"
        )
    # Columns first, then rows: the order of the library filters this follows. A band of rows at a
    # time, so that memory is that of the small image and not of eight bytes per sample.
    values = np.empty((samples.shape[0], width, samples.shape[2]))
    for top in range(0, len(samples), BAND):
        band = samples[top : top + BAND].astype(np.float64)
        values[top : top + BAND] = _resize_axis(band.swapaxes(0, 1), width).swapaxes(0, 1)
    values = _resize_axis(values, height)
    top = 2**to_bits - 1
    return np.clip(np.rint(values / (2**from_bits - 1) * top), 0, top).astype(np.int64)


def crop(samples: np.ndarray, size: tuple[int, ...], offset: tuple[int, ...] | None) -> np.ndarray:
    """Cut `size` out of the leading axes, at `offset` or in the centre; never resampled.

    Raises
    ------
    UserError
        If the window leaves the signal.
    """
    if offset is None:
        offset = tuple((have - want) // 2 for have, want in zip(samples.shape, size, strict=False))
    for have, want, start in zip(samples.shape, size, offset, strict=False):
        if start < 0 or start + want > have:
            raise UserError(
                f"the window of {want} at {start} leaves the signal, which has {have}; "
                "ask for a smaller size or another offset"
            )
    window = tuple(slice(o, o + s) for o, s in zip(offset, size, strict=True))
    return samples[window]


def halve(samples: np.ndarray) -> np.ndarray:
    """A sound at half its rate: float64 (ceil(n / 2), C), by SciPy's polyphase filter.

    Not bit-exact between releases of SciPy: such signals are measured, not pinned.
    """
    from scipy.signal import resample_poly

    return resample_poly(samples, 1, 2, axis=0)
