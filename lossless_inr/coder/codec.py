"""Samples to a stream of bits and back, along wavefronts.

All positions with column + 2 row = t are coded together: every neighbour that the network sees lies
on an earlier wavefront. Encoder and decoder are one function, so their order cannot differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import constriction
import numpy as np

from lossless_inr.coder.context import Context
from lossless_inr.coder.network import IntegerNetwork
from lossless_inr.errors import UserError
from lossless_inr.signals.signal import sample_dtype

# (probabilities of 1, true bits or None) -> bits
Step = Callable[[np.ndarray, np.ndarray | None], np.ndarray]
_BERNOULLI = constriction.stream.model.Bernoulli(perfect=False)


def wavefronts(height: int, width: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(rows, columns) of each wavefront, in the order of coding."""
    for t in range(width + 2 * (height - 1)):
        rows = np.arange(max(0, (t - width + 2) // 2), min(height - 1, t // 2) + 1)
        yield rows, t - 2 * rows


def _walk(
    context: Context, network: IntegerNetwork, images: int, step: Step, samples: np.ndarray | None
) -> None:
    bits = context.bits
    for rows, columns in wavefronts(context.height, context.width):
        place = (
            np.repeat(np.arange(images), len(rows)),
            np.tile(rows, images),
            np.tile(columns, images),
        )
        for channel in range(context.channels):
            predictors, others = context.of_position(*place, channel)
            truth = None if samples is None else samples[(*place, channel)].astype(np.int32)
            low = np.zeros(len(place[0]), np.int32)
            for plane in range(bits - 1, -1, -1):
                features = context.of_plane(predictors, others, low, plane)
                chance = network.probability(features, channel * bits + plane)
                bit = step(chance, None if truth is None else (truth >> plane) & 1)
                low += bit << plane
            context.put(*place, channel, low)


def encode(samples: np.ndarray, network: IntegerNetwork) -> bytes:
    """Samples (images, height, width, channels) to a stream, a multiple of 4 bytes long."""
    return encode_apart([samples], network)[0]


def encode_apart(groups: list[np.ndarray], network: IntegerNetwork) -> list[bytes]:
    """A stream for each group of images of one shape, as `encode` gives it, in one walk.

    Parameters
    ----------
    groups : list of ndarray
        (images, height, width, channels), of one shape.
    network : IntegerNetwork
    """
    coders = [constriction.stream.queue.RangeEncoder() for _ in groups]
    samples = np.concatenate(groups)

    def step(chance, bit):
        bits = np.split(bit.astype(np.int32), len(coders))
        for coder, own, chances in zip(coders, bits, np.split(chance, len(coders)), strict=True):
            coder.encode(own, _BERNOULLI, chances)
        return bit

    context = Context(samples.shape, network.bits, network.sight)
    _walk(context, network, len(samples), step, samples)
    return [coder.get_compressed().astype("<u4").tobytes() for coder in coders]


def decode(stream: bytes, shape: tuple[int, int, int, int], network: IntegerNetwork) -> np.ndarray:
    """Inverse of `encode`: uint8 or uint16, of `shape`.

    Raises
    ------
    UserError
        If the stream is none of this network.
    """
    return decode_apart([stream], shape, network)[0]


def decode_apart(
    streams: list[bytes], shape: tuple[int, int, int, int], network: IntegerNetwork
) -> list[np.ndarray]:
    """Inverse of `encode_apart`; `shape` is that of each group.

    Raises
    ------
    UserError
        If a stream is none of this network.
    """
    words = [np.frombuffer(stream, "<u4").astype(np.uint32) for stream in streams]
    coders = [constriction.stream.queue.RangeDecoder(one) for one in words]

    def step(chance, _):
        parts = np.split(chance, len(coders))
        return np.concatenate(
            [coder.decode(_BERNOULLI, own) for coder, own in zip(coders, parts, strict=True)]
        )

    whole = (shape[0] * len(streams), *shape[1:])
    context = Context(whole, network.bits, network.sight)
    try:
        _walk(context, network, whole[0], step, None)
    except (AssertionError, ValueError) as error:  # constriction's words for an impossible stream
        raise UserError(f"the stream cannot be decoded ({error})") from None
    return np.split(context.samples().astype(sample_dtype(network.bits)), len(streams))


def cost(samples: np.ndarray, network: IntegerNetwork) -> float:
    """Bits that the stream of samples takes by the network's probabilities, without coding them."""
    total = 0.0

    def step(chance, bit):
        nonlocal total
        total -= float(np.log2(np.where(bit == 1, chance, 1 - chance)).sum())
        return bit

    context = Context(samples.shape, network.bits, network.sight)
    _walk(context, network, len(samples), step, samples)
    return total
