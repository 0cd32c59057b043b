"""Shared by all tests: the project folder, one thread per worker."""

import os

# Two workers with two OpenMP threads each on two cores wait for each other more than they work.
os.environ["OMP_NUM_THREADS"] = "1"

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def root() -> Path:
    return Path(__file__).resolve().parents[1]
