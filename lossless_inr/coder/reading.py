"""Read `.lic` files band by band; see `layout` for the form."""

from __future__ import annotations

import io
import math
import struct
import zlib
from collections.abc import Iterator
from typing import IO

import imagecodecs
import numpy as np

from lossless_inr.coder import codec
from lossless_inr.coder.context import ABOVE, Band
from lossless_inr.coder.layout import (
    CHECKS,
    LARGEST_NETWORK,
    LEAST,
    MAGIC,
    MOST_BITS,
    MOST_CHANNELS,
    MOST_HELD,
    OWN,
    RAW,
    SHIPPED,
    band_rows,
    channel_order,
    digest,
    held,
    raw_bytes,
    shipped,
)
from lossless_inr.coder.network import IntegerNetwork
from lossless_inr.errors import UserError
from lossless_inr.signals.signal import sample_dtype


class _Reader:
    """A file being read, with the checksum of what was taken and what is left."""

    def __init__(self, file: IO[bytes]):
        self.file, self.check = file, 0
        begin = file.tell()
        self.left = file.seek(0, io.SEEK_END) - begin
        file.seek(begin)

    def take(self, count: int, *, checked: bool = True) -> bytes:
        if count > self.left:
            raise UserError("it is cut short")
        content = self.file.read(count)
        if len(content) != count:
            raise UserError("it is cut short")
        self.left -= count
        if checked:
            self.check = zlib.crc32(content, self.check)
        return content

    def number(self) -> int:
        value = 0
        for shift in range(0, 42, 7):
            (byte,) = self.take(1)
            value |= (byte & 127) << shift
            if byte < 128:
                return value
        raise UserError("a size in its head is too large")


