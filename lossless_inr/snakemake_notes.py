"""Snakemake's notes of what made each file: where they lie, and damaged ones. Imports no torch."""

from __future__ import annotations

import functools
import hashlib
import os

NOTES = "metadata"


def in_folders() -> None:
    """Let this process' Snakemake keep its notes of outputs in `.snakemake/metadata/<00..ff>/`.

    A damaged note is none, whatever is wrong with it: Snakemake knows only of those that are cut
    short, and one with a flipped bit would end every run.

    Snakemake writes a file for every declared output, of every scale that ran here, and all into
    one folder: 2,345 at ten thousand fits. A note that lies there already stays where it is.

    Its other backend (`--persistence-backend db`) would be one SQLite file instead, which needs
    locks that network file systems may lack, is opened by every job of a cluster, and turns
    synchronous writes off there: a power cut could take every note at once.

    Notes of unfinished outputs (`incomplete`) stay in one folder: there are as many as jobs
    run, several processes write them, and Snakemake removes the folders that it finds empty.

    Notes
    -----
    There is no setting for it, so this replaces private methods of Snakemake >= 9.17. Before,
    or should they go, notes lie in one folder as ever; `tests/workflow/test_run.py` tells.
    """
    try:
        from snakemake.persistence import MetadataRecord
        from snakemake.persistence.file import FilePersistence
    except ImportError:
        return
    flat = getattr(FilePersistence, "_record_path", None)
    read = getattr(FilePersistence, "_io_read", None)
    if flat is None or read is None or hasattr(flat, "__wrapped__"):  # the Snakefile is read twice
        return

    @functools.wraps(flat)
    def path(self, subject: str, id: str) -> str:
        found = flat(self, subject, id)
        if os.path.basename(subject) != NOTES or os.path.exists(found):
            return found
        level = hashlib.sha256(id.encode()).hexdigest()[:2]
        return os.path.join(subject, level, os.path.relpath(found, subject))

    @functools.wraps(read)
    def sound(self, subject: str, id: str) -> dict:
        try:
            note = read(self, subject, id)
            if os.path.basename(subject) == NOTES and note:
                MetadataRecord.model_validate(note)
            return note if isinstance(note, dict) else {}
        except ValueError:
            return {}

    FilePersistence._record_path, FilePersistence._io_read = path, sound
