"""A controller that crashes and forgets its jobs; Snakemake's own executor waits for ever."""

import pytest
from comparing import counted_once
from harness import Project
from running import PACE, ClusterRun, results_of

pytestmark = pytest.mark.cluster


def test_forgotten_jobs_are_submitted_again(project: Project, slurm, count):
    profile = ["--workflow-profile", "profiles/slurm-squeue", *PACE]
    with ClusterRun(
        project, slurm, "config/smoke.yaml", *profile, options=("--only", "figure9")
    ) as run:
        run.until(lambda: len(slurm.jobs()) == 2, "both shards are submitted", 200)
        lost = {job["id"] for job in slurm.jobs()}
        slurm.stop_controller(kill=True)
        slurm.forget_jobs()
        slurm.start_controller()
        assert slurm.jobs() == []
        assert run.wait(400) == 0, run.tail()
    counted_once(results_of(project, "smoke"), 6)
    for job in lost:
        assert f"no longer knows job {job}" in run.log.read_text()
    # Second attempts have twice the time of the profile.
    limits = [job["TimeLimit"] for job in slurm.ended() if job["Partition"] == "gpu"]
    assert limits == ["480", "480"]
    count(f"forgotten: {len(lost)} jobs that the controller forgot, submitted again; 6 fits")
