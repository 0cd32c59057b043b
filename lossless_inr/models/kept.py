"""Finished tiles: in a folder, so that a kill loses little, or in memory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as dump_tensors

from lossless_inr.errors import UserError
from lossless_inr.files import replacing
from lossless_inr.models import format as linr
from lossless_inr.models.tiles import Tile


def to_bytes(tiles: list[Tile], identity: str) -> bytes:
    """Finished tiles of a job as safetensors: what a worker returns, and what is kept."""
    tensors = {
        f"{tile.number}/{name}": tensor.contiguous()
        for tile in tiles
        for name, tensor in tile.stored.items()
    }
    content = dump_tensors(tensors)
    facts = {
        "tiles": json.dumps([tile.facts() for tile in tiles]),
        "identity": identity,
        "sha256": hashlib.sha256(linr.split(content, "tiles")[1]).hexdigest(),
    }
    return b"".join(linr.relabel(content, facts))


def facts_of(content: bytes, identity: str) -> list[dict]:
    """Facts about the tiles of `to_bytes`; none if the bytes are damaged or of another job."""
    try:
        directory, data = linr.split(content, "tiles")
        metadata = directory["__metadata__"]
        whole = metadata["sha256"] == hashlib.sha256(data).hexdigest()
        if metadata["identity"] != identity or not whole:
            return []
        return json.loads(metadata["tiles"])
    except (UserError, KeyError, TypeError, ValueError):
        return []


class Finished:
    """The finished tiles of one job.

    Those of other jobs in the same folder (another seed, another margin) are left alone.

    Parameters
    ----------
    identity : str
        Of the job.
    folder : Path, optional
        Where they are kept, a folder per job; without one they are kept in memory.
    """

    def __init__(self, identity: str, folder: Path | None = None):
        self.identity = identity
        self.folder = folder / identity[:16] if folder else None
        self.facts: dict[int, dict] = {}
        self._contents: list[Path | bytes] = []
        for path in sorted(self.folder.glob("*.tiles")) if self.folder else []:
            self._note(path, path.read_bytes())

    def __len__(self):
        return len(self.facts)

    def __contains__(self, number: int) -> bool:
        return number in self.facts

    def _note(self, place: Path | bytes, content: bytes) -> None:
        for facts in facts_of(content, self.identity):
            self.facts[facts["number"]] = facts | {"content": len(self._contents)}
        self._contents.append(place)

    def add(self, content: bytes) -> None:
        """Keep what `to_bytes` gave, atomically."""
        first = facts_of(content, self.identity)[0]["number"]
        if self.folder is None:
            self._note(content, content)
            return
        path = self.folder / f"{first:07d}.tiles"
        with replacing(path) as file:
            file.write(content)
        self._note(path, content)

    def stored(self) -> Iterator[tuple[int, dict[str, torch.Tensor]]]:
        """(number, stored weights) of every tile, one file's at a time.

        Raises
        ------
        UserError
            If a file has changed since it was read.
        """
        by_content: dict[int, list[int]] = {}
        for number, facts in self.facts.items():
            by_content.setdefault(facts["content"], []).append(number)
        for index, numbers in by_content.items():
            place = self._contents[index]
            content = place if isinstance(place, bytes) else place.read_bytes()
            try:
                tensors = load_tensors(content) if facts_of(content, self.identity) else {}
            except SafetensorError:
                tensors = {}
            for number in numbers:
                prefix = f"{number}/"
                found = {
                    n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)
                }
                if not found:
                    raise UserError(f"{place}: changed while it was in use; run the command again")
                yield number, found
