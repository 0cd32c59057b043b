"""Signals as arrays, in the order of their names, and proof that training images are others."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from lossless_inr.datasets.catalog import Catalog
from lossless_inr.datasets.store import Store
from lossless_inr.errors import UserError
from lossless_inr.files import replacing

# Digests of the 5,000 digits that `benchmarks/coder_priors.py` and `recombiner.py` train on.
SEEN = Path(__file__).with_name("training_digits.sha256")


def read(datasets: Path, mirror: str, signals: list[str]) -> tuple[list[np.ndarray], int]:
    """Samples of signals and their bits; what is missing is fetched.

    Parameters
    ----------
    datasets : Path
        The dataset table.
    mirror : str
        Folder of mirrored files, or "".
    signals : list of str
        Of one bit depth.

    Returns
    -------
    samples : list of ndarray of uint8 or uint16
        (height, width, channels) or (samples, channels) each.
    bits : int

    Raises
    ------
    UserError
        If a file cannot be had or read, or depths differ.
    """
    catalog = Catalog(datasets)
    Store(catalog, mirror or None).obtain([catalog.find(signal)[0] for signal in signals])
    found = [catalog.prepare(signal) for signal in signals]
    depths = sorted({one.bits for one in found})
    if len(depths) > 1:
        raise UserError(f"{signals[0]} and others have {depths} bits; give them sets of their own")
    return [one.samples for one in found], depths[0]


def save(path: Path, samples: list[np.ndarray], bits: int) -> None:
    """Keep signals for the jobs of one set: npz, no pickle."""
    with replacing(path) as file:
        named = {f"signal{k:05d}": one for k, one in enumerate(samples)}
        same = len({one.shape for one in samples}) == 1
        # One array where that can be: ten thousand members take seconds to open.
        np.savez(file, bits=bits, **({"stack": np.stack(samples)} if same else named))


def load(path: Path) -> tuple[list[np.ndarray], int]:
    """What `save` wrote."""
    with np.load(path, allow_pickle=False) as found:
        bits = int(found["bits"])
        if "stack" in found:
            return list(found["stack"]), bits
        return [found[name] for name in sorted(found.files) if name != "bits"], bits


def drawn(signals: list[str], count: int) -> list[str]:
    """`count` of the signals without replacement, the same at every call, in their order."""
    chosen = np.random.default_rng(0).permutation(len(signals))[:count]
    return [signals[k] for k in sorted(chosen)]


def digests_of(images: Iterable[np.ndarray]) -> np.ndarray:
    """The first eight bytes of each image's SHA-256, as uint64 (images,)."""
    found = [hashlib.sha256(np.ascontiguousarray(one).tobytes()).digest()[:8] for one in images]
    return np.frombuffer(b"".join(found), "<u8")


def seen(images: Iterable[np.ndarray]) -> int:
    """How many of the images the shared networks and priors of digits were trained on."""
    return int(np.isin(digests_of(images), np.frombuffer(SEEN.read_bytes(), "<u8")).sum())
