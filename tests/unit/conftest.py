import shutil

import pytest
import torch
from hypothesis import settings
from tiny import ROOT

# Deterministic and without a time limit per example: the machine is shared.
settings.register_profile("unit", deadline=None, derandomize=True, database=None, max_examples=25)
settings.load_profile("unit")


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def folder(tmp_path):
    """A project with the real data sets and recipes, and experiments to be written."""
    shutil.copytree(ROOT / "config", tmp_path / "config")
    for path in (tmp_path / "config/experiments").glob("*.yaml"):
        path.unlink()
    return tmp_path
