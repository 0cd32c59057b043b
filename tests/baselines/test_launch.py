"""Programs that end well, badly, late or not at all; only a disk makes the launcher fail."""

import json
import os
import resource
import shutil
import subprocess
import sys
import time

import psutil
import pytest

from lossless_inr import seals

SHELL = shutil.which("sh")


def launch(*arguments):
    command = [sys.executable, "-m", "lossless_inr.baselines.launch", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stdout == "", done


@pytest.mark.parametrize(
    ("script", "limit", "reason"),
    [
        ("echo seen; exit 0", 60, ""),
        ("echo first >&2; echo last >&2; exit 3", 60, "exit code 3: last"),
        ("exit 4", 60, "exit code 4"),
        ("kill -SEGV $$", 60, "killed by SIGSEGV"),
        ("sleep 100 & sleep 100", 0.3, "stopped after its time limit of 0.3 s"),
    ],
)
def test_how_a_step_ended_is_noted(tmp_path, script, limit, reason):
    launch(tmp_path / "answer", limit, "encode", SHELL, "-c", script)
    (step,) = json.loads((tmp_path / "answer/run.json").read_text())
    assert step["reason"] == reason and step["step"] == "encode"
    assert 0 < step["seconds"] < 60


def test_a_program_that_is_not_there_is_named(tmp_path):
    launch(tmp_path, 60, "encode", "no-such-program-at-all")
    (step,) = json.loads((tmp_path / "run.json").read_text())
    assert "cannot be started: no-such-program-at-all" in step["reason"]


def test_what_follows_a_failed_step_is_not_run(tmp_path):
    launch(tmp_path, 60, "encode", SHELL, "-c", "exit 1")
    launch(tmp_path, 60, "decode", SHELL, "-c", f"touch '{tmp_path}/decoded'")
    assert not (tmp_path / "decoded").exists()
    assert len(json.loads((tmp_path / "run.json").read_text())) == 1


def test_a_program_that_removes_its_folder_is_still_noted(tmp_path):
    launch(tmp_path / "answer", 60, "encode", SHELL, "-c", f"rm -r '{tmp_path}/answer'")
    assert json.loads((tmp_path / "answer/run.json").read_text())[0]["reason"] == ""


@pytest.mark.parametrize("command", [["no-such-compiler"], [SHELL, "-c", "exit 0"]])
def test_what_cannot_be_built_says_so_when_it_is_run(tmp_path, command):
    launch("--build", tmp_path / "program", 60, *command)
    launch(tmp_path / "answer", 60, "encode", tmp_path / "program")
    (step,) = json.loads((tmp_path / "answer/run.json").read_text())
    assert "not built" in step["reason"]
    assert os.access(tmp_path / "program", os.X_OK)


def test_what_each_step_left_is_sealed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = "results/smoke/answers/mine/set/8x8/a.b"
    for step in ("encode", "decode"):
        launch(folder, 60, step, SHELL, "-c", f"echo {step} > {folder}/{step}")
        assert seals.inspect("smoke") == []
    launch("--build", "results/programs/tool", 60, SHELL, "-c", "echo > results/programs/tool")
    assert seals.inspect("smoke") == []
    os.truncate(f"{folder}/encode", 2)
    os.truncate("results/programs/tool", 0)
    assert {damage.path for damage in seals.inspect("smoke")} == {folder, "results/programs/tool"}
    assert not os.path.exists(folder) and not os.path.exists("results/programs/tool")


@pytest.mark.parametrize("kind", ["step", "build"])
@pytest.mark.parametrize("script", ["exit 1", "echo cp: No space left on device >&2; exit 1"])
def test_a_full_disk_is_no_programs_fault(tmp_path, kind, script):
    target = tmp_path / "answer"
    command = [sys.executable, "-B", "-m", "lossless_inr.baselines.launch"]
    command += ["--build", target, 60] if kind == "build" else [target, 60, "encode"]
    small = (1000, 1000)  # "File too large"
    done = subprocess.run(
        [*map(str, command), SHELL, "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, small),
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr, done
    assert done.stdout.startswith("error: ") and "make room and run the same command" in done.stdout
    assert not (target / "run.json").exists() and not target.is_file()


WORKFLOW = """
import os, subprocess, sys
os.environ["LOSSLESS_INR_WORKFLOW"] = str(os.getpid())
subprocess.run([sys.executable, "-m", "lossless_inr.baselines.launch", *sys.argv[1:]])
"""


def test_a_program_ends_soon_after_the_workflow_that_started_it(tmp_path):
    """Or the next run would wait for it as long as its time limit."""
    script = f"echo $$ > '{tmp_path}/pid'; sleep 90"
    step = [tmp_path / "answer", 100, "encode", SHELL, "-c", script]
    workflow = subprocess.Popen([sys.executable, "-c", WORKFLOW, *map(str, step)])
    deadline = time.monotonic() + 60
    while not (text := _text(tmp_path / "pid")) and time.monotonic() < deadline:
        time.sleep(0.01)
    program = psutil.Process(int(text))
    workflow.kill()
    workflow.wait()
    psutil.wait_procs([program], timeout=30)
    assert not program.is_running() or program.status() == psutil.STATUS_ZOMBIE


def _text(path):
    return path.read_text().strip() if path.exists() else ""
