"""Shards: fits that one process runs, as many as take a while by measured speed. No torch."""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass

from lossless_inr.experiments.spec import FitConfig
from lossless_inr.fitting import digests
from lossless_inr.fitting.record import FitSpec

# Where the config leaves their number open: the last shards leave cores idle, and a folder of
# more than 2,000 entries is slow on many file systems.
FEWEST_SHARDS, MOST_SHARDS = 4, 1_900
# A killed shard goes on where it stopped, so many are fine; each is held in memory once.
MOST_FITS = 200
# Seconds per FLOP with SIREN's as 1, of miniature's records on a CPU: shards end about together.
SECONDS_PER_FLOP = {
    **{"siren": 1.0, "finer": 1.9, "gauss": 3.2, "wire": 1.4, "relu_pe": 1.7, "tanh_pe": 2.0},
    **{"diner": 1.7, "instant_ngp": 11.0},
}
# Seconds per FLOP of a SIREN: on one core the median of the committed records of miniature; on a
# GPU the printed peak times the measured fraction, as `estimate` has them.
SPEED = {"cpu": 4.2e-11, "cuda": 2.1e-14}


def work_of(fit: FitSpec) -> float:
    """What a fit takes at most, in FLOPs of a SIREN that take as long on a CPU."""
    return fit.cost * SECONDS_PER_FLOP.get(fit.network, 2.0)


@dataclass(frozen=True)
class Shard:
    """Fits that one process runs one after another."""

    name: str
    fits: list[FitSpec]

    @property
    def signals(self) -> list[str]:
        """Distinct signals, in order of first use."""
        return list(dict.fromkeys(fit.signal for fit in self.fits))

    @property
    def digest(self) -> str:
        """Changes when a fit of the shard, or code that decides its numbers, changes."""
        return digests.of_json(
            [[fit.digest, digests.of_code(fit.network, fit.representation)] for fit in self.fits]
        )


def count(work: list[float], config: FitConfig, scale: str) -> int:
    """Number of shards, so that each takes at most about `config.shard_minutes`.

    It depends on config and plan only, not on the machine: a job on another one must cut the
    same shards. Where the device is left open, paper scale is taken to run on GPUs.

    Parameters
    ----------
    work : list of float
        `work_of` each fit.
    config : FitConfig
    scale : str
    """
    number = config.shards
    if number == "auto":
        device = config.device
        if device == "auto":
            device = "cuda" if scale == "paper" else "cpu"
        seconds = sum(work) * SPEED[device]
        wanted = math.ceil(seconds / (60 * config.shard_minutes))
        number = max(FEWEST_SHARDS, min(wanted, MOST_SHARDS), math.ceil(len(work) / MOST_FITS))
    return min(number, len(work))


def spread(fits: list[FitSpec], config: FitConfig, scale: str) -> dict[str, Shard]:
    """Fits spread over shards of about equal cost, dearest first."""
    work = {fit.digest: work_of(fit) for fit in fits}
    number = count(list(work.values()), config, scale)
    heap: list[tuple[float, int]] = [(0.0, k) for k in range(number)]
    members: list[list[FitSpec]] = [[] for _ in range(number)]
    for fit in sorted(fits, key=lambda f: (-work[f.digest], f.digest)):
        load, k = heapq.heappop(heap)
        members[k].append(fit)
        heapq.heappush(heap, (load + work[fit.digest], k))
    return {f"shard{k:03d}": Shard(f"shard{k:03d}", fits) for k, fits in enumerate(members)}
