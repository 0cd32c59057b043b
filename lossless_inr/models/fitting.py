"""Fitting a signal tile by tile, on all cores or a GPU, so that a kill loses little.

Finished tiles lie in a folder of their own until the model is saved. A tile is done when its
weights *as stored* decode to it with room to spare; a tile that a usual network does not get
right is tried again from other initial weights, then with wider networks.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import queue
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as dump_tensors

from lossless_inr import registry
from lossless_inr.engine.loop import Loop, Outcome, OutOfTime
from lossless_inr.errors import UserError
from lossless_inr.files import replacing
from lossless_inr.fitting import digests, provenance
from lossless_inr.fitting.fit import (
    build_form,
    build_network,
    choose_device,
    exact_float32,
)
from lossless_inr.fitting.recipe import Recipe, load_recipes
from lossless_inr.fitting.record import FitSpec
from lossless_inr.fitting.sizes import paper_ratio_width
from lossless_inr.models import format as linr
from lossless_inr.models.model import Model, evaluate, stack
from lossless_inr.models.repair import repair
from lossless_inr.models.storage import pack, unpack
from lossless_inr.models.tiling import Tiling, usual_side
from lossless_inr.signals.signal import sample_dtype, samples_sha256

RECIPES = registry.PACKAGE.parent / "config/recipes"
NETWORK, REPRESENTATION, HIDDEN_LAYERS = "siren", "bithead", 5
# Updates that a tile may take, margin included; the fast recipe needs 40 to 300.
ITERATIONS = 1500
# Widths that a tile is tried with, as parts of the usual one, and those of a search for the
# smallest, which ends near a quarter of a parameter per bit (docs/miniature.md, capacity).
FACTORS = (1.0, 1.0, 1.5, 2.0, 3.0)
SMALLEST = (0.5, 0.625, 0.75, 0.875, *FACTORS)
# |logit| that stored weights must keep: some 1000 times what sums in another order change it by.
STORED_MARGIN = 0.05
MARGIN = 1.0
# Tiles of a task: a batch of one process on a CPU, of the whole device on a GPU.
BATCH = {"cpu": 8, "cuda": 256}
# Seconds between two words of a worker about its running batch.
WORD_EVERY = 0.2


@dataclass(frozen=True)
class Job:
    """Everything that decides a model's weights, but the samples."""

    shape: tuple[int, ...]
    bits: int
    side: int
    recipe: str
    settings: Recipe
    margin: float
    seed: int
    samples_sha256: str
    storages: tuple[str, ...] = tuple(linr.STORAGES)
    factors: tuple[float, ...] = FACTORS
    repairs: bool = False

    @property
    def tiling(self) -> Tiling:
        """The grid of tiles."""
        return Tiling.of(self.shape, self.side)

    @property
    def width(self) -> int:
        """Width of the largest tile's network, at the paper's parameters per sample.

        Beyond the paper's 16 bits, parameters grow with the bits.
        """
        tiling = self.tiling
        largest = max((tiling.tile_shape(t) for t in range(tiling.tiles)), key=np.prod)
        width = paper_ratio_width(largest, HIDDEN_LAYERS)
        return max(8, 4 * round(width * max(1.0, self.bits / 16) ** 0.5 / 4))

    @property
    def identity(self) -> str:
        """Digest by which finished tiles are known to belong to this job."""
        facts = {k: v for k, v in vars(self).items() if k != "settings"}
        facts["settings"] = self.settings.model_dump(mode="json")
        return digests.of_json(
            [json.loads(json.dumps(facts)), digests.of_code(NETWORK, REPRESENTATION)]
        )

    def spec(self, tile: int, width: int, seed: int) -> FitSpec:
        """The fit of one tile."""
        described = {
            kind: registry.describe(kind, name).parameters
            for kind, name in (("network", NETWORK), ("representation", REPRESENTATION))
        }
        settings = self.settings.resolve(
            network=NETWORK,
            representation=REPRESENTATION,
            bits=self.bits,
            width=width,
            iterations=ITERATIONS,
        )
        return FitSpec(
            signal=f"linr/{self.samples_sha256[:12]}/{tile}",
            kind="photo" if len(self.shape) == 3 else "audio",
            shape=list(self.tiling.tile_shape(tile)),
            bits=self.bits,
            network=NETWORK,
            network_parameters=described["network"],
            width=width,
            hidden_layers=HIDDEN_LAYERS,
            representation=REPRESENTATION,
            representation_parameters=described["representation"],
            recipe=self.recipe,
            settings=settings.model_copy(update={"margin": self.margin}),
            iterations=ITERATIONS,
            seed=seed,
        )

    def attempts(self) -> Iterator[tuple[int, int]]:
        """(width, seed) in the order they are tried."""
        tried: set[tuple[int, int]] = set()
        for factor in self.factors:
            width = max(8, 4 * round(factor * self.width / 4))
            seed = self.seed + 1000 * ((width, self.seed) in tried)
            if (width, seed) not in tried:
                tried.add((width, seed))
                yield width, seed

    @property
    def stored_margin(self) -> float:
        """|logit| that stored weights must keep."""
        return min(STORED_MARGIN, self.margin / 2)


