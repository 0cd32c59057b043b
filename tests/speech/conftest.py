"""Recorded digits of the mirror, as no package that the suite needs ships speech."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

ROOT = Path(__file__).parents[2]
MIRROR = Path(os.environ.get("LOSSLESS_INR_MIRROR") or ROOT.parent / "shared/mirror")
RATE = 8000


@pytest.fixture(scope="session")
def read() -> Callable[[str], np.ndarray]:
    """Read a recording of FSDD by its name: int16 (samples,) at 8 kHz."""
    folder = MIRROR / "fsdd/recordings"
    if not folder.is_dir():
        pytest.skip(f"no recordings of FSDD in {folder}")

    def read(name: str) -> np.ndarray:
        samples, rate = soundfile.read(folder / f"{name}.wav", dtype="int16")
        assert rate == RATE
        return samples

    return read