class Reading:
    """A `.lic` file of which the head is read, and no band yet.

    Parameters
    ----------
    file : file of bytes
        Open for reading and seeking; stays open as long as `bands` is gone through.

    Attributes
    ----------
    shape : tuple of int
        (images, height, width, channels). Not yet proved by a checksum, but no more than the file's
        length allows.
    bits : int

    Raises
    ------
    UserError
        If it is no such file.
    """

    def __init__(self, file: IO[bytes]):
        self._reader = _Reader(file)
        found = self._reader.take(min(4, self._reader.left))
        if found[:3] != MAGIC[:3] or len(found) < 4:
            raise UserError("not a .lic file")
        if found != MAGIC:
            version = found[3:].decode("latin1")
            raise UserError(
                f"version {version!r} of the format; this reads {MAGIC[3:].decode()}: compress the "
                "picture again"
            )
        self._mode, self.bits, channels = self._reader.take(3)
        images, height, width = (self._reader.number() for _ in range(3))
        self.shape = (images, height, width, channels)
        if (
            self._mode > OWN
            or not 1 <= self.bits <= MOST_BITS
            or not 1 <= channels <= MOST_CHANNELS
        ):
            raise UserError(
                f"a head that says mode {self._mode}, {self.bits} bits, {channels} channels"
            )
        self._model = b""
        if self._mode != RAW:
            length = 4 if self._mode == SHIPPED else self._reader.number()
            if length > LARGEST_NETWORK:
                raise UserError(f"a network of {length:,} bytes; at most {LARGEST_NETWORK:,}")
            self._model = self._reader.take(length)
        if not math.prod(self.shape):
            raise UserError(f"its head says {self.shape}: nothing")
        if self._mode != RAW and held(self.shape) > MOST_HELD:
            raise UserError(f"its head says {self.shape}: rows too long to be held")
        bands = math.ceil(height / band_rows(self.shape))
        self._hold(math.prod(self.shape), self._reader.left - bands * (CHECKS.size + 1) + 1, bands)

    def _hold(self, samples: int, length: int, bands: int = 1) -> None:
        """Refuse more samples than so many bytes of streams can hold, before memory is taken."""
        least = samples * sample_dtype(self.bits).itemsize
        if self._mode != RAW:
            least = min(least, (samples * self.bits * LEAST - 64 * bands) / 8)
        if length < least:
            raise UserError(f"its head says {self.shape}, more than its {length} bytes can hold")

    def bands(self) -> Iterator[np.ndarray]:
        """Rows from the top, each band checked before it is given.

        Yields
        ------
        ndarray of uint8 or uint16, (images, rows, width, channels)

        Raises
        ------
        UserError
            If a band is damaged, or needs a network that is not here; nothing of it is given.
        """
        images, height, width, channels = self.shape
        rows, network = band_rows(self.shape), None
        order = channel_order(channels)
        above = np.zeros((images, 0, width, channels), sample_dtype(self.bits))
        for top in range(0, height, rows):
            count = min(rows, height - top)
            last = top + rows >= height
            stream, check = self._stream(images * count * width * channels, last)
            if top == 0:  # its checksum was right, so the head's is
                network = self._network()
            shape = (images, count, width, channels)
            samples = self._samples(stream, shape, network, Band(top, height, above))
            if zlib.crc32(raw_bytes(samples, self.bits)) != check:
                raise UserError("decoded samples are not those of its checksum; nothing is written")
            yield samples
            above = np.concatenate([above, samples[..., order][:, -ABOVE:]], axis=1)[:, -ABOVE:]

    def _stream(self, samples: int, last: bool) -> tuple[bytes, int]:
        """The stream of a band, and the CRC-32 of its samples."""
        length = self._reader.left - CHECKS.size if last else self._reader.number()
        if length < 0:
            raise UserError("it is cut short")
        if length > samples * sample_dtype(self.bits).itemsize:
            raise UserError(f"a band of {length:,} bytes, more than its samples take; damaged")
        self._hold(samples, length)
        stream = self._reader.take(length)
        (check,) = struct.unpack("<I", self._reader.take(4))
        found = self._reader.take(4, checked=False)
        if self._reader.check != int.from_bytes(found, "little"):
            raise UserError("damaged: its checksum is that of other bytes")
        return stream, check

    def _samples(self, stream: bytes, shape, network, band: Band) -> np.ndarray:
        kind = sample_dtype(self.bits)
        if len(stream) == math.prod(shape) * kind.itemsize:
            return np.frombuffer(stream, kind.newbyteorder("<")).reshape(shape).astype(kind)
        if network is None or len(stream) % 4:
            raise UserError(f"a band of {len(stream)} bytes for {shape}")
        samples = codec.decode(stream, shape, network, band)
        return samples[..., np.argsort(channel_order(shape[3]))]

    def _network(self) -> IntegerNetwork | None:
        if self._mode == RAW:
            return None
        if self._mode == SHIPPED:
            found = [one for one in shipped().values() if digest(one) == self._model]
            if not found:
                name = self._model.hex()
                raise UserError(
                    f"it was made with the network {name}, which this version does not have"
                )
            network = found[0]
        else:
            try:
                network = IntegerNetwork.from_bytes(
                    imagecodecs.zstd_decode(self._model, out=LARGEST_NETWORK)
                )
            except imagecodecs.ZstdError as error:
                raise UserError(f"its network cannot be read ({error})") from None
        if (network.bits, network.channels) != (self.bits, self.shape[3]):
            raise UserError("its network is for samples of another kind")
        return network


def unpack(content: bytes) -> tuple[np.ndarray, int]:
    """Samples of a file in memory, (images, height, width, channels), and their bits.

    Raises
    ------
    UserError
        If it is no such file, is damaged, or needs a network that is not here.
    """
    reading = Reading(io.BytesIO(content))
    samples, top = None, 0
    for band in reading.bands():
        if samples is None:
            try:
                samples = np.empty(reading.shape, band.dtype)
            except MemoryError:
                raise UserError(f"no memory for samples of shape {reading.shape}") from None
        samples[:, top : top + band.shape[1]] = band
        top += band.shape[1]
    return samples, reading.bits
