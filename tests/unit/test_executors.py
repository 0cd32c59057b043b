"""Profiles for clusters: complete, alike, and missing plug-ins named before Snakemake runs."""

import importlib.util
import os

import pytest

from lossless_inr import executors
from lossless_inr.errors import UserError
from lossless_inr.schema import read_yaml

CLUSTERS = ["slurm", "slurm-squeue", "cluster-generic", "kubernetes"]


@pytest.fixture
def installed(monkeypatch):
    """Pretend that these modules are installed, and no other."""
    names: set[str] = set()
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: object() if name in names else None
    )
    monkeypatch.delenv("PYTHONPATH", raising=False)
    return names


@pytest.mark.parametrize("profile", CLUSTERS)
def test_a_missing_plugin_is_one_line_that_says_what_to_install(root, installed, profile):
    with pytest.raises(UserError, match=r"needs snakemake-executor-plugin-\w+.*\[cluster\]"):
        executors.offer(["--workflow-profile", f"profiles/{profile}"], root)


def test_executors_whose_plugin_is_installed_are_on_the_path(root, installed):
    executors.offer(["-n"], root)
    assert "PYTHONPATH" not in os.environ
    installed.add("snakemake_executor_plugin_slurm")
    executors.offer(["--workflow-profile", "profiles/slurm"], root)
    assert os.environ["PYTHONPATH"] == str(root / "profiles/executors/slurm")


def test_the_default_profile_needs_no_plugin(root, installed):
    executors.offer(["--workflow-profile", "profiles/default"], root)


@pytest.mark.parametrize("profile", CLUSTERS)
def test_every_profile_retries_with_more_memory_and_gives_fits_a_gpu(root, profile):
    settings = read_yaml(root / f"profiles/{profile}/config.yaml")
    assert settings["retries"] >= 1
    assert settings["keep-going"] and settings["rerun-incomplete"]
    assert settings["default-resources"]["mem_mb"].startswith("attempt * ")
    fit = settings["set-resources"]["fit"]
    assert fit["gpu"] == 1 and fit["mem_mb"].startswith("attempt * ")


def test_the_two_slurm_profiles_differ_in_how_they_ask_after_jobs_alone(root):
    one, other = (read_yaml(root / f"profiles/{name}/config.yaml") for name in CLUSTERS[:2])
    differing = {key for key in one | other if one.get(key) != other.get(key)}
    assert differing == {"slurm-steady-status-command"}
    assert (
        one["default-resources"]["slurm_partition"]
        != one["set-resources"]["fit"]["slurm_partition"]
    )


def test_no_rule_has_retries_of_its_own(root):
    """They would be honoured again inside a cluster's job."""
    rules = (root / "workflow/rules").rglob("*.smk")
    assert not [p.name for p in rules if "retries:" in p.read_text()]