@dataclass
class Tile:
    """A tile that is done: its weights as stored, and what they took."""

    number: int
    width: int
    storage: str
    stored: dict[str, torch.Tensor]
    margin: float
    iterations: int
    flops: int

    def facts(self) -> dict:
        """All but the weights."""
        return {k: v for k, v in vars(self).items() if k != "stored"}


class TileLoop(Loop):
    """The loop without SSIM, which a model does not record."""

    def _add_ssim(self, member, iteration, decoded) -> None:
        """Nothing."""


def fit_tiles(
    job: Job,
    tiles: dict[int, np.ndarray],
    device: torch.device,
    tell: Callable[[int, int], None] = lambda iteration, wrong: None,
    stop: Callable[[], bool] = lambda: False,
) -> list[Tile]:
    """Fit tiles of one shape, as a batch at first and one by one where that did not suffice.

    Parameters
    ----------
    job : Job
    tiles : dict of int to ndarray of unsigned int
        Number -> samples, all of one shape.
    device : torch.device
    tell : callable
        Called with (iteration, wrong bits) after each update.
    stop : callable
        Asked after each update.

    Returns
    -------
    list of Tile
        In the order of `tiles`.

    Raises
    ------
    UserError
        If a tile did not become lossless.
    OutOfTime
        If `stop` said so.
    """
    exact_float32()
    done: dict[int, Tile] = {}
    for width, seed in job.attempts():
        left = [number for number in tiles if number not in done]
        if not left:
            break
        specs = [job.spec(number, width, seed) for number in left]
        form = build_form(specs[0])
        networks = [build_network(spec, form).to(device) for spec in specs]
        outcomes: dict[int, Outcome] = {}
        TileLoop(
            networks,
            form,
            [tiles[number] for number in left],
            specs[0].settings,
            iterations=ITERATIONS,
            device=device,
            look_every=16 if device.type == "cuda" else 1,
            progress=tell,
            stop=stop,
            finished=outcomes.__setitem__,
        ).run()
        for row, (number, network) in enumerate(zip(left, networks, strict=True)):
            outcome = outcomes[row]
            if outcome.status == "lossless":
                tile = smallest(job, number, width, outcome, network.cpu(), form, tiles[number])
                if tile:
                    done[number] = tile
    missing = [number for number in tiles if number not in done]
    if missing:
        region = job.tiling.region(missing[0])
        where = " x ".join(f"{part.start}:{part.stop}" for part in region)
        widths = list(dict.fromkeys(width for width, _ in job.attempts()))
        raise UserError(
            f"tile {missing[0]} ({where}) was not lossless after {ITERATIONS} updates with "
            f"networks {', '.join(map(str, widths))} wide; try smaller tiles (--tile "
            f"{max(4, job.side // 2)}) or another recipe"
        )
    return [done[number] for number in tiles]


def smallest(job, number, width, outcome, network, form, truth) -> Tile | None:
    """The tile in the fewest bytes that still decode to it with room to spare."""
    wanted = torch.from_numpy(truth.reshape(-1, truth.shape[-1]).astype(np.int64))

    def tile(storage: str, stored: dict[str, torch.Tensor]) -> Tile | None:
        network.load_state_dict(unpack(stored))
        decoded, margin = evaluate(network, form)
        if not torch.equal(decoded, wanted) or margin < job.stored_margin:
            return None
        return Tile(
            number=number,
            width=width,
            storage=storage,
            stored=stored,
            margin=margin,
            iterations=outcome.iterations,
            flops=outcome.flops,
        )

    for storage in job.storages:
        found = tile(storage, pack(outcome.state, storage))
        if not found and storage == "int8" and job.repairs:
            found = tile(storage, repair(network, form, outcome.state, wanted))
        if found:
            return found
    return None


# --- finished tiles on disk -----------------------------------------------------------------


