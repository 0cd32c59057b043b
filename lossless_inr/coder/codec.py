"""Samples to a stream of bits and back, along wavefronts.

All positions with column + 2 row = t are coded together: every neighbour that the network sees lies
on an earlier wavefront. Its positions, image by image and from the top row down, are coded in
blocks of `BLOCK`, so that many images take no more memory than a few: of a block channel by
channel, of a channel plane by plane, of a plane in the order of positions. The encoder knows all
samples and so has the probabilities of many blocks at once; that they are the decoder's is what
integers are for.
"""

from __future__ import annotations

from collections.abc import Iterator

import constriction
import numpy as np

from lossless_inr.coder.context import Band, Context
from lossless_inr.coder.network import IntegerNetwork, probabilities
from lossless_inr.errors import UserError

_BERNOULLI = constriction.stream.model.Bernoulli(perfect=False)
BLOCK = 4096
# The encoder takes as many blocks at once as have so many positions.
CHUNK = 4096


def wavefronts(height: int, width: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(rows, columns) of each wavefront, in the order of coding."""
    for t in range(width + 2 * (height - 1)):
        rows = np.arange(max(0, (t - width + 2) // 2), min(height - 1, t // 2) + 1)
        yield rows, t - 2 * rows


def _blocks(
    height: int, width: int, images: int, groups: int = 1
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(image, row, column) of positions that are coded together, in the order of coding.

    Of several groups of so many images each, all have their own block side by side.
    """
    first = np.arange(groups)[:, None] * images
    for rows, columns in wavefronts(height, width):
        count = images * len(rows)
        for begin in range(0, count, BLOCK):
            image, line = np.divmod(np.arange(begin, min(count, begin + BLOCK)), len(rows))
            yield (
                (first + image).reshape(-1),
                np.tile(rows[line], groups),
                np.tile(columns[line], groups),
            )


def _chunks(blocks: Iterator[tuple]) -> Iterator[tuple[tuple, list[int]]]:
    """Some blocks' positions at once, and how many each of these has."""
    found, counts = [], []
    for block in blocks:
        found.append(block)
        counts.append(len(block[0]))
        if sum(counts) >= CHUNK:
            yield tuple(map(np.concatenate, zip(*found, strict=True))), counts
            found, counts = [], []
    if found:
        yield tuple(map(np.concatenate, zip(*found, strict=True))), counts


def _known(
    samples: np.ndarray, network: IntegerNetwork, band: Band | None, groups: int = 1
) -> Iterator[tuple[np.ndarray, np.ndarray, list[int]]]:
    """Entries of the table of probabilities and true bits, (channels, bits, n), by chunks.

    Planes are in the order of coding: the most significant bit first.
    """
    bits = network.bits
    context = Context(samples.shape, bits, network.sight, samples, band)
    blocks = _blocks(context.height, context.width, len(samples) // groups, groups)
    for place, counts in _chunks(blocks):
        entries = np.empty((context.channels, bits, len(place[0])), np.uint16)
        truth = np.empty(entries.shape, np.uint8)
        for channel in range(context.channels):
            predictors, others = context.of_position(*place, channel)
            still = network.still(others)
            value = context.at(*place, channel)
            for plane in range(bits - 1, -1, -1):
                low = value >> (plane + 1) << (plane + 1)
                moving = context.of_bit(predictors, low, plane)
                k = bits - 1 - plane
                entries[channel, k] = network.entry(moving, still, channel * bits + plane)
                truth[channel, k] = (value >> plane) & 1
        yield entries, truth, counts


def encode(samples: np.ndarray, network: IntegerNetwork, band: Band | None = None) -> bytes:
    """Samples (images, height, width, channels) to a stream, a multiple of 4 bytes long."""
    return encode_apart([samples], network, band)[0]


def encode_apart(
    groups: list[np.ndarray], network: IntegerNetwork, band: Band | None = None
) -> list[bytes]:
    """A stream for each group of images of one shape, as `encode` gives it, in one walk.

    Parameters
    ----------
    groups : list of ndarray
        (images, height, width, channels), of one shape.
    network : IntegerNetwork
    band : Band, optional
        What their rows are of; its rows above are those of all images.
    """
    coders = [constriction.stream.queue.RangeEncoder() for _ in groups]
    table = probabilities()

    def apart(values: np.ndarray, bounds: np.ndarray) -> np.ndarray:
        """(groups, ...) in the order of coding."""
        return np.concatenate(
            [
                block.reshape(*block.shape[:2], len(coders), -1)
                .transpose(2, 0, 1, 3)
                .reshape(len(coders), -1)
                for block in np.split(values, bounds, axis=2)
            ],
            axis=1,
        )

    for entries, truth, counts in _known(np.concatenate(groups), network, band, len(groups)):
        bounds = np.cumsum(counts[:-1], dtype=np.int64)
        chances, bits = table[apart(entries, bounds)], apart(truth, bounds).astype(np.int32)
        for coder, own, chance in zip(coders, bits, chances, strict=True):
            coder.encode(own, _BERNOULLI, chance)
    return [coder.get_compressed().astype("<u4").tobytes() for coder in coders]


def decode(
    stream: bytes,
    shape: tuple[int, int, int, int],
    network: IntegerNetwork,
    band: Band | None = None,
) -> np.ndarray:
    """Inverse of `encode`: uint8 or uint16, of `shape`.

    Raises
    ------
    UserError
        If the stream is none of this network.
    """
    return decode_apart([stream], shape, network, band)[0]


def decode_apart(
    streams: list[bytes],
    shape: tuple[int, int, int, int],
    network: IntegerNetwork,
    band: Band | None = None,
) -> list[np.ndarray]:
    """Inverse of `encode_apart`; `shape` is that of each group.

    Raises
    ------
    UserError
        If a stream is none of this network.
    """
    words = [np.frombuffer(stream, "<u4").astype(np.uint32) for stream in streams]
    coders = [constriction.stream.queue.RangeDecoder(one) for one in words]
    context = Context((shape[0] * len(streams), *shape[1:]), network.bits, network.sight, band=band)
    try:
        _walk(context, network, shape[0], coders)
    except (AssertionError, ValueError) as error:  # constriction's words for an impossible stream
        raise UserError(f"the stream cannot be decoded ({error})") from None
    return np.split(context.samples(), len(streams))


def _walk(context: Context, network: IntegerNetwork, images: int, coders: list) -> None:
    bits, table = network.bits, probabilities()
    for place in _blocks(context.height, context.width, images, len(coders)):
        for channel in range(context.channels):
            predictors, others = context.of_position(*place, channel)
            still = network.still(others)
            low = np.zeros(len(place[0]), np.int32)
            for plane in range(bits - 1, -1, -1):
                moving = context.of_bit(predictors, low, plane)
                chance = table[network.entry(moving, still, channel * bits + plane)]
                low += _bits(coders, chance) << plane
            context.put(*place, channel, low)


def _bits(coders: list, chance: np.ndarray) -> np.ndarray:
    if len(coders) == 1:
        return coders[0].decode(_BERNOULLI, chance)
    parts = np.split(chance, len(coders))
    return np.concatenate(
        [coder.decode(_BERNOULLI, own) for coder, own in zip(coders, parts, strict=True)]
    )


def cost(samples: np.ndarray, network: IntegerNetwork) -> float:
    """Bits that the stream of samples takes by the network's probabilities, without coding them."""
    one = np.log2(probabilities())
    return -sum(
        float(np.where(truth == 1, one[entries], one[::-1][entries]).sum())
        for entries, truth, _ in _known(samples, network, None)
    )
