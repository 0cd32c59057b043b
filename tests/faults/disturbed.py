"""A workflow of six fits that takes seconds, and what must hold of it after any fault."""

import json
import os
import random
import re
import shutil
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
from bs4 import BeautifulSoup

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflow"))
from harness import Project

HEADER = (
    "set\tname\ttitle\tkind\tbits\tsource_bits\tsource_shape\tsource\tsha256\tprepare\toffset\t"
    "licence\tcitation\n"
)
EXPERIMENT = """\
title: one
layout: table
scales:
  smoke:
    shape: {hidden_layers: 1, width: 32}
    signals: [mine/8x8/picture, mine/60/sound]
    fits:
      - signals: all
        network: siren
        representation: bithead
        recipe: fast
        seeds: 2
        iterations: 300
      - signals: mine/8x8/picture
        network: siren
        representation: bitplane
        recipe: published
        iterations: 9000
      - signals: mine/60/sound
        network: siren
        representation: direct
        recipe: published
        iterations: 9000
"""
CURVES = "title: curves\nlayout: convergence\nselect:\n  smoke: {experiment: one}\n"
CONFIG = """\
scale: smoke
# Which slice is the fastest is measured, and may come out otherwise the next time: sums are then
# rounded otherwise.
fit: {device: cpu, shards: 2, slice_rows: 64}
datasets: mine/datasets.tsv
experiments: mine/experiments
"""
CONFIGFILE = "mine/config.yaml"
# Seconds until a run is given up, on a machine with much else to do.
PATIENCE = 900
# What a clock or the machine's other work decides; everything else is compared.
TIMED = (
    *("seconds", "seconds_median", "seconds_evaluation", "seconds_saving", "seconds_startup"),
    *("started", "ended", "verify_started", "verify_ended", "peak_memory_mib"),
    # Named after digests of records, which say how long a fit took.
    "pack",
)
RESULTS, REPORT = Path("results/smoke"), Path("reports/smoke/report.html")


def row(name, bits, shape, kind):
    cells = ["mine", name, f"My {name}", kind, bits, bits, shape, f"file:mine/{name}.npy"]
    return "\t".join(map(str, [*cells, "", "crop", "", "mine", ""])) + "\n"


class Disturbed(Project):
    """The small workflow in a folder of its own."""

    def __init__(self, folder: Path):
        super().__init__(folder)
        (folder / "mine").mkdir()
        generator = np.random.default_rng(0)
        picture = generator.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        sound = generator.integers(0, 2**16, (60, 1), dtype=np.uint16)
        np.save(folder / "mine/picture.npy", picture)
        np.save(folder / "mine/sound.npy", sound)
        rows = row("picture", 8, "8x8x3", "photo") + row("sound", 16, "60x1", "audio")
        self.write("mine/datasets.tsv", HEADER + rows)
        self.write("mine/experiments/one.yaml", EXPERIMENT)
        self.write("mine/experiments/curves.yaml", CURVES)
        self.write(CONFIGFILE, CONFIG)
        # States of running fits so often that kills within seconds meet them.
        self.replace(
            "lossless_inr/engine/checkpoint.py", "every: float = 30.0", "every: float = 0.2"
        )

    def start(self, *arguments, configfile=CONFIGFILE, options=(), **named):
        return super().start(*arguments, configfile=configfile, options=options, **named)

    def run(self, *arguments, **named) -> tuple[int, str]:
        process = self.start(*arguments, **named)
        output, _ = process.communicate(timeout=PATIENCE)
        return process.returncode, output

    def copy(self, folder: Path) -> "Disturbed":
        """The same project, finished or not, in another folder."""
        shutil.copytree(self.folder, folder, symlinks=True)
        other = object.__new__(Disturbed)
        other.folder = folder
        other.environment = self.environment | {"PYTHONPATH": str(folder)}
        return other

    def finish(self, attempts: int = 3) -> str:
        """Give the command again until it succeeds, as its last line tells the user."""
        said = ""
        for _ in range(attempts):
            code, output = self.run()
            said += output
            assert "Traceback" not in output, output
            if code == 0:
                return said
            assert "error: " in output, output
        raise AssertionError(f"not finished after {attempts} attempts:\n{said}")


# --- comparing ------------------------------------------------------------------------------


def without_times(table: pd.DataFrame) -> pd.DataFrame:
    return table.drop(columns=[name for name in TIMED if name in table])


def masked_report(path: Path) -> str:
    """The report without what a clock decides, and nothing else left out.

    Blanked are the cells of columns headed by seconds, or by how many times sooner; in drawers
    the line on seconds and memory; dates; the page about the run is of nothing but times.
    """
    page = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
    page.find(id="run").clear()
    for table in page.find_all("table"):
        heads = [cell.get_text(" ", strip=True) for cell in table.select("thead tr:last-child th")]
        timed = {k for k, head in enumerate(heads) if re.search(r"[Ss]econds|Sooner", head)}
        for line in table.select("tbody tr"):
            for k, cell in enumerate(line.find_all(["td", "th"], recursive=False)):
                if k in timed:
                    cell.clear()
                    cell.attrs.pop("data-v", None)
    for term in page.find_all("dt"):
        text = term.find_next_sibling("dd")
        if term.get_text(strip=True) == "Seconds":
            text.clear()
        if term.get_text(strip=True) == "Provenance":
            text.string = re.sub(r"ended [0-9T:+-]+", "ended", text.get_text())
    for text in page.find_all(string=re.compile(r"Fitted [0-9-]+")):
        text.replace_with(re.sub(r"Fitted .* \(UTC\)", "Fitted", str(text)))
    return str(page)


