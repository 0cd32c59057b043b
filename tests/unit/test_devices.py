"""One fit process per GPU: real processes, locks and SIGKILL; the driver's list is a stand-in."""

import os
import select
import signal
import subprocess
import sys

import pytest

from lossless_inr.devices import one_gpu, scheduling, usable
from lossless_inr.errors import UserError

UUIDS = ["GPU-aa11", "GPU-bb22", "GPU-cc33"]
# Takes a GPU as workflow/scripts/fit.py does, and says what CUDA would see.
HOLDER = """\
import os, sys, time
from lossless_inr.devices import one_gpu
with one_gpu("auto", int(sys.argv[1])) as name:
    assert "torch" not in sys.modules
    print(name, os.environ.get("CUDA_VISIBLE_DEVICES"), flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with three GPUs, as far as `nvidia-smi` says, and locks of its own."""
    driver = tmp_path / "bin/nvidia-smi"
    driver.parent.mkdir()
    driver.write_text("#!/bin/sh\n" + "".join(f"echo {uuid}\n" for uuid in UUIDS))
    driver.chmod(0o755)
    monkeypatch.setenv("PATH", f"{driver.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("LOSSLESS_INR_LOCKS", str(tmp_path / "locks"))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return driver


@pytest.fixture
def hold(machine):
    """Starts a process that holds a GPU; what it holds is its `name`, None while it waits."""
    running = []

    def start(per_gpu: int = 1, *, waits: bool = False) -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(per_gpu)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        process.name = None if waits else told(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


def told(process) -> str:
    name, shown = process.stdout.readline().split()
    assert name == shown
    return name


def test_each_process_has_a_gpu_of_its_own_and_the_next_one_waits(hold):
    holders = [hold() for _ in UUIDS]
    assert [h.name for h in holders] == UUIDS
    late = hold(waits=True)
    silent, _, _ = select.select([late.stdout], [], [], 2.5)
    assert not silent and late.poll() is None
    holders[1].communicate("")  # it ends as it should
    assert told(late) == UUIDS[1]


def test_a_killed_process_leaves_its_gpu_free(hold, tmp_path):
    for _ in range(5):
        first, second = hold(), hold()
        assert (first.name, second.name) == (UUIDS[0], UUIDS[1])
        for process in (first, second):
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert (tmp_path / "locks" / f"{UUIDS[0]}.0.lock").exists()  # a file alone locks nothing


def test_processes_that_share_gpus_fill_them_up_evenly(hold):
    assert [hold(2).name for _ in range(6)] == UUIDS + UUIDS


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        (None, UUIDS),
        ("", []),
        ("2,0", ["GPU-cc33", "GPU-aa11"]),
        ("GPU-bb", ["GPU-bb22"]),
        ("MIG-7", ["MIG-7"]),
        ("0,7,1", ["GPU-aa11"]),
        ("NoDevFiles", []),
        ("1,1", ["GPU-bb22"]),
    ],
)
def test_a_scheduler_narrows_what_is_usable(machine, monkeypatch, visible, expected):
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert usable() == expected


def test_no_gpu_is_asked_for_on_a_cpu_and_the_environment_comes_back(machine, monkeypatch):
    with one_gpu("cpu") as name:
        assert name is None and "CUDA_VISIBLE_DEVICES" not in os.environ
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    with one_gpu("auto") as name:
        assert name == os.environ["CUDA_VISIBLE_DEVICES"] == UUIDS[1]
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "1"


@pytest.mark.parametrize("body", ["exit 9", "echo"])
def test_a_driver_in_trouble_means_no_gpu(machine, body):
    machine.write_text(f"#!/bin/sh\n{body}\n")
    assert usable() == []
    with one_gpu("auto") as name:
        assert name is None


def test_a_folder_that_cannot_be_is_one_clear_line(machine, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LOSSLESS_INR_LOCKS", str(tmp_path / "file/locks"))
    with pytest.raises(UserError, match="LOSSLESS_INR_LOCKS"), one_gpu("auto"):
        pass


def test_a_run_on_one_machine_starts_as_many_fits_as_gpus_take(machine):
    assert scheduling(["--cores", "8"], "auto", 2) == ["--resources", "gpu=6"]
    for theirs in (
        ["--resources", "gpu=1"],
        ["--workflow-profile=profiles/slurm"],
        ["-e", "slurm"],
    ):
        assert scheduling(theirs, "auto", 1) == []
    assert scheduling([], "cpu", 1) == []
    machine.write_text("#!/bin/sh\nexit 9\n")
    assert scheduling([], "auto", 1) == []
