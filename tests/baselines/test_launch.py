"""Programs that end well, badly, late or not at all; the launcher itself always ends with 0."""

import json
import os
import shutil
import subprocess
import sys

import pytest

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