def outcome(project: Disturbed) -> dict:
    """Everything that must be equal, by name."""
    results = project.folder / RESULTS
    found = {}
    for name in ("tables/one.parquet", "fits.parquet"):
        table = without_times(pd.read_parquet(results / name)).sort_values("spec_digest")
        found[name] = table.to_csv(index=False)
    for name in ("tables/one.csv", "tables/one-summary.csv", "figures/curves.csv"):
        found[name] = without_times(pd.read_csv(results / name)).to_csv(index=False)
    for name in ("figures/curves.svg", "figures/curves.png"):
        found[name] = (results / name).read_bytes()
    found["report"] = masked_report(project.folder / REPORT)
    return found


def differing(expected: str | bytes, found: str | bytes, context: int = 60) -> str:
    """Both around the first place where they differ."""
    place = next((k for k, (a, b) in enumerate(zip(expected, found, strict=False)) if a != b), 0)
    return "\n".join(
        repr(one[max(place - context, 0) : place + context]) for one in (expected, found)
    )


def check_same(project: Disturbed, expected: dict) -> None:
    """Equal tables, figures and report; every fit once; every verdict about what is there."""
    found = outcome(project)
    for name, content in expected.items():
        assert found[name] == content, (
            f"{name} differs from that of the undisturbed run\n{differing(content, found[name])}"
        )
    check_sound(project)


def check_sound(project: Disturbed) -> None:
    """Every fit is there exactly once, whole, and its verdict is about this very record."""
    code = """
import json
from pathlib import Path
from lossless_inr.fitting.kept import damage
from lossless_inr.fitting.record import Record
from lossless_inr.fitting.verify import verify
from lossless_inr.signals import Signal
import pandas as pd
results = Path("results/smoke")
entries = [e for p in sorted(results.glob("verified/*.json")) for e in json.loads(p.read_text())]
records = {str(p.parent.relative_to(results)) for p in results.glob("records/**/record.json")}
assert sorted(e["folder"] for e in entries) == sorted(records), "a fit is missing, or there twice"
assert len(records) == len(pd.read_parquet(results / "fits.parquet"))
for entry in entries:
    folder = results / entry["folder"]
    record = Record.load(folder / "record.json")
    assert damage(folder, record) is None
    assert entry["verdict"]["record_digest"] == record.digest, "a stale verdict"
    assert entry["verdict"]["verified"] == (record.status == "lossless"), entry
    signal = Signal.load(Path(f"data/prepared/{record.spec.signal}.npz"))
    # Decoded again, here and now: what is believed is true.
    assert verify(record, signal, folder).model_dump() == entry["verdict"], entry["folder"]
"""
    done = project.python("-c", code)
    assert done.returncode == 0, done.stderr


# --- disturbing -----------------------------------------------------------------------------


def family(process) -> list[psutil.Process]:
    try:
        parent = psutil.Process(process.pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def words_of(member: psutil.Process) -> list[str]:
    """Its command line; of a process that has ended, none."""
    try:
        return member.cmdline()
    except psutil.Error:
        return []


def jobs_of(process, script: str) -> list[psutil.Process]:
    """Running jobs of one script, e.g. "fit"."""
    found = []
    for member in family(process):
        words = words_of(member)
        scripts = [
            w for w in words[:3] if re.search(rf"\.snakemake/scripts/\w*\.?{script}\.py$", w)
        ]
        if scripts and "python" in Path(words[0]).name:
            found.append(member)
    return found


def kill(member: psutil.Process) -> bool:
    """SIGKILL; False if the process had ended before."""
    try:
        # Stopped first: a signal to a process that is ending by itself would tell nothing.
        member.send_signal(signal.SIGSTOP)
        while (status := member.status()) != psutil.STATUS_STOPPED:
            if status in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
                return False
            time.sleep(0.001)
        member.send_signal(signal.SIGKILL)
        return True
    except psutil.NoSuchProcess:
        return False


def kill_all(process) -> None:
    """The whole session at once, as when a machine loses its power."""
    for member in reversed(family(process)):
        kill(member)
    process.wait()


def wait_for(condition, process, limit: float = 120.0):
    """What `condition` gives, once it gives something; None if the run ends before."""
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        if found := condition():
            return found
        if process.poll() is not None:
            return None
        time.sleep(0.01)
    raise AssertionError("it did not come to that")


def nobody_left(project: Disturbed, limit: float = 60.0) -> None:
    """Wait until no process works in the project's folder."""
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        left = []
        for process in psutil.process_iter():
            try:
                if process.status() != "zombie" and process.cwd() == str(project.folder):
                    left.append(process.pid)
            except (psutil.Error, OSError):
                continue
        if not left:
            return
        time.sleep(0.1)
    raise AssertionError(f"processes {left} outlive their run")


def truncate(path: Path, chance: random.Random) -> None:
    size = path.stat().st_size
    os.truncate(path, chance.randrange(size) if size else 0)


def whole_files(project: Disturbed) -> list[Path]:
    """Every file that the workflow, or Snakemake for it, has written and that says something."""
    found = []
    for part in ("results", "reports", "data", ".snakemake/metadata", ".snakemake/incomplete"):
        found += [path for path in (project.folder / part).rglob("*") if path.is_file()]
    return sorted(path for path in found if path.stat().st_size)


def stamp_of(project: Disturbed) -> list[dict]:
    """Fits of the shards whose stamps are complete."""
    entries = []
    for path in sorted((project.folder / RESULTS / "shards").glob("*.json")):
        with suppress(ValueError):  # being written this moment
            entries += json.loads(path.read_text())
    return entries
