"""What an outside program is given: raw samples, and facts about them as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from lossless_inr.files import replacing
from lossless_inr.signals import Signal
from lossless_inr.signals.signal import sample_dtype


def facts(signal: Signal) -> dict:
    """Facts that a program needs to read the raw samples.

    Returns
    -------
    dict
        `name`, `kind`, `shape` ((height, width, channels) or (samples, channels)), `bits`,
        `bytes_per_sample` (1, 2 or 4), `dtype` (NumPy's name, little-endian), `encoding`.
    """
    dtype = sample_dtype(signal.bits)
    return {
        "name": signal.name,
        "kind": signal.kind,
        "shape": list(signal.samples.shape),
        "bits": signal.bits,
        "bytes_per_sample": dtype.itemsize,
        "dtype": dtype.newbyteorder("<").str if dtype.itemsize > 1 else "|u1",
        "encoding": signal.encoding,
    }


def hand_over(signal: Signal, raw: Path, told: Path) -> None:
    """Write the samples (C order, little-endian) and their facts, each atomically.

    Parameters
    ----------
    signal : Signal
    raw, told : Path
        The files to write: samples of 1, 2 or 4 bytes each, and `facts` as JSON.
    """
    with replacing(raw) as file:
        file.write(np.ascontiguousarray(signal.samples, sample_dtype(signal.bits)).tobytes())
    with replacing(told, "w", encoding="utf-8") as file:
        json.dump(facts(signal), file, indent=1)
        file.write("\n")
