"""The profile for any other scheduler: its scripts for PBS, over a real Slurm.

`qsub` is Debian's, which submits to Slurm. Its `qstat` leaves out the exit status that PBS prints;
the one here asks Slurm and prints both.
"""

import os

import pytest
from comparing import counted_once
from harness import Project
from loopback import PBS, install
from running import ClusterRun, partitions, results_of

pytestmark = pytest.mark.cluster
QSTAT = """\
#!/bin/sh
job=$(scontrol show job "$2") || { echo "qstat: Unknown Job Id $2"; exit 153; }
case "$job" in
*JobState=COMPLETED*) echo "    job_state = C"; echo "    exit_status = 0" ;;
*JobState=PENDING*) echo "    job_state = Q" ;;
*JobState=RUNNING* | *JobState=COMPLETING*) echo "    job_state = R" ;;
*) echo "    job_state = C"; echo "    exit_status = 271" ;;
esac
"""


@pytest.fixture
def pbs(slurm_is_here) -> None:
    if why := install(PBS, ("slurm-wlm-torque",)):
        pytest.skip(why)


def test_smoke_fits_through_scripts_for_pbs(tmp_path, project: Project, slurm, pbs, count):
    qstat = project.write("bin/qstat", QSTAT)
    qstat.chmod(0o755)
    project.environment["PATH"] = f"{qstat.parent}{os.pathsep}{os.environ['PATH']}"
    pace = ["--seconds-between-status-checks", "2", "--latency-wait", "10"]
    profile = ["--workflow-profile", "profiles/cluster-generic", *pace]
    with ClusterRun(
        project, slurm, "config/smoke.yaml", *profile, options=("--only", "figure9")
    ) as run:
        # One of the shards is deleted while it runs; it is submitted again.
        run.until(lambda: run.on("gpu"), "a shard runs", 200)
        deleted = run.on("gpu")[0]["id"]
        slurm.command("scancel", deleted)
        assert run.wait(400) == 0, run.tail()
    counted_once(results_of(project, "smoke"), 6)
    jobs = {job["JobId"]: job for job in slurm.ended()}
    assert jobs.pop(deleted)["JobState"] == "CANCELLED"
    assert {job["JobState"] for job in jobs.values()} == {"COMPLETED"} and len(jobs) == 4
    assert partitions(list(jobs.values()), slurm) == {True: {"gpu"}, False: {"cpu"}}
    count("generic: 6 fits through qsub, a running shard deleted; 5 jobs")
