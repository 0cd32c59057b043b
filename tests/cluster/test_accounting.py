"""The profile for a Slurm with accounting: jobs are charged, and the accounts may be away."""

import pytest
from accounting import ACCOUNT, PACKAGES, PROGRAMS, AccountedSlurm
from comparing import counted_once
from harness import Project
from loopback import NODES, install
from running import PACE, ClusterRun, results_of

pytestmark = pytest.mark.cluster
UNSET = "  # slurm_account: my-project     # HERE, where jobs are charged to an account"


@pytest.fixture
def accounted(tmp_path, slurm_is_here):
    if why := install(PROGRAMS, PACKAGES):
        pytest.skip(why)
    with AccountedSlurm(tmp_path / "slurm", NODES) as cluster:
        yield cluster


def test_smoke_fits_through_a_slurm_with_accounting(project: Project, accounted, count):
    project.replace("profiles/slurm/config.yaml", UNSET, f"  slurm_account: {ACCOUNT}")
    profile = ["--workflow-profile", "profiles/slurm", *PACE]
    with ClusterRun(
        project, accounted, "config/smoke.yaml", *profile, options=("--only", "figure9")
    ) as run:
        run.until(lambda: run.running("fit"), "a shard runs", 200)
        accounted.stop_accounting(25)
        assert run.wait(400) == 0, run.tail()
    counted_once(results_of(project, "smoke"), 6)
    jobs = accounted.accounted()
    assert {(job["State"], job["Account"]) for job in jobs} == {("COMPLETED", ACCOUNT)}
    gpus = {(job["Partition"], "gres/gpu=1" in job["AllocTRES"]) for job in jobs}
    assert gpus == {("gpu", True), ("cpu", False)} and len(jobs) == 4
    count("accounting: 6 fits in 4 jobs, all charged to their account, accounts away for 25 s")
