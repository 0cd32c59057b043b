"""Rows of Table 6: codecs, the exact coder with shared networks, and with a network an image.

A rate is in bits per pixel (of sounds: per sample). `file` is whole files, `payload` leaves out
what a constant image of the same shape takes, `together` is all images in one stream. Every file is
decoded again; `exact` counts those that came back sample for sample.
"""

from __future__ import annotations

import math
import time
from importlib.metadata import version

import numpy as np

from lossless_inr.codecs import Row, sizes
from lossless_inr.coder import codec
from lossless_inr.coder.command import WIDTH, best_shipped
from lossless_inr.coder.container import OWN, channel_order, pack, shipped, unpack
from lossless_inr.coder.context import Sight
from lossless_inr.coder.network import IntegerNetwork
from lossless_inr.coder.training import train
from lossless_inr.compression.interval import interval
from lossless_inr.errors import UserError

# Images that are coded side by side; whole files are made of so many of them, to be sure of heads.
CHUNK, WHOLE = 1000, 20


def _row(coder: str, files: np.ndarray, payload: np.ndarray, pixels: np.ndarray, **more) -> dict:
    rates = 8 * files / pixels
    low, high = interval(rates)
    facts = {"coder": coder, "images": len(files), "file": rates.mean(), "low": low, "high": high}
    return facts | {"payload": (8 * payload / pixels).mean()} | more


def _pixels(signals: list[np.ndarray]) -> np.ndarray:
    return np.array([one.size // one.shape[-1] for one in signals])


def codec_rows(rows: list[Row], signals: list[np.ndarray], bits: int, tell=print) -> list[dict]:
    """The codecs that hold these signals, and the zero-order entropy of all their samples.

    Parameters
    ----------
    rows : list of Row
    signals : list of ndarray
        (height, width, channels) or (samples, channels) each.
    bits : int
    tell : callable
        Gets a line for each codec.
    """
    pixels = _pixels(signals)
    found = [{"coder": "zero-order entropy", "images": len(signals), "file": entropy(signals)}]
    for row in rows:
        if not all(row.takes(one.shape, bits) for one in signals):
            continue
        size = sizes(row, signals, bits)
        found.append(
            _row(
                row.name, size.files, size.payload, pixels,
                together=8 * size.together / pixels.sum(), how=size.how,
                exact=size.exact, together_exact=size.together_exact,
                library=f"{row.library} {row.version}", settings=row.settings,
                encode_ms=1000 * size.encode_seconds, decode_ms=1000 * size.decode_seconds,
            )
        )  # fmt: skip
        tell(f"{row.name}: {found[-1]['file']:.3f} bits per pixel, {size.exact} exact")
    return found


def entropy(signals: list[np.ndarray]) -> float:
    """Zero-order entropy of all samples together, in bits per pixel (all its channels)."""
    counts = np.bincount(np.concatenate([one.ravel() for one in signals]))
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log2(shares)).sum() * signals[0].shape[-1])


def shared_row(name: str, signals: list[np.ndarray], bits: int) -> dict:
    """The exact coder with a network that comes with the package and is in no file.

    All images of a chunk are coded side by side, each to a stream of its own; the lengths of files
    are those streams and the head, which some files made in full confirm.
    """
    if name not in shipped():
        raise UserError(f"no network '{name}' comes with the coder; it has: {', '.join(shipped())}")
    network, samples = shipped()[name], np.stack(signals)
    shape, channels = samples.shape[1:3], samples.shape[3]
    if (network.bits, network.channels) != (bits, channels):
        raise UserError(f"the network '{name}' is for {network.bits} bits, {network.channels} "
                        f"channels, not {bits} and {channels}")  # fmt: skip
    ordered = samples[..., channel_order(channels)]
    streams, exact, together_exact, together = [], 0, True, 0
    encoding = decoding = 0.0
    for begin in range(0, len(samples), CHUNK):
        chunk = ordered[begin : begin + CHUNK]
        clock = time.perf_counter()
        coded = codec.encode_apart(list(chunk[:, None]), network)
        encoding += time.perf_counter() - clock
        clock = time.perf_counter()
        back = codec.decode_apart(coded, (1, *shape, channels), network)
        decoding += time.perf_counter() - clock
        exact += sum(np.array_equal(one[0], image) for one, image in zip(back, chunk, strict=True))
        streams += [len(stream) for stream in coded]
        one = codec.encode(chunk, network)
        together += len(one)
        together_exact &= np.array_equal(codec.decode(one, chunk.shape, network), chunk)
    heads = set()
    for image, stream in zip(samples[:WHOLE], streams, strict=False):
        content, _ = pack(image[None], bits, network, own=False)
        back, _ = unpack(content)
        if not np.array_equal(back[0], image):
            raise AssertionError("a file of the exact coder did not decode to its image")
        heads.add(len(content) - stream)
    if len(heads) != 1:
        raise AssertionError(f"files differ from their streams by {sorted(heads)} bytes")
    n, pixels = len(samples), _pixels(signals)
    return _row(
        f"ours, {name}", np.array(streams) + heads.pop(), np.array(streams), pixels,
        together=8 * together / pixels.sum(), how=f"{math.ceil(n / CHUNK)} streams", exact=exact,
        together_exact=bool(together_exact), network_bytes=len(network.to_bytes()),
        library=f"lossless-inr {version('lossless-inr')}", settings="shared network, not in files",
        encode_ms=1000 * encoding / n, decode_ms=1000 * decoding / n,
    )  # fmt: skip


def own_row(image: np.ndarray, bits: int, updates: int, progress=lambda update, rate: None) -> dict:
    """One image with a network of its own, which its file holds."""
    samples = image[None][..., channel_order(image.shape[-1])]
    begin = time.perf_counter()
    start = best_shipped(samples, bits)
    network = train(
        samples, bits, start.sight if start else Sight(), width=WIDTH, updates=updates,
        start=start, progress=progress,
    )  # fmt: skip
    trained = time.perf_counter() - begin
    begin = time.perf_counter()
    content, parts = pack(image[None], bits, network, own=True)
    encoded = time.perf_counter() - begin
    begin = time.perf_counter()
    back, _ = unpack(content)
    pixels = image.shape[0] * image.shape[1]
    return {
        "coder": "ours, a network of its own", "images": 1, "file": 8 * len(content) / pixels,
        "payload": 8 * parts.stream / pixels, "network_bytes": parts.network,
        "kept": bool(content[4] == OWN), "exact": int(np.array_equal(back[0], image)),
        "library": f"lossless-inr {version('lossless-inr')}",
        "settings": f"{updates} updates", "train_s": trained, "encode_ms": 1000 * encoded,
        "decode_ms": 1000 * (time.perf_counter() - begin),
    }  # fmt: skip


def shared_cost(image: np.ndarray, bits: int) -> dict | None:
    """What the best shared network would take, by its probabilities; the control of `own_row`."""
    samples = image[None][..., channel_order(image.shape[-1])]
    network: IntegerNetwork | None = best_shipped(samples, bits)
    if network is None:
        return None
    rate = codec.cost(samples, network) / (image.shape[0] * image.shape[1])
    return {"coder": "ours, the shared network (its cost)", "images": 1, "file": rate}
