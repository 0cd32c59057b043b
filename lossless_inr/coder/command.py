"""`lossless-inr compress | decompress`: pictures to files that decode exactly, and back."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from lossless_inr.coder import codec
from lossless_inr.coder.container import Parts, channel_order, pack, shipped, unpack
from lossless_inr.coder.context import Sight
from lossless_inr.coder.network import IntegerNetwork
from lossless_inr.coder.training import train
from lossless_inr.errors import UserError
from lossless_inr.files import refusal, replacing
from lossless_inr.models import files

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
    network = train(
        samples, bits, start.sight if start else Sight(), width=WIDTH, updates=updates,
        start=start, progress=progress,
    )  # fmt: skip
    return network, True


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
    content, parts = pack(samples, given.bits, network, own=own)
    if own:  # the shipped one may do better on a small or simple picture
        start = best_shipped(order, given.bits)
        if start is not None:
            other, other_parts = pack(samples, given.bits, start, own=False)
            if len(other) < len(content):
                content, parts = other, other_parts
    encoded = time.perf_counter()
    again, _ = unpack(content)
    if not np.array_equal(again, samples):
        raise UserError(f"{source}: does not decode to itself; nothing is written")
    decoded = time.perf_counter()
    try:
        with replacing(output) as file:
            file.write(content)
    except OSError as error:
        raise UserError(f"{output}: {refusal(error)}") from None
    pixels = samples.shape[1] * samples.shape[2]
    raw = samples.size * given.bits / 8
    line = (
        f"{len(content):,} bytes, {8 * len(content) / pixels:.3f} bits per pixel, "
        f"{len(content) / raw:.3f}x the raw samples (network {parts.network:,}, stream "
        f"{parts.stream:,}); encoded in {encoded - begin:.1f} s, decoded exactly in "
        f"{decoded - encoded:.1f} s"
    )
    return line, parts


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
        content = source.read_bytes()
    except OSError as error:
        raise UserError(f"{source}: {refusal(error)}") from None
    try:
        samples, bits = unpack(content)
    except UserError as error:
        raise UserError(f"{source}: {error}") from None
    if len(samples) > 1:
        raise UserError(f"{source}: holds {len(samples)} images; lossless_inr.coder reads them")
    what = files.Source(
        samples=samples[0], bits=bits, kind="image", signed=False, sample_rate=None,
        name=source.name, encoding="integer",
    )  # fmt: skip
    files.write_samples(output, samples[0], what)
    return f"{output}: {samples.shape[2]}x{samples.shape[1]}x{samples.shape[3]}, {bits} bit, exact"
