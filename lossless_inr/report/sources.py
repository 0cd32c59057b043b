"""Digest of the sources that lay out tables, figures and the report.

Snakemake's code trigger sees a script, not the modules it imports. These digests make an edit
of the layout redo the layout, and nothing else.
"""

from __future__ import annotations

from lossless_inr.fitting.digests import of_files
from lossless_inr.registry import PACKAGE

_STAGES = {
    "collect": ["experiments/tables.py", "fitting/packs.py", "fitting/record.py"],
    "tables": ["experiments/tables.py", "analysis/statistics.py", "metrics/quality.py"],
    "figures": [
        "experiments/figures/*.py",
        "experiments/tables.py",
        "analysis/bound.py",
        "analysis/statistics.py",
        "metrics/quality.py",
    ],
    "rate": ["baselines/*.py", "codecs/*.py", "metrics/*.py"],
    "rates": [
        *("compression/rates.py", "compression/images.py", "compression/interval.py"),
        *("coder/*.py", "codecs/*.py"),
    ],
    "rate-tables": ["compression/*.py", "metrics/*.py", "published/*"],
    "recombiner": ["recombiner/*.py", "compression/recombined.py", "metrics/*.py"],
    "speech": ["speech/*.py", "metrics/floats.py"],
    "expansion": ["expansion/*.py", "metrics/*.py", "analysis/formulas.py"],
    "report": [
        "report/*.py",
        "analysis/*.py",
        "report/templates/*",
        "published/*",
        "experiments/tables.py",
        "expansion/*.py",
        "speech/rates.py",
        "speech/summary.py",
    ],
}


def report_digest(stage: str) -> str:
    """sha256 over the sources of a stage, e.g. `collect`, `tables` or `report`."""
    found = (path for pattern in _STAGES[stage] for path in PACKAGE.glob(pattern))
    # `published/*` finds the interpreter's `__pycache__` as well.
    return of_files(sorted(path for path in found if path.is_file()))
