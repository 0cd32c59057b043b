"""What a row of codecs makes of many signals: whole files, without containers, in one stream."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lossless_inr.codecs.rows import CONCATENATED, Row


@dataclass(frozen=True)
class Sizes:
    """Bytes that signals take by one row.

    Attributes
    ----------
    files : ndarray of int, (signals,)
        Whole files.
    payload : ndarray of int, (signals,)
        A file less what a signal of the same shape takes that is 0 throughout; never below 0.
    together : int
        All of them in one stream.
    how : str
        What that stream is: `1 mosaic`, `3 mosaics`, `concatenated`.
    exact : int
        How many files came back exactly, sample for sample.
    together_exact : bool
        Whether the stream of all did.
    encode_seconds, decode_seconds : float
        A file, on average.
    """

    files: np.ndarray
    payload: np.ndarray
    together: int
    how: str
    exact: int
    together_exact: bool
    encode_seconds: float
    decode_seconds: float


def mosaic(images: Sequence[np.ndarray]) -> np.ndarray:
    """Images of one shape in a near square grid, row by row; places left over are 0.

    Examples
    --------
    >>> mosaic([np.full((2, 3, 1), k, np.uint8) for k in (1, 2, 3)]).shape
    (4, 6, 1)
    """
    height, width, channels = images[0].shape
    # Near square in pixels: grid columns x width is about grid rows x height.
    columns = min(len(images), max(1, round(math.sqrt(len(images) * height / width))))
    lines = math.ceil(len(images) / columns)
    whole = np.zeros((lines * columns, height, width, channels), images[0].dtype)
    whole[: len(images)] = images
    grid = whole.reshape(lines, columns, height, width, channels).swapaxes(1, 2)
    return grid.reshape(lines * height, columns * width, channels)


def _mosaics(row: Row, images: Sequence[np.ndarray]) -> list[np.ndarray]:
    """As few as the shapes and the largest side of the codec allow."""
    by_shape = defaultdict(list)
    for image in images:
        by_shape[image.shape].append(image)
    found = []
    for shape, group in by_shape.items():
        # Half a grid cell is spare: a near square grid is up to that much longer one way.
        across = max(1, (row.most_side - max(shape[:2]) // 2) // max(shape[:2]))
        most = across * across
        found += [mosaic(group[k : k + most]) for k in range(0, len(group), most)]
    return found


def _one_stream(row: Row, signals: Sequence[np.ndarray]) -> tuple[list[np.ndarray], str]:
    if row.together != CONCATENATED:
        found = _mosaics(row, signals)
        return found, "1 mosaic" if len(found) == 1 else f"{len(found)} mosaics"
    if len({signal.shape[1:] for signal in signals}) == 1:
        return [np.concatenate(signals)], CONCATENATED
    # Shapes differ: only their samples stand one after another.
    return [np.concatenate([signal.reshape(-1, 1, 1) for signal in signals])], CONCATENATED


def sizes(row: Row, signals: Sequence[np.ndarray], bits: int = 8) -> Sizes:
    """Encode signals by one row, decode them again, and count.

    Parameters
    ----------
    row : Row
    signals : sequence of ndarray of uint8 or uint16
        (height, width, channels) or (samples, channels) each.
    bits : int

    Returns
    -------
    Sizes

    Raises
    ------
    ValueError
        If the row does not take one of them; `Row.takes` tells before.
    """
    for signal in signals:
        if not row.takes(signal.shape, bits):
            raise ValueError(f"{row.name} does not take {signal.shape} at {bits} bits")
    files, payload, exact, empty = [], [], 0, {}
    encoding = decoding = 0.0
    for signal in signals:
        begun = time.perf_counter()
        code = row.encode(signal)
        encoded = time.perf_counter()
        back = row.decode(code, signal.shape)
        decoding += time.perf_counter() - encoded
        encoding += encoded - begun
        exact += int(back.dtype == signal.dtype and np.array_equal(back, signal))
        if signal.shape not in empty:
            empty[signal.shape] = len(row.encode(np.zeros_like(signal)))
        files.append(len(code))
        payload.append(max(0, len(code) - empty[signal.shape]))
    streams, how = _one_stream(row, signals)
    codes = [row.encode(stream) for stream in streams]
    came_back = all(
        np.array_equal(row.decode(code, stream.shape), stream)
        for code, stream in zip(codes, streams, strict=True)
    )
    return Sizes(
        files=np.array(files), payload=np.array(payload), together=sum(map(len, codes)), how=how,
        exact=exact, together_exact=came_back, encode_seconds=encoding / len(signals),
        decode_seconds=decoding / len(signals),
    )  # fmt: skip
