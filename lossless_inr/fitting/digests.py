"""Digests that decide whether a finished fit still counts."""

from __future__ import annotations

import functools
import hashlib
import json
from pathlib import Path
from typing import Any

from lossless_inr import registry

# What decides the numbers of a fit. Signals are left out: their samples have a digest of their
# own. Reports, tables, plans and other methods' files must not trigger a single fit.
_DECISIVE = (
    "engine/compiled.py",
    "engine/loop.py",
    "engine/passes.py",
    "engine/settings.py",
    "engine/sine_network.cpp",
    "engine/slicing.py",
    "engine/state.py",
    "fitting/fit.py",
    "fitting/seeding.py",
    "metrics/counts.py",
    "metrics/floats.py",
    "metrics/quality.py",
    "networks/_base.py",
    "networks/_lowbit.py",
    "representations/_base.py",
    "representations/_words.py",
    "signals/codes.py",
)


def of_json(value: Any) -> str:
    """sha256 of a JSON-safe value in canonical form."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def of_files(paths: list[Path]) -> str:
    """sha256 over the contents of files, in the order given."""
    digest = hashlib.sha256()
    for path in paths:
        content = Path(path).read_bytes()
        digest.update(len(content).to_bytes(8, "big") + content)
    return digest.hexdigest()


@functools.cache
def of_code(network: str, representation: str) -> str:
    """Digest of the sources that decide the numbers of one method's fits."""
    return of_files(
        [
            *(registry.PACKAGE / name for name in _DECISIVE),
            registry.path("network", network),
            registry.path("representation", representation),
        ]
    )


def of_signal_code() -> str:
    """Digest of the sources that turn a file into a prepared signal."""
    sources = sorted((registry.PACKAGE / "signals").glob("*.py"))
    datasets = [registry.PACKAGE / "datasets" / name for name in ("table.py", "catalog.py")]
    return of_files([*sources, *datasets])
