"""Records of several machines, joined. Imports no torch."""

from __future__ import annotations

from pathlib import Path

from lossless_inr.errors import UserError
from lossless_inr.experiments import reference
from lossless_inr.experiments.reference import Entry
from lossless_inr.sharing.archive import opened

# Conflicts told before the rest is counted.
SHOWN = 5


def entries_of(source: Path) -> list[Entry]:
    """Records and verdicts of a `results/<scale>`, a folder of `keep` or `merge`, or an archive.

    Raises
    ------
    UserError
        If it is none of these, or damaged.
    """
    source = Path(source)
    if source.suffix == ".zip":
        with opened(source) as payload:
            return reference.read(payload / "records.jsonl")
    if (source / "records.jsonl").is_file():
        return reference.read(source / "records.jsonl")
    if (source / "verified").is_dir():
        return reference.of_results(source)
    raise UserError(
        f"{source}: no records; name a results/<scale>, a folder with records.jsonl, or an archive"
    )


def outcome(entry: Entry) -> tuple:
    """What two runs of one fit, on machines that compute alike, agree in."""
    record = entry.record
    last = record.last.model_dump() if record.last else None
    return record.status, record.iterations, last, entry.verdict.verified


def joined(sources: dict[str, list[Entry]]) -> tuple[list[Entry], list[str]]:
    """All fits of several sources, each once.

    Parameters
    ----------
    sources : dict of str to list of Entry
        Name -> entries; of one fit on one kind of device that came out differently, the first
        source's counts.

    Returns
    -------
    entries : list of Entry
    notes : list of str
        A line for each fit that came out differently.

    Raises
    ------
    UserError
        If one fit was made by different code, or from different samples.
    """
    found: dict[tuple[str, str], tuple[str, Entry]] = {}
    conflicts, notes = [], []
    for name, entries in sources.items():
        for entry in entries:
            first, known = found.setdefault(entry.key, (name, entry))
            if known is entry:
                continue
            fit = entry.record.spec.folder
            for what, key in (("code", "code_digest"), ("samples", "signal_sha256")):
                if getattr(known.record, key) != getattr(entry.record, key):
                    conflicts.append(f"{fit}: other {what} in {first} and in {name}")
            if outcome(known) != outcome(entry):
                counts = [f"{e.record.status} at {e.record.iterations}" for e in (known, entry)]
                notes.append(f"{fit}: {counts[0]} in {first}, which counts; {counts[1]} in {name}")
    if conflicts:
        more = f" (and {len(conflicts) - SHOWN} more)" if len(conflicts) > SHOWN else ""
        raise UserError(f"nothing is written: {'; '.join(conflicts[:SHOWN])}{more}")
    return [entry for _, entry in found.values()], notes


def merge(sources: list[Path], output: Path) -> tuple[list[Entry], list[str]]:
    """Join sources into `output/records.jsonl` and `output/summary.csv`; see `joined`.

    What `output` holds already counts as the first source.
    """
    named = {str(source): entries_of(source) for source in sources}
    if (output / "records.jsonl").is_file():
        named = {str(output): entries_of(output)} | named
    entries, notes = joined(named)
    return reference.merge(entries, output), notes
