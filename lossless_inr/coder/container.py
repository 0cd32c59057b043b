"""Write `.lic` files, of which `layout` says the form and `reading` is the way back."""

from __future__ import annotations

import io
import shutil
import struct
import tempfile
import zlib
from collections.abc import Sequence
from typing import IO

import imagecodecs
import numpy as np

from lossless_inr.coder import codec
from lossless_inr.coder.context import ABOVE, Band
from lossless_inr.coder.layout import (
    MAGIC,
    MOST_HELD,
    OWN,
    RAW,
    SHIPPED,
    Parts,
    band_rows,
    channel_order,
    digest,
    held,
    number,
    raw_bytes,
    shipped,
)
from lossless_inr.coder.network import IntegerNetwork
from lossless_inr.coder.reading import Reading, unpack
from lossless_inr.signals.signal import sample_dtype

__all__ = [
    "MAGIC",
    "OWN",
    "RAW",
    "SHIPPED",
    "Parts",
    "Reading",
    "channel_order",
    "digest",
    "pack",
    "shipped",
    "unpack",
    "write",
    "write_shortest",
]


class _Checked:
    """A file being written, with the checksum of what went there.

    That checksum itself goes by: with its own checksum behind it, any content has the same one, and
    bands would not know each other.
    """

    def __init__(self, file: IO[bytes]):
        self.file, self.check = file, 0

    def write(self, content: bytes) -> int:
        self.check = zlib.crc32(content, self.check)
        self.file.write(content)
        return len(content)


def write(
    file: IO[bytes], samples: np.ndarray, bits: int, network: IntegerNetwork | None, *, own: bool
) -> Parts:
    """Write samples by one network, band by band.

    Parameters
    ----------
    file : file of bytes
        Open for writing.
    samples : ndarray of uint8 or uint16, (images, height, width, channels)
        1 to 4 channels, values in 0 .. 2**bits - 1.
    bits : int
        1 to 16.
    network : IntegerNetwork or None
        None stores the samples as they are, and so does a picture of which not even a few rows are
        to be held at once (`MOST_HELD`).
    own : bool
        Whether the network goes into the file; else it is one of `shipped`.

    Returns
    -------
    Parts
    """
    images, height, width, channels = samples.shape
    order, rows = channel_order(channels), band_rows(samples.shape)
    if held(samples.shape) > MOST_HELD:
        network = None
    mode, model = RAW, b""
    if network is not None:
        packed = imagecodecs.zstd_encode(network.to_bytes(), level=19) if own else b""
        mode = OWN if own else SHIPPED
        model = number(len(packed)) + packed if own else digest(network)
    to = _Checked(file)
    sizes = b"".join(map(number, (images, height, width)))
    head = to.write(MAGIC + bytes([mode, bits, channels]) + sizes)
    to.write(model)
    streams = checks = 0
    for top in range(0, height, rows):
        band = samples[:, top : top + rows]
        stream = raw = raw_bytes(band, bits)
        if network is not None:
            above = samples[:, max(0, top - ABOVE) : top][..., order]
            coded = codec.encode(band[..., order], network, Band(top, height, above))
            stream = min(raw, coded, key=len)
        if top + rows < height:
            checks += to.write(number(len(stream)))
        streams += to.write(stream)
        checks += to.write(struct.pack("<I", zlib.crc32(raw)))
        checks += file.write(struct.pack("<I", to.check))
    return Parts(head, len(model), streams, checks)


def write_shortest(
    file: IO[bytes],
    samples: np.ndarray,
    bits: int,
    networks: Sequence[tuple[IntegerNetwork, bool]],
) -> Parts:
    """Write samples by the network that makes the file shortest, or as they are.

    Parameters
    ----------
    file : file of bytes
        Open for writing and seeking.
    samples, bits
        See `write`.
    networks : sequence of (IntegerNetwork, bool)
        Each with whether it has to go into the file.
    """
    begin, best = file.tell(), None
    for network, own in (*networks, (None, False)):
        if (
            network is None
            and best
            and best.network + best.stream < samples.size * sample_dtype(bits).itemsize
        ):
            break
        with tempfile.TemporaryFile() as other:
            parts = write(other if best else file, samples, bits, network, own=own)
            if best is None:
                best = parts
            elif parts.file < best.file:
                best = parts
                file.seek(begin)
                file.truncate()
                other.seek(0)
                shutil.copyfileobj(other, file)
    return best


def pack(
    samples: np.ndarray, bits: int, network: IntegerNetwork | None, *, own: bool
) -> tuple[bytes, Parts]:
    """A file of samples in memory: by a network, or raw where that is shorter.

    Parameters
    ----------
    samples, bits, network, own
        See `write`.

    Returns
    -------
    content : bytes
    parts : Parts
    """
    file = io.BytesIO()
    parts = write_shortest(file, samples, bits, [] if network is None else [(network, own)])
    return file.getvalue(), parts
