"""A fit that another scale has finished is the same fit: its files are taken over."""

from __future__ import annotations

import glob
import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from lossless_inr.files import replacing
from lossless_inr.fitting import packs
from lossless_inr.fitting.kept import finished
from lossless_inr.fitting.record import FitSpec, Record


def elsewhere(results: Path, spec: FitSpec) -> Iterator[Path]:
    """Folders of this fit at other scales, `results` being that of one scale."""
    results = Path(results)
    for path in sorted(results.parent.glob(f"*/{glob.escape(spec.folder)}/record.json")):
        if path.parent != results / spec.folder:
            yield path.parent


def take_over(results: Path, spec: FitSpec, signal_sha256: str) -> Record | None:
    """The record of a fit that another scale has finished, with its files copied here.

    Parameters
    ----------
    results : Path
        `results/<scale>`; the others lie beside it.
    spec : FitSpec
    signal_sha256 : str
        Of the prepared samples: a record of other samples or other code does not count.

    Returns
    -------
    Record or None
        None if no other scale has it.
    """
    for folder in elsewhere(results, spec):
        record, _ = finished(folder, spec, signal_sha256)
        if record is None:
            continue
        target = Path(results) / spec.folder
        scale = folder.parents[len(Path(spec.folder).parts) - 1]
        if not (folder / packs.CURVE).is_file() and packs.CURVE in (record.files or {}):
            curve = packs.unpack(scale, record)
            # Its pack there says that it has it, and is damaged.
            if curve is None or hashlib.sha256(curve).hexdigest() != record.files[packs.CURVE]:
                continue
            with replacing(target / packs.CURVE) as copy:
                copy.write(curve)
        # The record last, as when a fit ends: where it exists, the fit is finished.
        files = [path for path in folder.iterdir() if path.is_file() and path.name[0] != "."]
        for path in sorted(files, key=lambda path: path.name == "record.json"):
            with open(path, "rb") as content, replacing(target / path.name) as copy:
                shutil.copyfileobj(content, copy)
        return record
    return None
