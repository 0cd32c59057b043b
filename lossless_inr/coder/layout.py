"""The `.lic` file, version 2: a head, a network or the name of one, bands of rows.

Little-endian; numbers are LEB128 where no size is given. The head: bytes 0-3 `LIC2`; 4 mode (0 raw,
1 shipped network, 2 network of its own); 5 bits; 6 channels; then images, height and width. Mode 1:
the first 4 bytes of the network's sha256; mode 2: its length and its bytes by Zstandard.

A band has all columns of some rows of all images: as many rows as make at most `BAND` samples, but
at least one, spread evenly (`band_rows`); the last band has what is left. It is: the length of its
stream, which the last band does not have, as its stream ends 8 bytes before the file does; the
stream; the CRC-32 of its samples (uint8, or uint16 little-endian, in the picture's order); the
CRC-32 of all bytes of the file so far but these checksums. A stream as long as the samples are is
the samples as they are; else it is shorter, and the network's (`codec`), channels in the order
green, red, blue, alpha, with the rows above known. So a reader holds one band, knows that it is
right before it goes on, and takes no memory for what is not there.

Version 1 had one stream for all; no release wrote it, so it is refused.
"""

from __future__ import annotations

import functools
import hashlib
import math
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lossless_inr.coder.context import ABOVE, BESIDE
from lossless_inr.coder.network import SCALE, IntegerNetwork
from lossless_inr.signals.signal import sample_dtype

MAGIC = b"LIC2"
RAW, SHIPPED, OWN = 0, 1, 2
PRIORS = Path(__file__).parent / "priors"
MOST_BITS, MOST_CHANNELS = 16, 4
BAND = 1 << 20
# Samples that a coder may hold with a band: rows above, and what stands around for the outside.
MOST_HELD = 1 << 26
# A bit costs at least this: the stream of a file bounds what its head may declare.
LEAST = -math.log2(1 - 1 / SCALE)
LARGEST_NETWORK = 1 << 20
CHECKS = struct.Struct("<II")


@functools.cache
def shipped() -> dict[str, IntegerNetwork]:
    """Name -> network that comes with the package."""
    found = sorted(PRIORS.glob("*.net"))
    return {path.stem: IntegerNetwork.from_bytes(path.read_bytes()) for path in found}


def digest(network: IntegerNetwork) -> bytes:
    """What a file calls a shipped network."""
    return hashlib.sha256(network.to_bytes()).digest()[:4]


@dataclass(frozen=True)
class Parts:
    """Bytes of a file by what they are for.

    Attributes
    ----------
    head, network, stream : int
    checks : int
        Checksums of bands, and lengths of all but the last.
    """

    head: int
    network: int
    stream: int
    checks: int

    @property
    def file(self) -> int:
        """All of them."""
        return self.head + self.network + self.stream + self.checks


def channel_order(channels: int) -> list[int]:
    """Channels of the stream by their place in the picture: green first."""
    return [1, 0, 2, 3][:channels] if channels > 2 else list(range(channels))


def number(value: int) -> bytes:
    """LEB128."""
    found = bytearray()
    while True:
        value, low = value >> 7, value & 127
        found.append(low | (128 if value else 0))
        if not value:
            return bytes(found)


def band_rows(shape: tuple[int, int, int, int]) -> int:
    """Rows of a band of samples (images, height, width, channels); the last one may have fewer.

    Examples
    --------
    >>> band_rows((1, 4000, 6000, 3)), band_rows((1, 28, 28, 1))
    (58, 28)
    """
    images, height, width, channels = shape
    most = max(1, BAND // (images * width * channels))
    return math.ceil(height / math.ceil(height / most))


def held(shape: tuple[int, int, int, int]) -> int:
    """Samples that the context of a band has."""
    images, _, width, channels = shape
    return images * (band_rows(shape) + ABOVE) * (width + 2 * BESIDE) * channels


def raw_bytes(samples: np.ndarray, bits: int) -> bytes:
    """Samples as they are, little-endian."""
    return samples.astype(sample_dtype(bits).newbyteorder("<")).tobytes()