def to_bytes(tiles: list[Tile], identity: str) -> bytes:
    """Finished tiles as safetensors: what a worker returns, and what is kept."""
    tensors = {
        f"{tile.number}/{name}": tensor.contiguous()
        for tile in tiles
        for name, tensor in tile.stored.items()
    }
    facts = json.dumps([tile.facts() for tile in tiles])
    return dump_tensors(tensors, {"tiles": facts, "identity": identity})


def from_bytes(content: bytes, identity: str) -> list[Tile]:
    """Tiles of `to_bytes`; none if the bytes are damaged or of another job."""
    try:
        directory, _ = linr.split(content, "tiles")
        if directory["__metadata__"]["identity"] != identity:
            return []
        tensors = load_tensors(content)
        tiles = []
        for facts in json.loads(directory["__metadata__"]["tiles"]):
            prefix = f"{facts['number']}/"
            stored = {n.removeprefix(prefix): v for n, v in tensors.items() if n.startswith(prefix)}
            tiles.append(Tile(stored=stored, **facts))
        return tiles
    except (SafetensorError, UserError, KeyError, TypeError, ValueError):
        return []


@dataclass
class Kept:
    """Folder of finished tiles, one file per task."""

    folder: Path
    identity: str

    def open(self) -> dict[int, Tile]:
        """Tiles that are there already; what is damaged is fitted again.

        Raises
        ------
        UserError
            If the folder holds tiles of another signal, other settings or other code.
        """
        note = self.folder / "job.json"
        if note.is_file():
            if json.loads(note.read_text(encoding="utf-8")).get("identity") != self.identity:
                raise UserError(
                    f"{self.folder}: holds tiles of another signal, other settings or another "
                    "version of this program; delete it, or choose another output"
                )
        else:
            with replacing(note, "w", encoding="utf-8") as file:
                file.write(json.dumps({"identity": self.identity}))
        return {
            tile.number: tile
            for path in sorted(self.folder.glob("*.tiles"))
            for tile in from_bytes(path.read_bytes(), self.identity)
        }

    def add(self, first: int, content: bytes) -> None:
        """Write finished tiles, atomically."""
        with replacing(self.folder / f"{first:07d}.tiles") as file:
            file.write(content)

    def remove(self) -> None:
        """Delete the folder: the model is saved."""
        shutil.rmtree(self.folder, ignore_errors=True)


# --- workers --------------------------------------------------------------------------------

_WORDS = None  # of a worker process: where it tells how far it is


def _begin_worker(words, parent: int) -> None:
    global _WORDS
    import signal

    _WORDS = words
    torch.set_num_threads(1)
    # Ctrl-C goes to the whole group; the parent decides, and a worker whose parent died ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _begin_worker.parent = parent


