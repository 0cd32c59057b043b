"""Edited records, flipped bits and shortened files: named, and made again."""

import json
import os
import shutil

import pytest
from disturbed import (
    RESULTS,
    check_same,
    kill_all,
    stamp_of,
    truncate,
    wait_for,
    whole_files,
)


def flip(path, chance) -> None:
    """One bit of a file, with its times as before: as a disk does it."""
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def better(path) -> None:
    """A record by hand: fewer iterations than there were."""
    data = json.loads(path.read_text())
    data["iterations"] -= 1
    path.write_text(json.dumps(data, indent=1))


def test_what_is_damaged_is_named_and_made_again_and_nothing_else(
    finished, undisturbed, chance, counts
):
    folders = [finished.folder / RESULTS / entry["folder"] for entry in stamp_of(finished)]
    better(folders[0] / "record.json")
    flip(folders[-1] / "weights.safetensors", chance)
    truncate(finished.folder / RESULTS / "tables/one.csv", chance)
    before = finished.records()
    said = finished.finish(1)
    for path in (
        folders[0] / "record.json",
        folders[-1] / "weights.safetensors",
        finished.folder / RESULTS / "tables/one.csv",
    ):
        assert f"damaged: {path.relative_to(finished.folder)}: " in said
    changed = {name for name, when in finished.records().items() if before[name] != when}
    again = {
        str((folder / "record.json").relative_to(finished.folder))
        for folder in (folders[0], folders[-1])
    }
    assert changed == again
    assert said.count("fitted again") == 2
    check_same(finished, undisturbed.outcome)
    counts["record edited by hand"] += 1
    counts["bit flipped in weights"] += 1
    counts["file shortened"] += 1


@pytest.mark.faults
@pytest.mark.parametrize("name", ["weights.safetensors", "decoded.npz"])
def test_a_bit_flipped_in_a_finished_fit(finished, undisturbed, chance, counts, name):
    folder = chance.choice(stamp_of(finished))["folder"]
    flip(finished.folder / RESULTS / folder / name, chance)
    said = finished.finish(1)
    assert f"damaged: {RESULTS / folder / name}: is not what was written" in said
    assert f"{RESULTS / folder / name}: is not what the fit wrote" in said
    check_same(finished, undisturbed.outcome)
    counts[f"bit flipped in {name}"] += 1


@pytest.mark.faults
@pytest.mark.parametrize("how", [flip, truncate, lambda path, _: path.unlink()])
def test_a_pack_that_is_damaged_takes_its_fits_with_it(finished, undisturbed, chance, counts, how):
    """Their curves are nowhere else."""
    pack = chance.choice(sorted((finished.folder / RESULTS / "packs").glob("*.parquet")))
    how(pack, chance)
    said = finished.finish(1)
    assert f"damaged: {pack.relative_to(finished.folder)}: " in said
    assert "curve.parquet: is missing; fitted again" in said
    check_same(finished, undisturbed.outcome)
    counts["pack of curves damaged"] += 1


@pytest.mark.faults
@pytest.mark.parametrize("seed", [*"012"])
def test_damage_to_a_run_that_was_killed(project, undisturbed, chance, counts, seed):
    """No seal tells of its fits yet: they tell of themselves."""
    process = project.start()
    pattern = "results/smoke/records/**/record.json"
    records = wait_for(lambda: [*project.folder.glob(pattern)], process)
    kill_all(process)
    if chance.random() < 0.5:
        better(records[0])
        words = "record.json: was changed after it was written"
        counts["record edited by hand"] += 1
    else:
        flip(records[0].with_name("weights.safetensors"), chance)
        words = "weights.safetensors: is not what the fit wrote"
        counts["bit flipped in weights"] += 1
    assert f"{words}" in project.finish()
    check_same(project, undisturbed.outcome)


@pytest.mark.faults
@pytest.mark.parametrize("seed", [*"012345"])
def test_any_files_of_a_finished_run(finished, undisturbed, chance, counts, seed):
    """Shortened, flipped or gone; Snakemake's notes and the seals as well."""
    for path in chance.sample(whole_files(finished), 5):
        how = chance.choice([truncate, flip, lambda path, _: path.unlink()])
        how(path, chance)
        counts["file of a finished run shortened, flipped or deleted"] += 1
    finished.finish()
    check_same(finished, undisturbed.outcome)


@pytest.mark.faults
@pytest.mark.parametrize("claim", ["verdict", "stale stamp"])
def test_a_verdict_that_is_not_the_verifiers_is_not_believed(finished, undisturbed, counts, claim):
    path = sorted((finished.folder / RESULTS / "verified").glob("*.json"))[0]
    if claim == "verdict":
        entries = json.loads(path.read_text())
        for entry in entries:
            entry["verdict"]["verified"] = True
        path.write_text(json.dumps(entries))
    else:
        # The fits ran again since, and the clock says that the verdicts are younger.
        for entry in stamp_of(finished):
            shutil.rmtree(finished.folder / RESULTS / entry["folder"])
        for stamp in (finished.folder / RESULTS / "shards").glob("*.json"):
            stamp.unlink()
        code, output = finished.run("--until", "fit")
        assert code == 0, output
        for stamp in (finished.folder / RESULTS / "shards").glob("*.json"):
            os.utime(stamp, (0, 0))
    finished.finish()
    check_same(finished, undisturbed.outcome)
    counts["verdict that was not the verifier's"] += 1
