"""Whether what is kept of a finished fit is still what the fit wrote. Imports no torch."""

from __future__ import annotations

from pathlib import Path

from lossless_inr.errors import UserError
from lossless_inr.files import sha256_of
from lossless_inr.fitting import packs
from lossless_inr.fitting.record import FitSpec, Record


def damage(folder: Path, record: Record) -> str | None:
    """The first file beside a record that is missing or is not what the fit wrote.

    A curve may be in a pack instead.

    Parameters
    ----------
    folder : Path
        The fit's own.
    record : Record

    Returns
    -------
    str or None
        File and fault in words; None if every file is as it was, or if the record is from before
        digests of files were noted.
    """
    for name, digest in (record.files or {}).items():
        path = Path(folder) / name
        try:
            found = sha256_of(path)
        except FileNotFoundError:
            own = Path(record.spec.folder).parts
            packed = name == packs.CURVE and path.parent.parts[-len(own) :] == own
            if packed and packs.holds(path.parents[len(own)], digest):
                continue
            return f"{path}: is missing"
        except OSError as error:
            return f"{path}: cannot be read ({error.strerror})"
        if found != digest:
            return f"{path}: is not what the fit wrote (its digest differs)"
    return None


def finished(folder: Path, spec: FitSpec, signal_sha256: str) -> tuple[Record | None, str]:
    """The record of a fit that is finished and whole.

    Returns
    -------
    record : Record or None
        None if it must be fitted (again).
    why : str
        Why it must be fitted again, if something that was kept is damaged; else "".
    """
    try:
        record = Record.load(Path(folder) / "record.json")
    except UserError as error:
        there = (Path(folder) / "record.json").exists()
        return None, str(error).partition("; delete it")[0] if there else ""
    # Without digests of its files, nothing tells a whole fit from a damaged one.
    if record.files is None or not record.is_current(spec, signal_sha256):
        return None, ""
    why = damage(folder, record)
    return (None, why) if why else (record, "")