def _work(job: Job, tiles: dict[int, np.ndarray]) -> bytes:
    last = 0.0
    key = next(iter(tiles))

    def tell(iteration: int, wrong: int) -> None:
        nonlocal last
        if (now := time.monotonic()) - last > WORD_EVERY:
            last = now
            _WORDS.put((key, iteration, wrong))

    def orphaned() -> bool:
        return os.getppid() != _begin_worker.parent

    # Bytes, because tensors would travel as open files, of which a process may have only so many.
    return to_bytes(fit_tiles(job, tiles, torch.device("cpu"), tell, orphaned), job.identity)


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
    *,
    device: torch.device,
    workers: int,
    kept: Kept | None,
    deadline: float | None,
    progress: Callable[[Progress], None],
) -> list[Tile]:
    """Every tile, those that are kept already included; see `fit`."""
    tiling = job.tiling
    done = kept.open() if kept else {}
    state = Progress(tiling.tiles, len(done), len(done))
    tasks = tasks_of(job, BATCH[device.type])
    # Whole tasks only: a tile's numbers depend on its batch, and so never on what is kept.
    tasks = [task for task in tasks if not all(number in done for number in task)]

    def take(content: bytes) -> None:
        tiles = from_bytes(content, job.identity)
        if kept:
            kept.add(tiles[0].number, content)
        done.update({tile.number: tile for tile in tiles})
        state.done = len(done)
        progress(state)

    def cut(task: list[int]) -> dict[int, np.ndarray]:
        return {n: np.ascontiguousarray(samples[tiling.region(n)]) for n in task}

    late = lambda: deadline is not None and time.monotonic() >= deadline  # noqa: E731
    if device.type == "cuda" or workers == 1 or len(tasks) <= 1:

        def tell(iteration: int, wrong: int) -> None:
            state.iteration, state.wrong_bits = iteration, wrong
            progress(state)

        for task in tasks:
            tiles = cut(task)
            state.bits = sum(tile.size for tile in tiles.values()) * job.bits
            take(to_bytes(fit_tiles(job, tiles, device, tell, late), job.identity))
        return [done[number] for number in range(tiling.tiles)]
    context = multiprocessing.get_context("spawn")
    words = context.Queue()
    pool = ProcessPoolExecutor(
        min(workers, len(tasks)),
        mp_context=context,
        initializer=_begin_worker,
        initargs=(words, os.getpid()),
    )
    try:
        pending: dict[Future, list[int]] = {}
        waiting = iter(tasks)
        running: dict[int, tuple[int, int]] = {}
        while True:
            for task in waiting:
                pending[pool.submit(_work, job, cut(task))] = task
                if len(pending) >= 2 * workers:
                    break
            if not pending:
                break
            finished, _ = wait(pending, timeout=WORD_EVERY, return_when=FIRST_COMPLETED)
            with contextlib.suppress(queue.Empty):
                while True:
                    key, iteration, wrong = words.get_nowait()
                    running[key] = (iteration, wrong)
            for future in finished:
                running.pop(pending.pop(future)[0], None)
                take(future.result())
            state.iteration = max((i for i, _ in running.values()), default=0)
            state.wrong_bits = sum(w for _, w in running.values())
            sizes = [len(t) * int(np.prod(tiling.tile_shape(t[0]))) for t in pending.values()
                     if t[0] in running]  # fmt: skip
            state.bits = sum(sizes) * job.bits
            progress(state)
            if late():
                raise OutOfTime("the budget ended")
    except BrokenProcessPool:
        raise UserError(
            "a worker process was killed (out of memory?); finished tiles are kept, the same "
            "command goes on"
        ) from None
    finally:
        processes = list((pool._processes or {}).values())
        pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.terminate()
    return [done[number] for number in range(tiling.tiles)]


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
    samples : ndarray of unsigned int
        Image (height, width) or (height, width, channels); sound (samples,) or (samples,
        channels), which needs `kind="sound"`. Values in 0 .. 2**bits - 1.
    bits : int, optional
        Bit depth, 1 to 24; default: that of the dtype.
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
    if samples.dtype.kind != "u":
        raise UserError(f"samples are {samples.dtype}; unsigned integers are fitted: convert them")
    bits = bits or samples.dtype.itemsize * 8
    kind = kind or "image"
    if kind not in ("image", "sound"):
        raise UserError(f"kind: '{kind}' is none of image, sound")
    if samples.ndim == (2 if kind == "image" else 1):
        samples = samples[..., None]
    if samples.ndim != (3 if kind == "image" else 2) or samples.size == 0:
        raise UserError(f"an {kind} of shape {samples.shape} cannot be fitted")
    if not 1 <= bits <= linr.MOST_BITS:
        raise UserError(f"{bits} bits cannot be fitted yet; 1 to {linr.MOST_BITS} can")
    if int(samples.max()) >= 2**bits:
        raise UserError(f"holds the value {int(samples.max())}, more than {bits} bits can")
    recipes = load_recipes(RECIPES)
    if recipe not in recipes:
        from lossless_inr.errors import suggest

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
        factors=SMALLEST if smallest else FACTORS,
        repairs=smallest,
    )
    job.spec(0, job.width, seed)  # what the recipe refuses is told before any work
    begun = time.monotonic()
    tiles = fit_all(
        job,
        samples,
        device=choose_device(device),
        workers=max(1, workers or os.cpu_count() or 1),
        kept=Kept(Path(keep), job.identity) if keep else None,
        deadline=None if budget is None else begun + budget,
        progress=progress,
    )
    groups, weights = stack((t.number, t.width, t.storage, t.stored) for t in tiles)
    tiling = job.tiling
    spec = job.spec(0, job.width, seed)
    header = linr.Header(
        kind=kind,
        shape=list(samples.shape),
        bits=bits,
        signed=signed,
        sample_rate=sample_rate,
        source=source,
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
        margin=min(tile.margin for tile in tiles),
        recipe=recipe,
        provenance={
            "seed": seed,
            "tile": job.side,
            "wanted_margin": job.margin,
            "iterations_mean": float(np.mean([tile.iterations for tile in tiles])),
            "iterations_max": max(tile.iterations for tile in tiles),
            "flops": sum(tile.flops for tile in tiles),
            "packages": provenance.machine()["packages"],
        },
    )
    return Model(header, weights)
