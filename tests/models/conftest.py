import sys
from pathlib import Path

import pytest
import torch
from hypothesis import settings
from noise import picture

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit"))

from lossless_inr.models.fitting import fit

settings.register_profile("models", deadline=None, derandomize=True, database=None)
settings.load_profile("models")


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def small():
    """A model of noise in four tiles of different shapes."""
    torch.set_num_threads(1)
    samples = picture()
    return samples, fit(samples, tile=7, workers=1, source="noise.png")
