"""Jobs as Snakemake submits them to Kubernetes: the real executor and client, without a cluster.

An API server that is not one checks each against the API's published schema, and runs its command.
"""

import copy

import pytest
from comparing import counted_once
from harness import Project
from kubernetes_api import Api, against_schema, beyond_schema
from running import results_of

pytestmark = pytest.mark.cluster
CLAIM = "lossless-inr:/lossless-inr"


@pytest.fixture
def api(tmp_path):
    with Api(tmp_path / "api") as server:
        yield server


def gpus_of(job: dict) -> str | None:
    (container,) = job["spec"]["template"]["spec"]["containers"]
    return container["resources"]["limits"].get("nvidia.com/gpu")


def test_smoke_fits_through_the_kubernetes_executor(project: Project, api, count):
    # The volume's path is this project's folder, here as it would be in the pods.
    project.replace("profiles/kubernetes/config.yaml", CLAIM, f"lossless-inr:{project.folder}")
    project.environment["KUBECONFIG"] = str(api.client())
    profile = ["--workflow-profile", "profiles/kubernetes", "--latency-wait", "10"]
    code, output = project.run(*profile, options=("--only", "figure9"))
    assert api.problems == []
    assert code == 0, output + api.logs()
    counted_once(results_of(project, "smoke"), 6)
    gpus = [gpus_of(job) for job in api.jobs.values()]
    assert sorted(gpus, key=str) == ["1", "1", None, None]  # two shards, two verifications
    (container,) = next(iter(api.jobs.values()))["spec"]["template"]["spec"]["containers"]
    assert {"mountPath": str(project.folder), "name": "lossless-inr"} in container["volumeMounts"]
    count(f"kubernetes: {len(api.jobs)} job specs valid, their commands gave 6 fits")

    # The checks can fail.
    job = next(job for job in api.jobs.values() if gpus_of(job))
    wrong = copy.deepcopy(job)
    wrong["spec"]["template"]["spec"]["containers"][0]["volumeMount"] = []
    assert against_schema(job) == [] and against_schema(wrong)
    unlimited = copy.deepcopy(job)
    del unlimited["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert beyond_schema(job) == [] and beyond_schema(unlimited)
