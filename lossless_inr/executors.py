"""Executors for clusters: found by Snakemake, or named as missing before it runs."""

from __future__ import annotations

import importlib.util
import itertools
import os
from pathlib import Path

from lossless_inr.errors import UserError
from lossless_inr.schema import read_yaml

# A folder per plug-in of Snakemake's; in it, what this project changes of the plug-in.
FOLDER = Path("profiles/executors")
PREFIX = "snakemake_executor_plugin_"


def search_path(root: Path = Path(".")) -> list[str]:
    """Folders of this project's executors whose plug-in is installed."""
    return [
        str(folder.resolve())
        for folder in sorted((root / FOLDER).glob("*"))
        if folder.is_dir() and importlib.util.find_spec(PREFIX + folder.name)
    ]


def offer(arguments: list[str], root: Path = Path(".")) -> None:
    """Put the executors on PYTHONPATH, for a Snakemake with these arguments.

    Raises
    ------
    UserError
        If the profile among the arguments needs a plug-in that is not installed.
    """
    known = {
        path.parent.name.removeprefix(PREFIX).replace("_", "-"): path.parent.parent.name
        for path in (root / FOLDER).glob(f"*/{PREFIX}*/__init__.py")
    }
    for option, value in itertools.pairwise(arguments):
        profile = root / value / "config.yaml"
        if option in ("--workflow-profile", "--profile") and profile.is_file():
            executor = (read_yaml(profile) or {}).get("executor", "")
            plugin = PREFIX + known.get(executor, executor).replace("-", "_")
            if executor not in ("", "local") and importlib.util.find_spec(plugin) is None:
                raise UserError(
                    f"{profile}: executor '{executor}' needs {plugin.replace('_', '-')}, which is "
                    "not installed; install this project with its extra: pip install -c "
                    "constraints.txt -e '.[cluster]'"
                )
    paths = [*search_path(root), *filter(None, [os.environ.get("PYTHONPATH")])]
    if paths:
        os.environ["PYTHONPATH"] = os.pathsep.join(paths)
