"""Fitting a few tiles of one shape, until their weights *as stored* decode to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from lossless_inr.engine.loop import Loop, Outcome
from lossless_inr.errors import UserError
from lossless_inr.fitting.fit import build_form, build_network, exact_float32
from lossless_inr.models import jobs
from lossless_inr.models.jobs import Job
from lossless_inr.models.model import evaluate
from lossless_inr.models.repair import repair
from lossless_inr.models.storage import pack, unpack


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
            iterations=jobs.ITERATIONS,
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
            f"tile {missing[0]} ({where}) was not lossless after {jobs.ITERATIONS} updates with "
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
