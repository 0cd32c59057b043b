"""Seals of jobs, and how jobs end: on plain files, without a workflow."""

import errno
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from lossless_inr import seals
from lossless_inr.files import sha256_of, write
from lossless_inr.fitting import packs
from lossless_inr.jobs import WORKFLOW
from lossless_inr.seals import inspect, place, seal

STAMP = "results/smoke/shards/a.json"
VERIFIED = "results/smoke/verified/a.json"
TABLE = "results/smoke/tables/t.csv"
REPORT = "reports/smoke/report.html"
WEIGHTS = "results/smoke/records/x/weights.safetensors"


@pytest.fixture
def made(tmp_path, monkeypatch):
    """fit -> verify -> table -> report, sealed."""
    monkeypatch.chdir(tmp_path)
    chain = [STAMP, VERIFIED, TABLE, REPORT]
    write(Path(WEIGHTS), b"weights")
    for number, path in enumerate(chain):
        write(Path(path), f"content {number}\n".encode())
        kept = {WEIGHTS: sha256_of(Path(WEIGHTS))} if number == 0 else {}
        used = chain[number - 1 : number] if number else []
        seal(f"logs/smoke/{number}.log", [path], used, kept)
    return chain


def there(paths):
    return [path for path in paths if Path(path).exists()]


def test_a_seal_lies_where_its_jobs_log_does_and_a_clean_scale_is_left_alone(made):
    assert place("logs/smoke/table/a.b.log") == Path("results/.seals/smoke/table/a.b.json")
    assert inspect("smoke") == [] and there(made) == made
    assert inspect("quick") == [] and there(made) == made


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("how", ["shorter", "flipped", "gone"])
def test_damage_is_named_and_everything_made_from_it_removed(made, number, how):
    path = Path(made[number])
    before = path.stat()
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-2] if how == "shorter" else b"CONTENT 0\n")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    found = inspect("smoke")
    assert [one.path for one in found] == ([] if how == "gone" else [made[number]])
    assert there(made) == made[:number]
    assert Path(WEIGHTS).exists()  # its record tells of it
    assert inspect("smoke") == []


@pytest.mark.parametrize("how", ["flipped", "gone"])
def test_damage_to_a_fits_file_makes_its_shard_run_again(made, how):
    Path(WEIGHTS).write_bytes(b"Weights") if how == "flipped" else Path(WEIGHTS).unlink()
    (found,) = inspect("smoke")
    assert found.path == WEIGHTS and str(found).startswith(WEIGHTS)
    assert there(made) == []


def test_new_times_are_noted_and_the_files_not_read_again(made, monkeypatch):
    for path in (*made, WEIGHTS):
        os.utime(path, (0, 0))
    assert inspect("smoke") == [] and there(made) == made
    monkeypatch.setattr(seals, "sha256_of", lambda path: pytest.fail(f"{path} is read again"))
    assert inspect("smoke") == []


def test_a_verdict_on_another_stamp_is_removed_however_young_it_is(made):
    write(Path(STAMP), b"fitted again\n")
    seal("logs/smoke/0.log", [STAMP], [], {})
    os.utime(STAMP, (0, 0))
    assert inspect("smoke") == [] and there(made) == [STAMP]


@pytest.mark.parametrize("content", ["", '{"made": {', "[]", '{"made": {"a": [1]}, "kept": {}}'])
def test_a_damaged_seal_vouches_for_nothing(made, content):
    path = place("logs/smoke/1.log")
    path.write_text(content)
    (found,) = inspect("smoke")
    assert found.path == str(path) and there(made) == [STAMP]


