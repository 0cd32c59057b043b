"""The contract of a plug-in, tried in a process of its own: whatever it does harms nobody."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from lossless_inr import registry

# Seconds for one plug-in, the import of torch included.
LIMIT = 120


def in_own_process(kind: str, name: str, limit: float = LIMIT) -> str:
    """What a plug-in does not keep of its contract (`extend.contract`), or "".

    Parameters
    ----------
    kind : {"network", "representation"}
    name : str
    limit : float
        Seconds.

    Returns
    -------
    str
        What is wrong, or "".
    """
    if fault := registry.fault(kind, name):
        return fault
    try:
        done = subprocess.run(
            [sys.executable, "-m", "lossless_inr.extend.contract", kind, name],
            capture_output=True, text=True, timeout=limit, env=os.environ, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"{registry.path(kind, name)}: not done after {limit:g} s"
    try:
        return json.loads(done.stdout.splitlines()[-1])["fault"]
    except (IndexError, ValueError, KeyError, TypeError):
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        return f"{registry.path(kind, name)}: ended with code {done.returncode}: {last}"
