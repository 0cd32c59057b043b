"""Prepared signals as the workflow's scripts take them. Imports no torch."""

from __future__ import annotations

from pathlib import Path

from lossless_inr.errors import UserError
from lossless_inr.signals import Signal


def of_workflow(name: str, folder: Path = Path("data/prepared")) -> Signal:
    """Load a signal that the workflow has prepared; a damaged one is removed.

    Parameters
    ----------
    name : str
        As `set/size/name`.
    folder : Path, optional

    Raises
    ------
    UserError
        If it is missing or damaged; the next run prepares it again.
    """
    path = folder / f"{name}.npz"
    try:
        return Signal.load(path)
    except UserError:
        if not path.exists():
            raise
        path.unlink()
        raise UserError(
            f"{path}: damaged, and removed; the same command prepares it again"
        ) from None