@pytest.mark.parametrize(
    ("job", "names"),
    [
        ("fetch/mine", ["data/raw/mine.fetched"]),
        ("prepare/mine/8x8/a.b", ["data/prepared/mine/8x8/a.b.npz"]),
        (
            "hand_over/mine/8x8/a.b",
            ["data/prepared/mine/8x8/a.b.raw", "data/prepared/mine/8x8/a.b.json"],
        ),
    ],
)
def test_what_a_damaged_seal_of_a_shared_job_told_of_is_made_again(made, job, names):
    """A power cut may have damaged both, the seal and what it told of."""
    others = ["data/prepared/mine/8x8/other.npz", "data/raw/other.fetched"]
    for name in (*names, *others):
        write(Path(name), b"content")
    seal(f"logs/{job}.log", names, [], {})
    seal("logs/smoke/fits.log", [STAMP], names[:1], {})
    os.truncate(place(f"logs/{job}.log"), 20)
    assert [str(place(f"logs/{job}.log"))] == [damage.path for damage in inspect("smoke")]
    assert there(names) == [] and there(others) == others
    assert there(made) == []  # was made from it


ANSWER = "results/smoke/answers/coin/mine/8x8/a"
SENT = "results/smoke/compression/recombined-x/plain/0"


@pytest.mark.parametrize("folder", [ANSWER, SENT])
@pytest.mark.parametrize("how", ["shorter", "flipped", "gone", "more", "unsealed", "unreadable"])
def test_an_output_that_is_a_folder_is_made_again_whole(made, folder, how):
    log = f"logs/{folder.removeprefix('results/')}.log"
    for name in ("code", "run.json", ".snakemake_timestamp"):
        write(Path(folder, name), b"content")
    seal(log, [folder], [], {})
    seal("logs/smoke/score.log", [TABLE], [folder], {})
    os.utime(Path(folder, ".snakemake_timestamp"))  # Snakemake's own
    assert inspect("smoke") == [] and Path(folder).is_dir() and there([TABLE])
    code = Path(folder, "code")
    if how == "shorter":
        os.truncate(code, 3)
    elif how == "flipped":
        code.write_bytes(b"contenT")
    elif how == "gone":
        code.unlink()
    elif how == "more":
        code.with_name("more").write_bytes(b"stranger")
    elif how == "unsealed":
        place(log).unlink()
    else:
        os.truncate(place(log), 9)
    inspect("smoke")
    assert not Path(folder).exists() and there([TABLE]) == [] and there([STAMP]) == [STAMP]


def test_a_seal_that_names_another_file_for_a_curve_is_no_fault_of_the_run(made):
    path = place("logs/smoke/0.log")
    facts = json.loads(path.read_text())
    facts["kept"] = {"results/smoke/recozds/x/curve.parquet": [1, 1, 1, "0" * 64]}
    path.write_text(json.dumps(facts))
    assert [damage.what for damage in inspect("smoke")] == ["is missing"]


def test_rates_and_handed_over_samples_without_a_seal_are_made_again(made):
    rates = "results/smoke/compression/mnist/codecs.csv"
    handed = ["data/prepared/mine/8x8/a.raw", "data/prepared/mine/8x8/a.json"]
    by_hand = ["data/prepared/mine/8x8/a.npz", "data/prepared/mine/8x8/index.tsv"]
    for name in (rates, *handed, *by_hand):
        write(Path(name), b"content")
    inspect("smoke")
    assert there([rates, *handed, *by_hand]) == by_hand


def test_outputs_without_a_seal_are_made_again_and_strangers_files_left(made):
    place("logs/smoke/2.log").unlink()
    write(Path("results/smoke/tables/notes.txt"), b"mine")
    write(Path("results/quick/tables/t.csv"), b"of another scale")
    assert inspect("smoke") == [] and there(made) == [STAMP, VERIFIED]
    assert len(there(["results/smoke/tables/notes.txt", "results/quick/tables/t.csv"])) == 2


def test_files_from_the_future_and_those_made_from_them_get_one_time(made):
    for days, path in enumerate(made):
        os.utime(path, (0, time.time() + (2 - days) * 86400))
    assert inspect("smoke") == [] and there(made) == made
    times = {Path(path).stat().st_mtime for path in made}
    assert len(times) == 1 and abs(times.pop() - time.time()) < 60
    assert inspect("smoke") == [] and there(made) == made


# --- jobs ---------------------------------------------------------------------------------------


