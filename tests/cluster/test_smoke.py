"""The short form: the smoke scale through a real Slurm, compared with a local run."""

import pytest
from comparing import counted_once, differences
from harness import Project
from running import PACE, ClusterRun, few_programs, partitions, results_of, run_locally

pytestmark = pytest.mark.cluster
PROFILE = ["--workflow-profile", "profiles/slurm-squeue"]


def test_smoke_scale_through_slurm_equals_a_local_run(tmp_path, project, slurm, count):
    local = Project(tmp_path / "local")
    for one in (project, local):
        few_programs(one)
    with ClusterRun(project, slurm, "config/smoke.yaml", *PROFILE, *PACE) as run:
        assert run.wait(420) == 0, run.tail()
    run_locally(local, "config/smoke.yaml", 300)
    found, expected = results_of(project, "smoke"), results_of(local, "smoke")
    assert differences(found, expected) == []
    fits = len(list(expected.glob("records/**/record.json")))
    counted_once(found, fits)
    jobs = slurm.ended()
    assert {job["JobState"] for job in jobs} == {"COMPLETED"}
    # Two shards on GPU nodes; verification and the outside program on CPU nodes.
    assert partitions(jobs, slurm) == {True: {"gpu"}, False: {"cpu"}}
    assert sum(slurm.asked_for_gpu(job["JobId"]) for job in jobs) == 2
    count(f"smoke: {fits} fits in {len(jobs)} Slurm jobs, tables equal a local run's")
