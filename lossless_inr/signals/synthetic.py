"""Signals that are computed: limits of what a fit can meet, and the paper's bit-axis image."""

from __future__ import annotations

import numpy as np

from lossless_inr.errors import UserError, suggest

# Corners of the colour cube: each channel is the value (1) or its complement (0).
PATCHES = ((0, 1, 1), (1, 0, 1), (1, 1, 0), (0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1))


def constant(shape: tuple[int, ...], bits: int) -> np.ndarray:
    """Every sample two thirds of the range: alternating bits."""
    return np.full(shape, (2**bits - 1) * 2 // 3)


def ramp(shape: tuple[int, ...], bits: int) -> np.ndarray:
    """From 0 to the largest value along the axis before the channels; channels alternate ends."""
    length = shape[-2]
    values = np.arange(length) * (2**bits - 1) // max(1, length - 1)
    samples = np.broadcast_to(values[:, None], shape).copy()
    samples[..., 1::2] = 2**bits - 1 - samples[..., 1::2]
    return samples


def noise(shape: tuple[int, ...], bits: int) -> np.ndarray:
    """Independent uniform samples (PCG64, seed 0): nothing to compress."""
    return np.random.Generator(np.random.PCG64(0)).integers(0, 2**bits, shape)


def bit_axis(shape: tuple[int, ...], bits: int, period: int) -> np.ndarray:
    """Cyan, magenta, yellow, black, red, green, blue, white with one frequency on the bit axis.

    Eight flat patches in two rows; each channel is v or its complement. The bits of v repeat
    with `period`: all equal for 0, else half a period of ones, then of zeros (0xFF00 for 16,
    0xAAAA for 2). The paper shows such an image (Figure 9) without its values; these are ours.
    """
    half = period // 2
    ones = [p for p in range(bits) if period == 0 or p % period >= half]
    value = sum(1 << p for p in ones)
    height, width, channels = shape
    rows = (np.arange(height) * 2 // height)[:, None]
    columns = (np.arange(width) * 4 // width)[None, :]
    corners = np.array(PATCHES)[rows * 4 + columns][..., :channels]
    return np.where(corners == 1, value, 2**bits - 1 - value)


def make(name: str, shape: tuple[int, ...], bits: int) -> np.ndarray:
    """Samples of a kind: `constant`, `ramp`, `noise`, or `bits-<period>`.

    Parameters
    ----------
    name : str
    shape : tuple of int
        (height, width, channels) or (samples, channels).
    bits : int

    Returns
    -------
    ndarray of int64, values in 0 .. 2**bits - 1

    Raises
    ------
    UserError
        If there is no such kind.
    """
    kinds = {"constant": constant, "ramp": ramp, "noise": noise}
    kind, dash, period = name.partition("-")
    if kind == "bits" and dash and period.isdigit() and int(period) % 2 == 0 and len(shape) == 3:
        return bit_axis(shape, bits, int(period))
    if name not in kinds:
        known = [*kinds, "bits-0", "bits-2", "bits-4", "bits-8", "bits-16"]
        raise UserError(f"synthetic:{name}: no such kind{suggest(name, known)}")
    return kinds[name](shape, bits)