IN_A_JOB = """
import os, sys, time
from types import SimpleNamespace
from lossless_inr.jobs import job
with job(SimpleNamespace(log=["logs/smoke/j.log"], input=["in"], output=["out"])) as kept:
    exec(sys.argv[1])
"""


def run_job(tmp_path, body, **variables):
    environment = {k: v for k, v in os.environ.items() if k != WORKFLOW} | variables
    return subprocess.Popen(
        [sys.executable, "-c", IN_A_JOB, body],
        cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_a_job_seals_what_it_wrote(tmp_path):
    (tmp_path / "in").write_text("read")
    os.utime(tmp_path / "in", (0, time.time() + 86400))  # before the clock was set back
    body = "open('out', 'w').write('made'); open('x', 'w'); kept['x'] = '0' * 64"
    process = run_job(tmp_path, body)
    assert (process.communicate()[1], process.returncode) == ("", 0)
    facts = json.loads((tmp_path / "results/.seals/smoke/j.json").read_text())
    assert [facts[key].keys() for key in ("made", "kept", "used")] == [{"out"}, {"x"}, {"in"}]
    assert facts["used"]["in"] == sha256_of(tmp_path / "in")
    assert (tmp_path / "in").stat().st_mtime <= time.time()  # Snakemake would refuse the output


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("ENOSPC", "no space left"), ("EDQUOT", "no space left"), ("EFBIG", "no space left"),
        ("EROFS", "correct the permissions"), ("EACCES", "correct the permissions"),
    ],
)  # fmt: skip
def test_what_a_disk_refuses_is_one_line_and_no_seal(tmp_path, code, words):
    body = f"raise OSError({getattr(errno, code)}, 'no', 'results/x')"
    process = run_job(tmp_path, body)
    told = process.communicate()[1]
    assert process.returncode == 1
    assert told.startswith("error: results/x: ") and words in told and told.count("\n") == 1
    assert not (tmp_path / "results").exists()


# A Snakemake, as far as a job sees it.
WORKFLOW_OF_A_JOB = """
import os, subprocess, sys
os.environ[sys.argv[1]] = str(os.getpid())
print(subprocess.Popen([sys.executable, "-c", *sys.argv[2:]]).pid, flush=True)
input()
"""


def test_a_job_ends_soon_after_the_workflow_that_started_it(tmp_path):
    log = tmp_path / "logs/smoke/j.log"
    body = "print('runs', file=sys.stderr, flush=True); time.sleep(100)"
    workflow = subprocess.Popen(
        [sys.executable, "-c", WORKFLOW_OF_A_JOB, WORKFLOW, IN_A_JOB, body],
        cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    job = psutil.Process(int(workflow.stdout.readline()))
    try:
        while not log.exists() or "runs" not in log.read_text():
            time.sleep(0.01)
        time.sleep(1.2)
        assert job.is_running()  # while the workflow lives, so does the job
        workflow.kill()
        told = workflow.communicate(timeout=60)[1]
        assert told.startswith("interrupted; ")
        psutil.wait_procs([job], timeout=60)
        assert not job.is_running() or job.status() == psutil.STATUS_ZOMBIE
    finally:
        workflow.kill()
        if job.is_running():
            job.kill()


def test_a_workflow_on_another_machine_is_not_waited_for(tmp_path):
    body = "time.sleep(1.5); open('out', 'w')"
    process = run_job(tmp_path, body, **{WORKFLOW: "999999999"})
    assert (process.communicate()[1], process.returncode) == ("", 0)


def test_packs_are_looked_into_once_however_many_curves_they_hold(made, monkeypatch):
    """Or the start of a run would take fits times shards."""
    kept = {f"results/smoke/records/{k}/curve.parquet": f"{k:064x}" for k in range(50)}
    for path in kept:
        write(Path(path), b"curve")
    seal("logs/smoke/curves.log", [], [], kept)
    for path in kept:
        Path(path).unlink()
    asked = []
    monkeypatch.setattr(
        packs, "curves", lambda results: asked.append(results) or frozenset(kept.values())
    )
    assert inspect("smoke") == []
    assert asked == [Path("results/smoke")]
