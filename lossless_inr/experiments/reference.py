"""Committed results, `results/reference/<scale>/`: records and verdicts without weights or curves.

`records.jsonl` holds one fit a line, `summary.csv` the same fits as a small table, `tables/` the
tables of the run. Imports no torch.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from lossless_inr.errors import UserError
from lossless_inr.fitting import digests
from lossless_inr.fitting.record import SCHEMA_VERSION, Record, Verdict
from lossless_inr.schema import Strict, validate


class Entry(Strict):
    """One fit and what came of decoding its saved weights in a fresh process."""

    record: Record
    verdict: Verdict

    @property
    def key(self) -> tuple[str, str]:
        """What makes two records answers to one question: the fit and the kind of device."""
        return self.record.spec_digest, self.record.provenance.get("device", "")

    @property
    def line(self) -> str:
        """The entry as a line of `records.jsonl`."""
        return json.dumps(self.model_dump(), sort_keys=True, allow_nan=False) + "\n"


def read(path: Path) -> list[Entry]:
    """Entries of a `records.jsonl`; none if there is no such file.

    Raises
    ------
    UserError
        For a damaged line, a record of another schema version, a verdict on another record, or
        two records of one fit on one kind of device; with the line.
    """
    path = Path(path)
    if not path.is_file():
        return []
    entries: dict[tuple[str, str], int] = {}
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        where = f"{path}, line {number}"
        try:
            data = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{where}: damaged ({error}); restore the file") from None
        record = data.get("record", {}) if isinstance(data, dict) else {}
        version = record.get("schema_version") if isinstance(record, dict) else None
        if version != SCHEMA_VERSION:
            raise UserError(f"{where}: schema version {version}, expected {SCHEMA_VERSION}")
        entry = validate(Entry, data, where)
        if entry.verdict.record_digest != digests.of_json(entry.record.model_dump()):
            raise UserError(f"{where}: the verdict is about another record")
        if entry.key in entries:
            raise UserError(
                f"{where}: a second record of {entry.record.spec.folder} (the first is line "
                f"{entries[entry.key]}); delete one"
            )
        entries[entry.key] = number
        found.append(entry)
    return found


def of_results(results: Path) -> list[Entry]:
    """Entries of `results/<scale>`, of the fits that its last run verified.

    Raises
    ------
    UserError
        If nothing was verified there yet.
    """
    stamps = sorted((Path(results) / "verified").glob("*.json"))
    if not stamps:
        raise UserError(f"{results}: no verified fits; run the scale first")
    found = {}
    for stamp in stamps:
        for fit in json.loads(stamp.read_text(encoding="utf-8")):
            record = Record.load(Path(results) / fit["folder"] / "record.json")
            # A fit that another plan made, or that ran again since, has no verdict here.
            if digests.of_json(record.model_dump()) == fit["verdict"]["record_digest"]:
                found[fit["folder"]] = Entry(record=record, verdict=fit["verdict"])
    return list(found.values())


def summary(entries: Iterable[Entry]) -> pd.DataFrame:
    """The small table: a row per fit, what came out and what it cost."""
    rows = []
    for entry in entries:
        record, spec = entry.record, entry.record.spec
        machine = record.provenance.get("machine") or {}
        rows.append(
            {
                "signal": spec.signal,
                "bits": spec.bits,
                "method": spec.method,
                "variant": spec.variant,
                "width": spec.width,
                "seed": spec.seed,
                "device": machine.get("gpu") or "cpu",
                "status": record.status,
                "iterations": record.iterations,
                "budget": spec.iterations,
                "verified": entry.verdict.verified if record.status == "lossless" else None,
                "best_ber": record.best.ber if record.best else None,
                "best_psnr": record.best.psnr if record.best else None,
                "seconds": record.timing.fit if record.timing else None,
                "tflop": record.flops / 1e12 if record.flops else None,
                "precision": record.precision,
            }
        )
    return pd.DataFrame(rows)


def merge(new: Iterable[Entry], folder: Path) -> list[Entry]:
    """Put entries beside those of a reference folder; of one fit the new one counts.

    Returns
    -------
    list of Entry
        All that the folder holds now, sorted by fit.
    """
    folder = Path(folder)
    entries = {entry.key: entry for entry in [*read(folder / "records.jsonl"), *new]}
    ordered = sorted(entries.values(), key=lambda e: (e.record.spec.folder, e.key))
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / "records.partial"
    temporary.write_text("".join(entry.line for entry in ordered), encoding="utf-8")
    temporary.replace(folder / "records.jsonl")
    summary(ordered).to_csv(folder / "summary.csv", index=False, float_format="%.6g")
    return ordered


def keep(results: Path, folder: Path) -> list[Entry]:
    """Keep a finished scale: its records, and its tables as they are."""
    entries = merge(of_results(results), folder)
    for table in sorted(Path(results).glob("tables/*-summary.csv")):
        (folder / "tables").mkdir(exist_ok=True)
        shutil.copyfile(table, folder / "tables" / table.name.replace("-summary", ""))
    return entries
