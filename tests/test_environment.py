"""pyproject.toml, environment.yml and constraints.txt describe one environment."""

import os
import re
import subprocess
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from lossless_inr.schema import read_yaml

# conda-forge's names for packages that PyPI calls otherwise.
CONDA_NAMES = {"torch": "pytorch", "soundfile": "pysoundfile"}
CLIENT = ["snakemake", "torch", "numpy", "pandas", "scikit-image", "soundfile", "seaborn", "jinja2"]


@pytest.fixture(scope="module")
def requirements(root):
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    parsed = [Requirement(text) for text in project["dependencies"]]
    return {r.name.lower(): str(r.specifier) for r in parsed}, project


def test_environment_yml_lists_the_same_packages_and_bounds(requirements, root):
    wanted, project = requirements
    listed = {}
    for item in read_yaml(root / "environment.yml")["dependencies"]:
        for text in item["pip"] if isinstance(item, dict) else [item]:
            parsed = Requirement(text)
            listed[parsed.name.lower()] = str(parsed.specifier)
    assert listed.pop("python") == project["requires-python"]
    listed.pop("pip")
    assert listed == {CONDA_NAMES.get(name, name): bound for name, bound in wanted.items()}


def test_the_packages_fixed_by_the_client_are_required(requirements):
    assert set(CLIENT) <= set(requirements[0])


def test_constraints_lock_every_requirement_to_a_public_version(requirements, root):
    text = (root / "constraints.txt").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][A-Za-z0-9.]*", line) for line in lines), lines
    locked = {n.lower().replace("_", "-"): v for n, v in (line.split("==") for line in lines)}
    assert locked["torch"] == "2.13.0"
    project = requirements[1]
    extras = project["optional-dependencies"]
    every = project["dependencies"] + extras["dev"] + extras["cluster"]
    for requirement in map(Requirement, every):
        assert Version(locked[requirement.name.lower()]) in requirement.specifier


def test_make_help_lists_every_target(root):
    makefile = (root / "Makefile").read_text()
    targets = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[1].split()
    # Inside `make test` the inner make would announce its folder.
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    shown = subprocess.run(
        ["make", "help"], cwd=root, env=environment, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert [line.split()[1] for line in shown] == targets
    assert all(len(line.split()) > 3 for line in shown)


def test_nothing_in_the_tree_needs_the_shared_folder_or_names_this_machine(root):
    files = subprocess.run(
        ["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    for name in filter(None, files):
        text = (root / name).read_bytes()
        assert "/".join(["..", "shared"]).encode() not in text, name
        assert not re.search(rb"/(w[o]rk|f[a]rm|r[o]ot)/", text) or name == "constraints.txt", name


def test_the_image_installs_what_is_locked_and_declared(root):
    text = (root / "container/install.sh").read_text()
    assert "-c constraints.txt" in text and "-e '.[cluster]'" in text
    for recipe in ("Dockerfile", "lossless-inr.def"):
        lines = (root / "container" / recipe).read_text()
        assert "sh container/install.sh" in lines and "debian:12-slim" in lines
