"""`lossless-inr compress | decompress`: pictures to files that decode exactly, and back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from lossless_inr.coder import codec
from lossless_inr.coder.container import Parts, Reading, channel_order, shipped, write_shortest
from lossless_inr.coder.context import Sight
from lossless_inr.coder.network import IntegerNetwork
from lossless_inr.errors import UserError
from lossless_inr.files import refusal, replacing
from lossless_inr.models import files


@dataclass(frozen=True)
class Held:
    """What a `.lic` file holds, as `models.files` asks for it."""

    bits: int
    kind: str = "image"
    signed: bool = False
    encoding: str = "integer"
    sample_rate: int | None = None


# Below that many samples the bytes of a network of its own are more than it saves.
OWN_FROM = 100_000
UPDATES, WIDTH = 3000, 32
# A shipped network is chosen by what this many rows of an image cost with it.
SAMPLE_SIDE = 96


def best_shipped(samples: np.ndarray, bits: int) -> IntegerNetwork | None:
    """The shipped network with which the middle of an image costs least; None if none is for it."""
    height, width = samples.shape[1:3]
    top, left = max(0, (height - SAMPLE_SIDE) // 2), max(0, (width - SAMPLE_SIDE) // 2)
    middle = samples[:1, top : top + SAMPLE_SIDE, left : left + SAMPLE_SIDE]
    fitting = [
        network
        for network in shipped().values()
        if (network.bits, network.channels) == (bits, samples.shape[3])
    ]
    return min(fitting, key=lambda network: codec.cost(middle, network), default=None)


def network_of(
    samples: np.ndarray, bits: int, *, updates: int, progress: Callable[[int, float], None]
) -> tuple[IntegerNetwork | None, bool]:
    """What to code samples with, and whether it has to be in the file."""
    start = best_shipped(samples, bits)
    if samples.size < OWN_FROM or not updates:
        return start, False
    from lossless_inr.coder.training import train  # torch, which only this needs

    network = train(
        samples, bits, start.sight if start else Sight(), width=WIDTH, updates=updates,
        start=start, progress=progress,
    )  # fmt: skip
    return network, True


def _decodes_to(file: IO[bytes], samples: np.ndarray) -> bool:
    file.seek(0)
    top = 0
    for band in Reading(file).bands():
        if not np.array_equal(band, samples[:, top : top + band.shape[1]]):
            return False
        top += band.shape[1]
    return top == samples.shape[1]


def compress(
    source: Path,
    output: Path,
    *,
    updates: int = UPDATES,
    force: bool = False,
    progress: Callable[[int, float], None] = lambda update, rate: None,
) -> tuple[str, Parts]:
    """Compress a picture, and decode the file again before it counts.

    Parameters
    ----------
    source, output : Path
    updates : int
        Of the picture's own network; 0: a shipped one only.
    force : bool
        Write over an existing file.
    progress : callable
        Gets (updates done, bits per pixel of late).

    Returns
    -------
    line : str
    parts : Parts

    Raises
    ------
    UserError
        If the picture cannot be read, is none, or the file cannot be written.
    """
    output = Path(output)
    if output.suffix != ".lic":
        raise UserError(f"{output}: name the file .lic")
    if output.exists() and not force:
        raise UserError(f"{output}: exists; name another file, or add --force")
    given = files.read_source(source)
    if given.kind != "image" or given.encoding != "integer" or given.signed:
        raise UserError(f"{source}: images of unsigned integers only; sounds have FLAC")
    if given.samples.shape[-1] > 4 or given.bits > 16:
        raise UserError(f"{source}: at most 4 channels of 16 bits, not {given.samples.shape}")
    begin = time.perf_counter()
    samples = given.samples[None]
    order = samples[..., channel_order(samples.shape[3])]
    network, own = network_of(order, given.bits, updates=updates, progress=progress)
    networks = [] if network is None else [(network, own)]
    if own:  # the shipped one may do better on a small or simple picture
        start = best_shipped(order, given.bits)
        networks += [] if start is None else [(start, False)]
    del order
    try:
        with replacing(output, "w+b") as file:
            parts = write_shortest(file, samples, given.bits, networks)
            encoded = time.perf_counter()
            if not _decodes_to(file, samples):
                raise UserError(f"{source}: does not decode to itself; nothing is written")
            decoded = time.perf_counter()
    except OSError as error:
        raise UserError(f"{output}: {refusal(error)}") from None
    pixels = samples.shape[1] * samples.shape[2]
    raw = samples.size * given.bits / 8
    line = (
        f"{parts.file:,} bytes, {8 * parts.file / pixels:.3f} bits per pixel, "
        f"{parts.file / raw:.3f}x the raw samples (network {parts.network:,}, stream "
        f"{parts.stream:,}); encoded in {encoded - begin:.1f} s, decoded exactly in "
        f"{decoded - encoded:.1f} s"
    )
    return line, parts


def _named(source: Path, rows: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """Rows as they come; what is wrong with them is said of the file."""
    try:
        yield from rows
    except UserError as error:
        raise UserError(f"{source}: {error}") from None


def decompress(source: Path, output: Path, *, force: bool = False) -> str:
    """Give back the picture of a `.lic` file.

    Raises
    ------
    UserError
        If the file is damaged or another's, or the output cannot hold the picture.
    """
    source, output = Path(source), Path(output)
    if output.exists() and not force:
        raise UserError(f"{output}: exists; name another file, or add --force")
    try:
        with open(source, "rb") as file:
            try:
                reading = Reading(file)
            except UserError as error:
                raise UserError(f"{source}: {error}") from None
            images, height, width, channels = reading.shape
            if images > 1:
                raise UserError(f"{source}: holds {images} images; lossless_inr.coder reads them")
            what = Held(bits=reading.bits)
            files.check_target(output, what, channels)
            rows = _named(source, (band[0] for band in reading.bands()))
            files.write_rows(output, rows, (height, width, channels), what)
    except OSError as error:
        raise UserError(f"{source}: {refusal(error)}") from None
    return f"{output}: {width}x{height}x{channels}, {reading.bits} bit, exact"
