"""Fitting a signal tile by tile, on all cores or a GPU, so that a kill loses little.

A tile is done when its weights *as stored* decode to it with room to spare; a tile that a usual
network does not get right is tried again from other initial weights, then with wider networks.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from pydantic import ValidationError

from lossless_inr.engine.loop import OutOfTime
from lossless_inr.errors import UserError, suggest
from lossless_inr.fitting import provenance
from lossless_inr.fitting.fit import choose_device
from lossless_inr.models import format as linr
from lossless_inr.models import jobs
from lossless_inr.models.files import words
from lossless_inr.models.jobs import MARGIN, Job
from lossless_inr.models.kept import Finished, to_bytes
from lossless_inr.models.model import Model, stack
from lossless_inr.models.tiles import fit_tiles
from lossless_inr.models.tiling import usual_side
from lossless_inr.models.workers import cores, work_off
from lossless_inr.signals.codes import FLOAT_CODES
from lossless_inr.signals.signal import sample_dtype, samples_sha256

# Tiles of a task: a batch of one process on a CPU, of the whole device on a GPU; fewer where
# tiles have more positions than this.
BATCH = {"cpu": 8, "cuda": 256}
BATCH_POSITIONS = 1024
# With so few, starting other processes takes longer than doing their work here.
FEW_TASKS = 12
# Their digests fill half of the largest directory that a reader takes.
MOST_TILES = 200_000


@dataclass
class Progress:
    """How far a fit is.

    Attributes
    ----------
    tiles, done : int
    wrong_bits, bits : int
        Of the tiles being fitted now.
    iteration : int
        The largest of them.
    started : float
        `time.monotonic()`; `before` tiles were finished then.
    """

    tiles: int
    done: int = 0
    before: int = 0
    wrong_bits: int = 0
    bits: int = 0
    iteration: int = 0
    started: float = field(default_factory=time.monotonic)

    @property
    def seconds_left(self) -> float | None:
        """At the pace so far; None before the first tile."""
        fresh = self.done - self.before
        if not fresh:
            return None
        return (time.monotonic() - self.started) / fresh * (self.tiles - self.done)


def tasks_of(job: Job, batch: int) -> list[list[int]]:
    """Tiles by shape, in batches."""
    by_shape: dict[tuple, list[int]] = {}
    for number in range(job.tiling.tiles):
        by_shape.setdefault(job.tiling.tile_shape(number), []).append(number)
    return [
        numbers[k : k + batch]
        for numbers in by_shape.values()
        for k in range(0, len(numbers), batch)
    ]


def fit_all(
    job: Job,
    samples: np.ndarray,
    finished: Finished,
    *,
    device: torch.device,
    workers: int,
    deadline: float | None,
    progress: Callable[[Progress], None],
) -> None:
    """Fit every tile that is not finished; see `fit`."""
    tiling = job.tiling
    state = Progress(tiling.tiles, len(finished), len(finished))
    positions = int(np.prod(tiling.largest[:-1]))
    batch = max(1, BATCH[device.type] * BATCH_POSITIONS // max(positions, BATCH_POSITIONS))
    # Whole tasks only: a tile's numbers depend on its batch, and so never on what is kept.
    tasks = [
        task for task in tasks_of(job, batch) if not all(number in finished for number in task)
    ]

    def late() -> bool:
        return deadline is not None and time.monotonic() >= deadline

    def done(content: bytes) -> None:
        finished.add(content)
        state.done = len(finished)
        progress(state)

    def cut(task: list[int]) -> dict[int, np.ndarray]:
        return {n: np.ascontiguousarray(samples[tiling.region(n)]) for n in task}

    def bits_of(task: list[int]) -> int:
        return len(task) * int(np.prod(tiling.tile_shape(task[0]))) * job.bits

    if device.type == "cuda" or workers == 1 or len(tasks) <= FEW_TASKS:

        def tell(iteration: int, wrong: int) -> None:
            state.iteration, state.wrong_bits = iteration, wrong
            progress(state)

        for task in tasks:
            state.bits = bits_of(task)
            done(to_bytes(fit_tiles(job, cut(task), device, tell, late), job.identity))
        return
    sizes = {task[0]: bits_of(task) for task in tasks}

    def tell_all(running: dict[int, tuple[int, int]]) -> None:
        state.iteration = max((iteration for iteration, _ in running.values()), default=0)
        state.wrong_bits = sum(wrong for _, wrong in running.values())
        state.bits = sum(sizes[key] for key in running)
        progress(state)
        if late():
            raise OutOfTime("the budget ended")

    work_off(job, tasks, cut, workers=workers, done=done, tell=tell_all)


# --- the whole ------------------------------------------------------------------------------


def fit(
    samples: np.ndarray,
    *,
    bits: int | None = None,
    kind: str | None = None,
    signed: bool = False,
    sample_rate: int | None = None,
    source: str = "",
    recipe: str = "fast",
    tile: int | str = "auto",
    margin: float = MARGIN,
    smallest: bool = False,
    device: str = "auto",
    seed: int = 0,
    workers: int | None = None,
    budget: float | None = None,
    keep: str | Path | None = None,
    progress: Callable[[Progress], None] = lambda state: None,
) -> Model:
    """Fit a signal losslessly.

    Parameters
    ----------
    samples : ndarray of unsigned int, float16, float32 or float64
        Image (height, width) or (height, width, channels); sound (samples,) or (samples,
        channels), which needs `kind="sound"`. Integers in 0 .. 2**bits - 1; floats come back word
        for word, -0.0, infinities and the payloads of NaN included.
    bits : int, optional
        Bit depth of integers, 1 to 32; default: that of the dtype.
    kind : {"image", "sound"}, optional
        Default: image.
    signed, sample_rate, source
        Kept in the model: whether samples are offset binary of signed numbers, samples a second,
        and a name to show.
    recipe : str
        One that applies to the bit head.
    tile : int or "auto"
        Largest side of a tile, in positions.
    margin : float
        |logit| that each tile's fit goes on for after its last wrong bit.
    smallest : bool
        Try narrower networks first, down to half the usual width, and repair the bits that
        weights of 8 bits get wrong: slower, smaller.
    device : {"auto", "cpu", "cuda"}
    seed : int
    workers : int, optional
        Processes on a CPU; default: one per core.
    budget : float, optional
        Seconds.
    keep : path, optional
        Folder for finished tiles, from which the same call goes on; the caller deletes it.
    progress : callable
        Called with `Progress` several times a second.

    Returns
    -------
    Model
        Every tile's stored weights decode to it on this machine; `Model.decode` checks that.

    Raises
    ------
    UserError
        If the input cannot be fitted, or a tile did not become lossless.
    OutOfTime
        If the budget ended first.
    """
    samples = np.asarray(samples)
    encoding = samples.dtype.name if samples.dtype.name in FLOAT_CODES else "integer"
    if samples.dtype.kind != "u" and encoding == "integer":
        raise UserError(
            f"samples are {samples.dtype}; unsigned integers and floats of at most 64 bits are "
            "fitted: convert them"
        )
    if encoding != "integer" and (signed or bits not in (None, FLOAT_CODES[encoding])):
        raise UserError(f"samples are {encoding}: leave bits and signed out")
    samples = words(samples)
    bits = bits or samples.dtype.itemsize * 8
    kind = kind or "image"
    if kind not in ("image", "sound"):
        raise UserError(f"kind: '{kind}' is none of image, sound")
    if samples.ndim == (2 if kind == "image" else 1):
        samples = samples[..., None]
    if samples.ndim != (3 if kind == "image" else 2) or samples.size == 0:
        raise UserError(f"an {kind} of shape {samples.shape} cannot be fitted")
    if encoding == "integer" and not 1 <= bits <= linr.MOST_INTEGER_BITS:
        most = linr.MOST_INTEGER_BITS
        raise UserError(f"integers of {bits} bits cannot be fitted; of 1 to {most} can")
    if int(samples.max()) >= 2**bits:
        raise UserError(f"holds the value {int(samples.max())}, more than {bits} bits can")
    if not 0 <= margin <= 100:
        raise UserError(f"margin: {margin} is outside 0 to 100")
    if sample_rate is not None and not 1 <= sample_rate <= linr.MOST_RATE:
        raise UserError(f"sample_rate: {sample_rate} is outside 1 to {linr.MOST_RATE}")
    recipes = jobs.recipes()
    if recipe not in recipes:
        raise UserError(f"recipe: unknown '{recipe}'{suggest(recipe, recipes)}")
    samples = np.ascontiguousarray(samples.astype(sample_dtype(bits).newbyteorder("=")))
    job = Job(
        shape=samples.shape,
        bits=bits,
        side=usual_side(samples.shape, bits) if tile == "auto" else int(tile),
        recipe=recipe,
        settings=recipes[recipe],
        margin=float(margin),
        seed=seed,
        samples_sha256=samples_sha256(samples, bits),
        code="offset" if encoding == "integer" else encoding,
        factors=jobs.SMALLEST if smallest else jobs.FACTORS,
        repairs=smallest,
    )
    try:
        spec = job.spec(0, job.width, seed)  # what is refused is told before any work
    except ValidationError as error:
        raise UserError(f"tile: {error.errors()[0]['msg']}; write a smaller --tile") from None
    tiling = job.tiling
    if tiling.tiles > MOST_TILES:
        raise UserError(
            f"{tiling.tiles:,} tiles are more than a file can list ({MOST_TILES:,}); write a "
            "larger --tile, or fit parts"
        )
    begun = time.monotonic()
    finished = Finished(job.identity, Path(keep) if keep else None)
    fit_all(
        job,
        samples,
        finished,
        device=choose_device(device),
        workers=max(1, workers or cores()),
        deadline=None if budget is None else begun + budget,
        progress=progress,
    )
    facts = [finished.facts[number] for number in range(tiling.tiles)]
    kinds = {one["number"]: (one["width"], one["storage"]) for one in facts}
    groups, weights = stack(kinds, finished.stored())
    header = linr.Header(
        kind=kind,
        shape=list(samples.shape),
        bits=bits,
        signed=signed,
        encoding=encoding,
        sample_rate=sample_rate,
        source=linr.plain_name(source),
        network=spec.network,
        network_parameters=spec.network_parameters,
        hidden_layers=spec.hidden_layers,
        representation=spec.representation,
        representation_parameters=spec.representation_parameters,
        counts=list(tiling.counts),
        groups=groups,
        samples_sha256=job.samples_sha256,
        tile_sha256=[samples_sha256(samples[tiling.region(t)], bits) for t in range(tiling.tiles)],
        data_sha256="0" * 64,
        margin=min(one["margin"] for one in facts),
        recipe=recipe,
        provenance={
            "seed": seed,
            "tile": job.side,
            "wanted_margin": job.margin,
            "iterations_mean": float(np.mean([one["iterations"] for one in facts])),
            "iterations_max": max(one["iterations"] for one in facts),
            "flops": sum(one["flops"] for one in facts),
            "packages": provenance.machine()["packages"],
        },
    )
    return Model(header, weights)
