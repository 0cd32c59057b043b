"""The state of a fit on disk, so that a killed one goes on from where it was."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save as dump_tensors

from lossless_inr.files import write

LOG = logging.getLogger(__name__)


def _digest(tensors: dict[str, torch.Tensor], facts: str) -> str:
    """sha256 of a state; its file has none of its own."""
    return hashlib.sha256(dump_tensors(tensors) + facts.encode()).hexdigest()


class Checkpoint:
    """One file, replaced atomically.

    Parameters
    ----------
    path : Path
    identity : str
        Digest of everything that decides the fit; a state of another fit is ignored.
    every : float
        Seconds between two states.
    """

    def __init__(self, path: Path, identity: str, every: float = 30.0):
        self.path, self.identity, self.every = Path(path), identity, every
        self.partial = self.path.with_name(f".{self.path.name}.partial")
        self.saved = time.monotonic()

    def due(self) -> bool:
        """Whether `every` seconds have passed since the last state."""
        return time.monotonic() - self.saved >= self.every

    def save(self, tensors: dict[str, torch.Tensor], facts: dict) -> None:
        """Write tensors and JSON-safe facts."""
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        text = json.dumps(facts)
        about = {"identity": self.identity, "facts": text, "digest": _digest(tensors, text)}
        content = dump_tensors(tensors, metadata=about)
        # A state that a power cut damages costs the fit what it had, and is known for damaged.
        write(self.path, content, durable=False)
        self.saved = time.monotonic()

    def load(self, device: torch.device) -> tuple[dict[str, torch.Tensor], dict] | None:
        """Tensors and facts of the last state; None if there is none of this fit.

        A damaged file is named and ignored: the fit begins again.
        """
        if not self.path.exists():
            return None
        try:
            with safe_open(self.path, framework="pt") as file:
                metadata = file.metadata()
                if metadata["identity"] != self.identity:
                    return None
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            if metadata["digest"] != _digest(tensors, metadata["facts"]):
                raise ValueError("its digest differs")
            tensors = {name: tensor.to(device) for name, tensor in tensors.items()}
            return tensors, json.loads(metadata["facts"])
        except Exception as error:  # whatever is wrong with it, the fit can begin again
            LOG.warning("%s: damaged checkpoint (%s); the fit begins again", self.path, error)
            return None

    def remove(self) -> None:
        """Delete the state, once the fit's record is written, and what a killed save left."""
        self.path.unlink(missing_ok=True)
        self.partial.unlink(missing_ok=True)
