"""The quick scale through a real Slurm, while it is disturbed as clusters are over days.

A running shard is cancelled, another hangs and is over its time limit, a node is drained, the
controller is away for a while and later crashes. The tables are those of an undisturbed local run.
"""

import time
from datetime import datetime

import pytest
from comparing import counted_once, differences
from harness import Project
from running import PACE, ClusterRun, few_programs, partitions, results_of, run_locally

pytestmark = pytest.mark.cluster
PROFILE = ["--workflow-profile", "profiles/slurm-squeue"]
# Few shards: each is long enough to be met while it runs.
QUICK = "scale: quick\nfit: {device: cpu, shards: 6}\n"
CONFIG = "config/quick.yaml"
# What Slurm's controller may have promised to remember and has not yet written, in seconds.
UNSAVED = 8
SHARDS = 6


def disturb(run: ClusterRun) -> dict[str, str]:
    """Everything that happens to the run; Slurm's ids of the jobs it happened to."""
    slurm, hit = run.slurm, {}

    def two_shards_and_a_fit() -> bool:
        return len(run.running("fit")) >= 2 and bool(run.project.records())

    run.until(two_shards_and_a_fit, "two shards run, and a fit is finished", 300)
    late, victim, *_ = run.running("fit")
    # Whether it would take longer than Slurm's shortest limit is a matter of the machine.
    run.hang(late["id"])
    slurm.command("scontrol", "update", f"JobId={late['id']}", "TimeLimit=1")
    hit["TIMEOUT"] = late["id"]
    slurm.command("scancel", victim["id"])
    hit["CANCELLED"] = victim["id"]

    # A node whose job goes on; no other may follow it there.
    def others() -> list[dict[str, str]]:
        return [job for job in run.running("fit") if job["id"] not in hit.values()]

    drained = run.until(others, "a shard runs that nothing happened to", 120)[0]
    slurm.command("scontrol", "update", f"NodeName={drained['node']}", "State=DRAIN", "Reason=test")
    hit["drained"], hit["node"] = drained["id"], drained["node"]
    hit["drained at"] = datetime.now().isoformat()

    time.sleep(UNSAVED)
    slurm.stop_controller(kill=False)
    time.sleep(25)  # longer than one question of squeue, and than one of sbatch
    slurm.start_controller()

    # A crash as well, when it has nothing to forget: a job's end that it forgets is one that this
    # Slurm believes to run for ever.
    run.until(lambda: others() and slurm.quiet_for() > UNSAVED, "shards run in a quiet moment", 240)
    slurm.stop_controller(kill=True)
    slurm.start_controller()
    return hit


def test_quick_scale_through_a_disturbed_slurm_equals_a_local_run(tmp_path, project, slurm, count):
    local = Project(tmp_path / "local")
    for one in (project, local):
        one.write(CONFIG, QUICK)
        few_programs(one)
    with ClusterRun(project, slurm, CONFIG, *PROFILE, *PACE) as run:
        hit = disturb(run)
        before = project.records()
        assert run.wait(900) == 0, run.tail()
    count("quick, disturbed: done")

    jobs = {job["JobId"]: job for job in slurm.ended()}
    for state in ("TIMEOUT", "CANCELLED"):
        assert jobs[hit[state]]["JobState"] == state
    ended = [job["JobState"] for job in jobs.values()]
    assert (ended.count("TIMEOUT"), ended.count("CANCELLED")) == (1, 1)
    # A job whose step is just being started while the controller is away fails; nothing else does.
    failed = [job for job in jobs if jobs[job]["JobState"] == "FAILED"]
    assert set(ended) <= {"TIMEOUT", "CANCELLED", "COMPLETED", "FAILED"}
    assert all("Unable to contact slurm controller" in run.log_of(job) for job in failed)
    # The drained node's own job was allowed to end; nothing started there afterwards.
    assert slurm.states()[hit["node"]] == "DRAINED"
    assert jobs[hit["drained"]]["JobState"] == "COMPLETED"
    there = [job for job in jobs.values() if job["NodeList"] == hit["node"]]
    assert all(job["StartTime"] < hit["drained at"] for job in there)
    assert partitions(list(jobs.values()), slurm) == {True: {"gpu"}, False: {"cpu"}}
    shards = [job for job in jobs if slurm.asked_for_gpu(job)]
    assert len(shards) == SHARDS + 2 + sum(job in shards for job in failed)
    # No fit that was finished then ran again.
    after = project.records()
    assert {path: after[path] for path in before} == before

    run_locally(local, CONFIG, 900)
    found, expected = results_of(project, "quick"), results_of(local, "quick")
    assert differences(found, expected) == []
    fits = len(local.records())
    counted_once(found, fits)
    count(
        f"quick: {fits} fits, each once, in {len(jobs)} jobs, {len(shards)} of them shards: 1 "
        "cancelled, 1 hung and over its time, a node drained, the controller away and crashed; "
        f"{len(before)} fits finished before that were kept; tables equal a local run's"
    )
