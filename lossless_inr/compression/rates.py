"""Rows of Table 6: codecs, the exact coder with shared networks, and with a network an image.

A rate is in bits per pixel (of sounds: per sample). `file` is whole files, `payload` leaves out
what a constant image of the same shape takes, `together` is all images in one stream. Every file is
decoded again; `exact` counts those that came back sample for sample.
"""

from __future__ import annotations

import math
import multiprocessing
import resource
import time
from collections.abc import Callable
from importlib.metadata import version

import numpy as np

from lossless_inr.codecs import Row, sizes
from lossless_inr.coder import codec
from lossless_inr.coder.command import WIDTH, best_shipped
from lossless_inr.coder.container import OWN, channel_order, pack, shipped, unpack
from lossless_inr.coder.context import Sight
from lossless_inr.coder.training import train
from lossless_inr.compression.images import seen
from lossless_inr.compression.interval import interval
from lossless_inr.errors import UserError

# Images that are coded side by side in one stream.
CHUNK = 1000


COLUMNS = (
    "coder", "images", "file", "low", "high", "payload", "together", "how", "exact",
    "together_exact", "seen", "network_bytes", "library", "settings", "encode_ms", "decode_ms",
    "together_encode_ms", "together_decode_ms", "peak_mib",
)  # fmt: skip


def _row(coder: str, files: np.ndarray, payload: np.ndarray, pixels: np.ndarray, **more) -> dict:
    rates = 8 * files / pixels
    low, high = interval(rates)
    facts = {"coder": coder, "images": len(files), "file": rates.mean(), "low": low, "high": high}
    return facts | {"payload": (8 * payload / pixels).mean()} | more


def _apart(work: Callable[[], list[dict]]) -> list[dict]:
    """Rows that a process of its own makes, and the most memory that it had (MiB)."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)

    def run() -> None:
        try:
            rows = work()
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            sender.send([row | {"peak_mib": peak} for row in rows])
        except BaseException as error:
            sender.send(error)

    process = context.Process(target=run)
    process.start()
    sender.close()
    try:
        found = receiver.recv()
    except EOFError:
        raise UserError("a process was killed, probably for memory; run again") from None
    finally:
        process.join()
    if isinstance(found, BaseException):
        raise found
    return found


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
    found = [{"coder": "zero-order entropy", "images": len(signals), "file": entropy(signals)}]
    for row in rows:
        if not all(row.takes(one.shape, bits) for one in signals):
            continue
        found += _apart(lambda row=row: [_codec_row(row, signals, bits)])
        tell(f"{row.name}: {found[-1]['file']:.3f} bits per pixel, {found[-1]['exact']} exact")
    return found


def _codec_row(row: Row, signals: list[np.ndarray], bits: int) -> dict:
    size, pixels = sizes(row, signals, bits), _pixels(signals)
    return _row(
        row.name, size.files, size.payload, pixels,
        together=8 * size.together / pixels.sum(), how=size.how,
        exact=size.exact, together_exact=size.together_exact,
        library=f"{row.library} {row.version}", settings=row.settings,
        encode_ms=1000 * size.encode_seconds, decode_ms=1000 * size.decode_seconds,
    )  # fmt: skip


def entropy(signals: list[np.ndarray]) -> float:
    """Zero-order entropy of all samples together, in bits per pixel (all its channels)."""
    counts = np.bincount(np.concatenate([one.ravel() for one in signals]))
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log2(shares)).sum() * signals[0].shape[-1])


def shared_row(name: str, signals: list[np.ndarray], bits: int) -> dict:
    """The exact coder with a network that comes with the package, measured in its own process.

    Raises
    ------
    UserError
        If there is no such network, or it is for other samples.
    """
    return _apart(lambda: [_shared_row(name, signals, bits)])[0]


def _shared_row(name: str, signals: list[np.ndarray], bits: int) -> dict:
    if name not in shipped():
        raise UserError(f"no network '{name}' comes with the coder; it has: {', '.join(shipped())}")
    network, samples = shipped()[name], np.stack(signals)
    channels = samples.shape[3]
    if (network.bits, network.channels) != (bits, channels):
        raise UserError(
            f"the network '{name}' is for {network.bits} bits, {network.channels} channels, "
            f"not {bits} and {channels}"
        )
    files, payload, exact, times = [], [], 0, np.zeros(2)
    for image in samples:
        (content, parts), encoding = _timed(
            lambda image=image: pack(image[None], bits, network, own=False)
        )
        (back, _), decoding = _timed(lambda content=content: unpack(content))
        times += encoding, decoding
        exact += int(np.array_equal(back[0], image))
        files.append(len(content))
        payload.append(parts.stream)
    # Side by side in one stream of a chunk: what a collection costs.
    together, together_exact, at_once = 0, True, np.zeros(2)
    for begin in range(0, len(samples), CHUNK):
        chunk = samples[begin : begin + CHUNK]
        (content, _), encoding = _timed(lambda chunk=chunk: pack(chunk, bits, network, own=False))
        (back, _), decoding = _timed(lambda content=content: unpack(content))
        at_once += encoding, decoding
        together += len(content)
        together_exact &= np.array_equal(back, chunk)
    n, pixels = len(samples), _pixels(signals)
    return _row(
        f"ours, {name}", np.array(files), np.array(payload), pixels,
        together=8 * together / pixels.sum(), how=f"{math.ceil(n / CHUNK)} streams", exact=exact,
        together_exact=bool(together_exact), seen=seen(signals),
        network_bytes=len(network.to_bytes()), library=f"lossless-inr {version('lossless-inr')}",
        settings="shared network, not in the files", encode_ms=1000 * times[0] / n,
        decode_ms=1000 * times[1] / n, together_encode_ms=1000 * at_once[0] / n,
        together_decode_ms=1000 * at_once[1] / n,
    )  # fmt: skip


def _timed(work: Callable):
    """What `work` returns, and its seconds."""
    begin = time.perf_counter()
    return work(), time.perf_counter() - begin


def own_rows(
    image: np.ndarray, bits: int, updates: int, progress=lambda update, rate: None
) -> list[dict]:
    """One image with a network of its own, which its file holds; and its control.

    The control is what the best shared network would take by its probabilities.
    """
    return _apart(lambda: _own_rows(image, bits, updates, progress))


def _own_rows(image: np.ndarray, bits: int, updates: int, progress) -> list[dict]:
    samples = image[None][..., channel_order(image.shape[-1])]
    start = best_shipped(samples, bits)
    network, trained = _timed(
        lambda: train(
            samples, bits, start.sight if start else Sight(), width=WIDTH, updates=updates,
            start=start, progress=progress,
        )
    )  # fmt: skip
    (content, parts), encoding = _timed(lambda: pack(image[None], bits, network, own=True))
    (back, _), decoding = _timed(lambda: unpack(content))
    pixels = image.shape[0] * image.shape[1]
    own = {
        "coder": "ours, a network of its own", "images": 1, "file": 8 * len(content) / pixels,
        "payload": 8 * parts.stream / pixels, "network_bytes": parts.network,
        "kept": bool(content[4] == OWN), "exact": int(np.array_equal(back[0], image)),
        "library": f"lossless-inr {version('lossless-inr')}", "settings": f"{updates} updates",
        "train_s": trained, "encode_ms": 1000 * encoding, "decode_ms": 1000 * decoding,
    }  # fmt: skip
    if start is None:
        return [own]
    rate = codec.cost(samples, start) / pixels
    return [own, {"coder": "ours, the shared network (its cost)", "images": 1, "file": rate}]
