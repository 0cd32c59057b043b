"""SIGKILL at random moments, power cuts, and a machine that vanishes."""

import functools
import shutil
import subprocess

import pytest
from disturbed import (
    PATIENCE,
    RESULTS,
    check_same,
    family,
    jobs_of,
    kill,
    kill_all,
    nobody_left,
    stamp_of,
    truncate,
    wait_for,
    whole_files,
    words_of,
)


def killed(project, target, chance, seconds) -> bool:
    """Run and kill at a random moment; False if the run had ended before that.

    Parameters
    ----------
    target : {"command", "snakemake", "machine", "fit", "verify"}
        `lossless-inr run` alone, Snakemake alone, every process, or one job of a script.
    seconds : float
        What an undisturbed run takes.
    """
    process = project.start()
    if target in ("fit", "verify"):
        jobs = wait_for(lambda: jobs_of(process, target), process)
        if jobs:
            delay = chance.uniform(0, 0.5) * seconds / (2 if target == "fit" else 4)
            _sleep(delay, process)
            jobs = jobs_of(process, target)
        hit = bool(jobs) and kill(chance.choice(jobs))
        output, _ = process.communicate(timeout=PATIENCE)
        if hit:
            assert process.returncode != 0, output
            assert "error: the run did not finish" in output
    else:
        _sleep(chance.uniform(0, seconds), process)
        members = family(process)
        hit = process.poll() is None and bool(members)
        if target == "machine":
            kill_all(process)
        elif target == "command":
            process.kill()  # nothing, if it has ended meanwhile
        else:
            inner = [m for m in members[1:] if "snakemake" in words_of(m)]
            hit = bool(inner) and kill(inner[0])
        output, _ = process.communicate(timeout=PATIENCE)
    assert "Traceback" not in output, output
    if target == "command":
        # Snakemake lives on: a second one beside it is refused, and it may end in peace.
        nobody_left(project, limit=PATIENCE)
    return hit


def _sleep(seconds, process):
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return


def test_a_run_killed_and_resumed_twice_gives_the_report_of_an_undisturbed_one(
    project, undisturbed, counts
):
    for reached in (
        lambda process: list(project.folder.glob("results/smoke/records/**/state.safetensors")),
        lambda process: jobs_of(process, "verify"),
    ):
        process = project.start()
        assert wait_for(functools.partial(reached, process), process)
        kill_all(process)
        counts["SIGKILL of machine"] += 1
    project.finish()
    check_same(project, undisturbed.outcome)


@pytest.mark.faults
@pytest.mark.parametrize("target", ["command", "snakemake", "machine", "fit", "verify"])
@pytest.mark.parametrize("seed", ["0", "1"])
def test_kills_at_random_moments(project, undisturbed, chance, counts, target, seed):
    """Five kills, one after another: 50 over all cases."""
    hits = 0
    for _ in range(12):
        hits += killed(project, target, chance, undisturbed.seconds)
        if hits == 5:
            break
        if (project.folder / RESULTS / "checked").exists():
            check_same(project, undisturbed.outcome)
            shutil.rmtree(project.folder / "results")
    assert hits == 5
    project.finish()
    check_same(project, undisturbed.outcome)
    counts[f"SIGKILL of {target}"] += hits


@pytest.mark.faults
@pytest.mark.parametrize("seed", [*"012345"])
def test_a_power_cut_that_shortens_files(project, undisturbed, chance, counts, seed):
    """A kill of everything; what was not on the disk yet is gone, Snakemake's notes as well."""
    process = project.start()
    _sleep(undisturbed.seconds * chance.uniform(0.3, 0.95), process)
    kill_all(process)
    files = whole_files(project)
    for path in chance.sample(files, min(6, len(files))):
        truncate(path, chance)
        counts["file shortened by a power cut"] += 1
    if chance.random() < 0.5:
        shutil.rmtree(project.folder / ".snakemake/incomplete", ignore_errors=True)
    project.finish()
    check_same(project, undisturbed.outcome)
    counts["power cut"] += 1


@pytest.mark.faults
@pytest.mark.parametrize("lost", ["nothing", "weights", "fits", "everything"])
def test_a_machine_that_vanishes_between_fit_and_verify(project, undisturbed, chance, counts, lost):
    process = project.start()
    assert wait_for(lambda: stamp_of(project), process)
    kill_all(process)
    for entry in stamp_of(project):
        folder = project.folder / RESULTS / entry["folder"]
        if lost == "weights":
            (folder / "weights.safetensors").unlink()
        elif lost == "everything" or (lost == "fits" and chance.random() < 0.7):
            shutil.rmtree(folder)
    said = project.finish()
    if lost == "weights":
        assert "weights.safetensors: is missing" in said
    check_same(project, undisturbed.outcome)
    counts["machine vanished between fit and verify"] += 1


@pytest.mark.faults
def test_weights_that_vanish_while_they_are_to_be_verified(project, undisturbed, counts):
    """Within one run: the verdict is refused by name, and the next run fits again."""
    process = project.start()
    assert wait_for(lambda: stamp_of(project), process)
    for entry in stamp_of(project):
        (project.folder / RESULTS / entry["folder"] / "weights.safetensors").unlink()
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode != 0
    assert "weights.safetensors: is missing, since its shard ended" in output
    assert "Traceback" not in output
    project.finish()
    check_same(project, undisturbed.outcome)
    counts["machine vanished between fit and verify"] += 1
