import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit"))

from lossless_inr.models.fitting import fit

settings.register_profile("models", deadline=None, derandomize=True, database=None)
settings.load_profile("models")


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def picture(shape=(12, 10, 3), bits=8, seed=0):
    dtype = np.uint8 if bits <= 8 else np.uint16
    return np.random.default_rng(seed).integers(0, 2**bits, shape).astype(dtype)


@pytest.fixture(scope="session")
def small():
    """A model of noise in four tiles of different shapes."""
    torch.set_num_threads(1)
    samples = picture()
    return samples, fit(samples, tile=7, workers=1, source="noise.png")
