"""Disks that are full, quotas, folders that turn read-only, and memory that runs out."""

import os
import resource
import subprocess
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from disturbed import PATIENCE, check_same, jobs_of, wait_for

NO_SPACE = "no space left for it; make room and run the same command again"


def mount(*arguments) -> None:
    done = subprocess.run(["mount", *map(str, arguments)], capture_output=True, text=True)
    if done.returncode:
        raise OSError(done.stderr)


def _why_no_mounts() -> str:
    """Why this machine lets nobody mount a disk, "" if it does."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            mount("-t", "tmpfs", "-o", "size=64k", "none", folder)
        except OSError as error:
            return f"no file system can be mounted here: {error}"
        subprocess.run(["umount", folder], check=True)
    return ""


WHY = _why_no_mounts()
needs_mounts = pytest.mark.skipif(bool(WHY), reason=WHY or "mounts work")


@contextmanager
def disk(folder: Path, size: int, *, inodes: int = 0):
    """A file system of `size` KiB in place of a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    mount("-t", "tmpfs", "-o", f"size={size}k,nr_inodes={inodes}", "none", folder)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def used_kib(folder: Path) -> int:
    found = [path.stat() for path in folder.rglob("*")]
    return sum(one.st_blocks for one in found) // 2 + 4 * len(found)


def in_words(process, *words: str) -> str:
    """The run ended, not well, in lines that a user can read; returns them."""
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode != 0, output
    assert "Traceback" not in output, output
    assert any(word in output for word in words), output
    return output


@needs_mounts
@pytest.mark.parametrize("seed", ["0", *(pytest.param(s, marks=pytest.mark.faults) for s in "12")])
def test_a_disk_that_is_full_at_some_moment(project, undisturbed, chance, counts, seed):
    full = used_kib(undisturbed.project.folder / "results")
    with disk(project.folder / "results", int(full * chance.uniform(0.05, 0.8))):
        in_words(project.start(), NO_SPACE)
        mount("-o", "remount,size=64m", project.folder / "results")
        project.finish()
        check_same(project, undisturbed.outcome)
    counts["disk full: results"] += 1


@pytest.mark.faults
@needs_mounts
def test_a_disk_without_room_for_more_files(project, undisturbed, chance, counts):
    full = len([*(undisturbed.project.folder / "results").rglob("*")])
    with disk(project.folder / "results", 65536, inodes=int(full * chance.uniform(0.1, 0.8))):
        in_words(project.start(), NO_SPACE)
        mount("-o", "remount,nr_inodes=0", project.folder / "results")
        project.finish()
        check_same(project, undisturbed.outcome)
    counts["disk full: number of files"] += 1


@pytest.mark.faults
@needs_mounts
@pytest.mark.parametrize("folder", [".snakemake", "reports", "logs", "data"])
def test_a_disk_that_is_full_elsewhere(project, undisturbed, counts, folder):
    """Snakemake's own notes among it: its words are its own, but nothing is lost."""
    with disk(project.folder / folder, 16):
        # A file system of this size has some pages; take all but one.
        with suppress_full(), open(project.folder / folder / "filler", "wb") as filler:
            while True:
                filler.write(bytes(4096))
                filler.flush()
        process = project.start()
        output, _ = process.communicate(timeout=PATIENCE)
        # A log that cannot be written stops no job.
        assert process.returncode != 0 or folder == "logs", output
        mount("-o", "remount,size=64m", project.folder / folder)
        (project.folder / folder / "filler").unlink()
        project.finish()
        check_same(project, undisturbed.outcome)
    counts[f"disk full: {folder}"] += 1


@contextmanager
def suppress_full():
    try:
        yield
    except OSError as error:
        assert "space" in str(error)


@pytest.mark.faults
@pytest.mark.parametrize("seed", [*"01"])
def test_a_quota(project, undisturbed, chance, counts, seed):
    """No file may grow beyond so many bytes."""
    files = [p for p in (undisturbed.project.folder / "results/smoke").rglob("*") if p.is_file()]
    sizes = sorted(path.stat().st_size for path in files)
    limit = chance.choice(sizes[len(sizes) // 2 :]) - 1
    process = project.start()
    psutil.Process(process.pid).rlimit(psutil.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode != 0 and "Traceback (most recent" not in output, output
    project.finish()
    check_same(project, undisturbed.outcome)
    counts["quota"] += 1


@pytest.mark.faults
@needs_mounts
@pytest.mark.parametrize("seed", [*"01"])
def test_results_that_turn_read_only(project, undisturbed, chance, counts, seed):
    results = project.folder / "results"
    results.mkdir()
    mount("--bind", results, results)
    try:
        process = project.start()
        time.sleep(undisturbed.seconds * chance.uniform(0.2, 0.7))
        while process.poll() is None:
            try:
                mount("-o", "remount,ro,bind", results)
                break
            except OSError:  # busy: a file is being written this moment
                time.sleep(0.02)
        assert process.poll() is None, "it had ended"
        in_words(process, "correct the permissions of its folder", "did not finish")
        in_words(project.start(), "correct the permissions of its folder", "read-only")
        mount("-o", "remount,rw,bind", results)
        project.finish()
        check_same(project, undisturbed.outcome)
    finally:
        subprocess.run(["umount", "-l", results], check=True)
    counts["results turned read-only"] += 1


@pytest.mark.faults
@pytest.mark.parametrize("seed", [*"012"])
def test_memory_that_runs_out(project, undisturbed, chance, counts, seed):
    """Of a shard, at a random moment, or as soon as the interpreter has begun."""
    process = project.start()

    def begun() -> list[psutil.Process]:
        # Of a limit below that Python itself would have to speak.
        with suppress(psutil.NoSuchProcess):
            return [job for job in jobs_of(process, "fit") if job.memory_info().rss > 24 << 20]
        return []

    jobs = wait_for(begun, process)
    if seed != "0":
        time.sleep(chance.uniform(0, 0.25) * undisturbed.seconds)
    with_limit = 0
    for job in jobs:
        try:
            room = os.sysconf("SC_PAGE_SIZE") * chance.randrange(1, 4096)
            job.rlimit(psutil.RLIMIT_AS, (job.memory_info().vms + room, resource.RLIM_INFINITY))
            with_limit += 1
        except psutil.NoSuchProcess:
            continue
    output, _ = process.communicate(timeout=PATIENCE)
    assert "Traceback (most recent" not in output, output
    project.finish()
    check_same(project, undisturbed.outcome)
    counts["shard out of memory" if process.returncode else "shard short of memory, no need"] += 1
