"""Signals that are computed: limits of what a fit can meet, and the paper's bit-axis image."""

from __future__ import annotations

import re

import numpy as np

from lossless_inr.errors import UserError, suggest

# Corners of the colour cube: each channel is the value (1) or its complement (0).
PATCHES = ((0, 1, 1), (1, 0, 1), (1, 1, 0), (0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1))
BIT_AXIS = re.compile(r"bits-(\d+)(?:-shuffled-(\d+))?", re.ASCII)


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


def bit_axis_value(bits: int, period: int, shuffle: int | None = None) -> int:
    """Value whose bits repeat with a period along the bit axis, its planes shuffled or not.

    Half a period of ones from the top, then of zeros: 0xFF00 for 16, 0xF0F0 for 8, 0xCCCC for 4,
    0xAAAA for 2, and 0xFFFF for 0 (no change along the axis).

    Parameters
    ----------
    bits : int
    period : int
        0, or an even number that divides `bits`.
    shuffle : int, optional
        Seed of PCG64, whose permutation of the planes says from which plane each one comes. Every
        period has as many ones after it as before, at other places; 0xFFFF stays what it is.

    Returns
    -------
    int
        In 1 .. 2**bits - 1.

    Raises
    ------
    UserError
        If there is no such period at this depth.

    Examples
    --------
    >>> hex(bit_axis_value(16, 8)), hex(bit_axis_value(16, 8, shuffle=3519))
    ('0xf0f0', '0x5a4d')
    """
    if period and (period % 2 or bits % period):
        offered = [k for k in range(2, bits + 1, 2) if bits % k == 0]
        raise UserError(
            f"no period of {period} along {bits} bits: write 0 (no change)"
            + "".join(f" or {k}" for k in offered)
        )
    source = np.arange(bits)
    if shuffle is not None:
        source = np.random.Generator(np.random.PCG64(shuffle)).permutation(bits)
    ones = (source % period >= period // 2) if period else np.ones(bits, bool)
    return sum(1 << plane for plane in range(bits) if ones[plane])


def bit_axis(
    shape: tuple[int, ...], bits: int, period: int, shuffle: int | None = None
) -> np.ndarray:
    """Cyan, magenta, yellow, black, red, green, blue, white with one frequency on the bit axis.

    Eight flat patches of one size in two rows; each channel is v (`bit_axis_value`) or its
    complement, whose bits change at the same places. The paper shows such an image (Figure 9)
    without its values; these are ours.

    Parameters
    ----------
    shape : tuple of int
        (height, width, 3): an even height, a width that is a multiple of 4.
    bits, period, shuffle
        See `bit_axis_value`.

    Returns
    -------
    ndarray of int64, shape `shape`, values v and 2**bits - 1 - v

    Raises
    ------
    UserError
        If the patches would not be equal, or there is no such period at this depth.
    """
    value = bit_axis_value(bits, period, shuffle)
    height, width, channels = shape
    if height % 2 or width % 4 or channels != 3:
        raise UserError(
            f"{height}x{width}x{channels} has no eight equal patches of RGB: ask for an even "
            "height, a width that is a multiple of 4, and 3 channels"
        )
    rows = (np.arange(height) * 2 // height)[:, None]
    columns = (np.arange(width) * 4 // width)[None, :]
    corners = np.array(PATCHES)[rows * 4 + columns]
    return np.where(corners == 1, value, 2**bits - 1 - value)


def make(name: str, shape: tuple[int, ...], bits: int) -> np.ndarray:
    """Samples of a kind.

    Parameters
    ----------
    name : str
        `constant`, `ramp`, `noise`, `bits-<period>` or `bits-<period>-shuffled-<seed>`.
    shape : tuple of int
        (height, width, channels) or (samples, channels).
    bits : int

    Returns
    -------
    ndarray of int64, values in 0 .. 2**bits - 1

    Raises
    ------
    UserError
        If there is no such kind, or none of this shape and depth.
    """
    kinds = {"constant": constant, "ramp": ramp, "noise": noise}
    if (found := BIT_AXIS.fullmatch(name)) and len(shape) == 3:
        period, shuffle = (None if text is None else int(text) for text in found.groups())
        try:
            return bit_axis(shape, bits, period, shuffle)
        except UserError as error:
            raise UserError(f"synthetic:{name}: {error}") from None
    if name not in kinds:
        known = [*kinds, "bits-0", "bits-2", "bits-4", "bits-8", "bits-16"]
        raise UserError(f"synthetic:{name}: no such kind{suggest(name, known)}")
    return kinds[name](shape, bits)
