"""Runs the real workflow in a copy of the project, as a user would."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Small enough for seconds, yet every rule, kind of signal and representation takes part.
SMOKE = """\
scale: smoke
fit: {device: cpu, shards: 2}
"""


class Project:
    """A copy of the working tree in a folder of its own, run as a user would run it."""

    def __init__(self, folder: Path):
        self.folder = folder
        for name in ("Snakefile", "workflow", "config", "profiles", "lossless_inr"):
            source = ROOT / name
            ignore = shutil.ignore_patterns("__pycache__")
            if source.is_dir():
                shutil.copytree(source, folder / name, ignore=ignore)
            else:
                folder.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, folder / name)
        self.write("config/smoke.yaml", SMOKE)
        # The copy's own sources, not the installed ones.
        self.environment = os.environ | {"PYTHONPATH": str(folder)}
        # As at a user's: with caches of bytecode beside the sources.
        self.environment.pop("PYTHONDONTWRITEBYTECODE", None)

    def write(self, path: str, text: str) -> Path:
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        return target

    def replace(self, path: str, old: str, new: str) -> None:
        text = (self.folder / path).read_text(encoding="utf-8")
        assert old in text
        self.write(path, text.replace(old, new))

    def start(
        self, *arguments: str, configfile: str = "config/smoke.yaml", options: tuple[str, ...] = ()
    ) -> subprocess.Popen:
        command = [sys.executable, "-m", "lossless_inr.cli", "run", "--configfile", configfile]
        command += options
        return subprocess.Popen(
            [*command, *(["--", *arguments] if arguments else [])],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            # A shell's background jobs ignore SIGINT, and their children would inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def run(self, *arguments: str, **named) -> tuple[int, str]:
        process = self.start(*arguments, **named)
        output, _ = process.communicate(timeout=400)
        return process.returncode, output

    def python(self, *arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=300,
        )

    def records(self) -> dict[str, int]:
        """Finished fits and when each record was written."""
        found = (self.folder / "results").glob("*/records/**/record.json")
        return {str(path.relative_to(self.folder)): path.stat().st_mtime_ns for path in found}
