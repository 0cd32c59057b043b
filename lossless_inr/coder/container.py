"""The `.lic` file: a head, a network or the name of one, a stream, two checksums.

Little-endian. Bytes 0-3 `LIC1`; 4 mode (0 raw, 1 shipped network, 2 network of its own); 5 bits;
6 channels; then images, height and width as LEB128. Mode 1: the first 4 bytes of the network's
sha256; mode 2: its length (LEB128) and its bytes by Zstandard. Then the stream. The last 8 bytes
are the CRC-32 of the samples (uint8, or uint16 little-endian) and that of all bytes before them.

The order of the channels in the stream is green, red, blue, alpha.
"""

from __future__ import annotations

import functools
import hashlib
import math
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import numpy as np

from lossless_inr.coder import codec
from lossless_inr.coder.network import SCALE, IntegerNetwork
from lossless_inr.errors import UserError
from lossless_inr.signals.signal import sample_dtype

MAGIC = b"LIC1"
RAW, SHIPPED, OWN = 0, 1, 2
PRIORS = Path(__file__).parent / "priors"
MOST_BITS, MOST_CHANNELS = 16, 4
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
    head, network, stream, checks : int
    """

    head: int
    network: int
    stream: int
    checks: int = CHECKS.size

    @property
    def file(self) -> int:
        """All of them."""
        return self.head + self.network + self.stream + self.checks


def channel_order(channels: int) -> list[int]:
    """Channels of the stream by their place in the picture: green first."""
    return [1, 0, 2, 3][:channels] if channels > 2 else list(range(channels))


def _number(value: int) -> bytes:
    """LEB128."""
    found = bytearray()
    while True:
        value, low = value >> 7, value & 127
        found.append(low | (128 if value else 0))
        if not value:
            return bytes(found)


class _Reader:
    def __init__(self, content: bytes):
        self.content, self.place = content, 0

    def take(self, count: int) -> bytes:
        if self.place + count > len(self.content):
            raise UserError("it is cut short")
        self.place += count
        return self.content[self.place - count : self.place]

    def number(self) -> int:
        value = 0
        for shift in range(0, 42, 7):
            (byte,) = self.take(1)
            value |= (byte & 127) << shift
            if byte < 128:
                return value
        raise UserError("a size in its head is too large")


def pack(
    samples: np.ndarray, bits: int, network: IntegerNetwork | None, *, own: bool
) -> tuple[bytes, Parts]:
    """A file of samples.

    Parameters
    ----------
    samples : ndarray of uint8 or uint16, (images, height, width, channels)
        1 to 4 channels, values in 0 .. 2**bits - 1.
    bits : int
        1 to 16.
    network : IntegerNetwork or None
        None stores the samples as they are; so does a network whose file would be longer.
    own : bool
        Whether the network goes into the file; else it is one of `shipped`.

    Returns
    -------
    content : bytes
    parts : Parts
    """
    raw = samples.astype(sample_dtype(bits).newbyteorder("<")).tobytes()
    sizes = b"".join(_number(size) for size in samples.shape[:3])

    def head(mode):
        return MAGIC + bytes([mode, bits, samples.shape[3]]) + sizes

    mode, model, stream = RAW, b"", raw
    if network is not None:
        packed = imagecodecs.zstd_encode(network.to_bytes(), level=19) if own else digest(network)
        packed = _number(len(packed)) + packed if own else packed
        coded = codec.encode(samples[..., channel_order(samples.shape[3])], network)
        if len(packed) + len(coded) < len(raw):
            mode, model, stream = OWN if own else SHIPPED, packed, coded
    body = head(mode) + model + stream + struct.pack("<I", zlib.crc32(raw))
    content = body + struct.pack("<I", zlib.crc32(body))
    return content, Parts(len(head(mode)), len(model), len(stream))


def unpack(content: bytes) -> tuple[np.ndarray, int]:
    """Samples of a file and their bits.

    Raises
    ------
    UserError
        If it is no such file, is damaged, or needs a network that is not here.
    """
    if content[:3] != MAGIC[:3]:
        raise UserError("not a .lic file")
    if content[:4] != MAGIC:
        raise UserError(f"version {content[3:4].decode('latin1')!r} of the format; this reads 1")
    if len(content) < 4 + CHECKS.size or zlib.crc32(content[:-4]) != int.from_bytes(
        content[-4:], "little"
    ):
        raise UserError("damaged: its checksum is that of other bytes")
    reader = _Reader(content[: -CHECKS.size])
    reader.take(4)
    mode, bits, channels = reader.take(3)
    images, height, width = (reader.number() for _ in range(3))
    if mode > OWN or not 1 <= bits <= MOST_BITS or not 1 <= channels <= MOST_CHANNELS:
        raise UserError(f"a head that says mode {mode}, {bits} bits, {channels} channels")
    network = _network(reader, mode, bits, channels)
    stream = reader.content[reader.place :]
    shape, count = (images, height, width, channels), images * height * width * channels
    kind = sample_dtype(bits).newbyteorder("<")
    if not count or (mode == RAW and len(stream) != count * kind.itemsize):
        raise UserError(f"its head says {shape}, its stream has {len(stream)} bytes")
    if network is None:
        samples = np.frombuffer(stream, kind).reshape(shape).astype(sample_dtype(bits))
    else:
        if count * bits * LEAST > 8 * len(stream) + 64 or len(stream) % 4:
            raise UserError(f"its head says {shape}, more than {len(stream)} bytes can hold")
        samples = codec.decode(stream, shape, network)
        samples = samples[..., np.argsort(channel_order(channels))]
    check, _ = CHECKS.unpack(content[-CHECKS.size :])
    if zlib.crc32(samples.astype(kind).tobytes()) != check:
        raise UserError("the decoded samples are not those of its checksum; nothing is written")
    return samples, bits


def _network(reader: _Reader, mode: int, bits: int, channels: int) -> IntegerNetwork | None:
    if mode == RAW:
        return None
    if mode == SHIPPED:
        name = reader.take(4)
        found = [network for network in shipped().values() if digest(network) == name]
        if not found:
            raise UserError(
                f"it was made with the network {name.hex()}, which this version does not have"
            )
        network = found[0]
    else:
        packed = reader.take(reader.number())
        try:
            network = IntegerNetwork.from_bytes(
                imagecodecs.zstd_decode(packed, out=LARGEST_NETWORK)
            )
        except imagecodecs.ZstdError as error:
            raise UserError(f"its network cannot be read ({error})") from None
    if (network.bits, network.channels) != (bits, channels):
        raise UserError("its network is for samples of another kind")
    return network
