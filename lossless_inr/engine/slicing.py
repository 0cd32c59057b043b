"""How many rows a pass evaluates at once: measured once per machine, network and kind of pass.

Too few rows waste calls, too many fall out of the cache or of memory. The compiled pass has
blocks of its own, which hardly matter (benchmarks/README.md), so those follow a rule.
"""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path

import torch

from lossless_inr.engine.compiled import cache_folder
from lossless_inr.engine.passes import Pass, TorchPass
from lossless_inr.networks._base import layers_of

LOG = logging.getLogger(__name__)
CANDIDATES = {"cpu": (1024, 2048, 4096, 8192), "cuda": (16384, 32768, 65536, 131072, 262144)}
# Activations of one slice: an input, a slope and a delta of every layer, in bytes.
MEMORY = {"cpu": 512 * 2**20, "cuda": 1024 * 2**20}


def compiled_block(width: int) -> int:
    """Rows of a block of the compiled pass."""
    return 96 if width <= 256 else 192


def chosen(trial: Pass, precision: str, cache: Path | None = None) -> int:
    """Rows at once for this pass: from the cache, or measured now and written there.

    Parameters
    ----------
    trial : Pass
        Ready to run; its gradients are overwritten.
    precision : str
    cache : Path, optional
        JSON file; a damaged one is named, ignored and replaced.
    """
    form = trial.batch.form
    layers = [layer for group in layers_of(trial.networks[0]) for layer in group]
    width = max(layer.out_features for layer in layers)
    if not isinstance(trial, TorchPass):
        return compiled_block(width)
    device = trial.batch.truth.device
    per_row = 12 * trial.batch.members * sum(layer.out_features for layer in layers)
    most = max(form.rows_per_sample, min(form.rows, MEMORY[device.type] // per_row))
    candidates = [rows for rows in CANDIDATES[device.type] if rows <= most] or [most]
    if len(candidates) == 1:
        return candidates[0]
    cache = cache or cache_folder() / "slices.json"
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    key = "|".join(
        map(
            str,
            [name, torch.get_num_threads(), torch.__version__, trial.name, precision]
            + [_kind(trial.networks[0]), trial.batch.members]
            + [layer.out_features for layer in layers],
        )
    )
    known = _read(cache)
    if known.get(key) not in candidates:
        known[key] = _measure(trial, precision, candidates)
        _write(cache, known)
    return known[key]


def _kind(network: torch.nn.Module) -> str:
    """What else decides the work per row: the encoding and the activation."""
    parts = (getattr(network, name, None) for name in ("encoding", "activation"))
    return "-".join(type(part).__name__ for part in parts)


def _measure(trial: TorchPass, precision: str, candidates: list[int]) -> int:
    """The smallest candidate within 3 % of the fastest per row; best of three turns."""
    best: dict[int, float] = {}
    for _ in range(3):
        for rows in candidates:
            trial.begin(precision)
            _wait(trial)
            start = time.perf_counter()
            trial.one_slice(trial.batch, trial.batch.slices(rows)[0], training=True)
            _wait(trial)
            each = (time.perf_counter() - start) / rows
            best[rows] = min(best.get(rows, each), each)
    limit = 1.03 * min(best.values())
    return next(rows for rows in candidates if best[rows] <= limit)


def _wait(trial: Pass) -> None:
    device = trial.batch.truth.device
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _read(cache: Path) -> dict[str, int]:
    try:
        known = json.loads(cache.read_text(encoding="utf-8"))
        if isinstance(known, dict):
            return known
        raise ValueError("not a table")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        LOG.warning("%s: damaged calibration (%s); it is measured again", cache, error)
        return {}


def _write(cache: Path, known: dict[str, int]) -> None:
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        partial = cache.with_suffix(".partial")
        partial.write_text(json.dumps(known, indent=1, sort_keys=True), encoding="utf-8")
        partial.replace(cache)
    except OSError as error:  # a read-only home costs a second per fit, not the fit
        LOG.warning("%s: cannot keep the calibration (%s)", cache, error)
