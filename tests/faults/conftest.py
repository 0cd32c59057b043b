"""An undisturbed run to compare with, and the counts that `make fault-test` ends with."""

import collections
import random
import time

import pytest
from disturbed import Disturbed, outcome

COUNTS = collections.Counter()


def pytest_sessionfinish(session):
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["faults"] = dict(COUNTS)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    COUNTS.update(getattr(node, "workeroutput", {}).get("faults", {}))


def pytest_terminal_summary(terminalreporter):
    if COUNTS:
        terminalreporter.section("faults, each run compared with an undisturbed one")
        for name, number in sorted(COUNTS.items()):
            terminalreporter.write_line(f"{number:5d}  {name}")


@pytest.fixture
def counts():
    """Faults by kind; one counts when its run has ended like the undisturbed one."""
    return COUNTS


class Undisturbed:
    def __init__(self, folder):
        self.project = Disturbed(folder)
        start = time.monotonic()
        code, output = self.project.run()
        self.seconds = time.monotonic() - start
        assert code == 0, output
        self.outcome = outcome(self.project)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    return Undisturbed(tmp_path_factory.mktemp("undisturbed") / "project")


@pytest.fixture
def project(tmp_path):
    """Nothing has run yet."""
    return Disturbed(tmp_path / "project")


@pytest.fixture
def finished(undisturbed, tmp_path):
    """A copy of what the undisturbed run left."""
    return undisturbed.project.copy(tmp_path / "finished")


@pytest.fixture
def chance(request):
    """Random numbers of a test's seed."""
    return random.Random(request.node.nodeid.rpartition("::")[2])
