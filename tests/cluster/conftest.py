"""A real Slurm for these tests, where one can be had, and the counts they print at their end."""

import signal
import sys
import time
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1] / "workflow"))

from harness import Project
from loopback import NODES, Slurm, install, missing

COUNTS: list[str] = []


@pytest.fixture(scope="session")
def slurm_is_here() -> None:
    """Install Slurm where that is possible; skip, saying why, where it is not."""
    if why := install() or missing():
        COUNTS.append(f"skipped, no Slurm: {why}")
        pytest.skip(why)


@pytest.fixture
def slurm(tmp_path, slurm_is_here):
    with Slurm(tmp_path / "slurm", NODES) as cluster:
        yield cluster


@pytest.fixture
def project(tmp_path) -> Project:
    return Project(tmp_path / "project")


@pytest.fixture
def count():
    """Takes a line to print at the end, beside the test's seconds."""
    start = time.monotonic()

    def add(line: str) -> None:
        COUNTS.append(f"{line} ({time.monotonic() - start:.0f} s)")

    return add


def pytest_configure() -> None:
    """Let the time limit of make end the tests like Ctrl-C, so that no daemon is left behind."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def pytest_terminal_summary(terminalreporter) -> None:
    for line in COUNTS:
        terminalreporter.write_line(f"cluster: {line}")
