"""A finished scale as one self-describing file, and its report from nothing but that file.

The file is a zip of a BagIt bag (RFC 8493): every payload file has a SHA-256 in a manifest.
What is in an archive from elsewhere is untrusted: it is checked against its manifest, names
cannot leave its folder, nothing is unpickled, and the report allows no script but its own.
Imports no torch.
"""

from __future__ import annotations

import json
import logging
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
from pydantic import AfterValidator

from lossless_inr.errors import UserError
from lossless_inr.experiments import reference
from lossless_inr.experiments.plan import Plan
from lossless_inr.experiments.spec import Experiment
from lossless_inr.files import refusal, replacing
from lossless_inr.fitting import packs
from lossless_inr.names import plain, stays_inside
from lossless_inr.private import anonymous
from lossless_inr.report import guard_page
from lossless_inr.schema import Strict, validate

VERSION = 1
# They become parts of paths.
Name = Annotated[str, AfterValidator(plain)]
# Of a table that is opened: rows times columns. A curve has as many rows as iterations.
MOST_CELLS = 500_000_000
# What the contents of an archive from elsewhere make a program stumble over.
REFUSED = (
    *(OSError, ValueError, KeyError, AttributeError, TypeError, IndexError, ArithmeticError),
    *(MemoryError, RecursionError, zipfile.BadZipFile),
)
# Of an archive that is opened: files, and bytes once unpacked.
MOST_FILES, MOST_BYTES = 1_000_000, 64 * 2**30
# What a report reads of a fit; weights only when they are asked for.
FIT_FILES = ("record.json", "curve.parquet", "decoded.npz")
WEIGHTS = "weights.safetensors"
# What it reads of a scale besides its tables and figures.
SCALE_FILES = (
    *("fits.parquet", "curves.parquet", "rate.parquet", "scores.jsonl"),
    *("speech/transcripts.parquet", "expansion/scores.parquet"),
)


class Contents(Strict):
    """What an archive says of itself, `contents.json`; see `report.build` for the keys."""

    version: int = VERSION
    scale: Name
    experiments: dict[Name, Experiment]
    planned: dict[str, int]
    planned_fits: dict[str, list[dict[str, Any]]]


def export(plan: Plan, output: Path, *, root: Path = Path("."), weights: bool = False) -> str:
    """Write the archive of a finished scale.

    Parameters
    ----------
    plan : Plan
    output : Path
        The `.zip` file.
    root : Path
        The project's folder.
    weights : bool
        Whether to put the fitted weights in, with which fits can be verified again.

    Returns
    -------
    str
        What is in it, data sets with their licences among it.

    Raises
    ------
    UserError
        If the scale has no report yet, or the file cannot be written.
    """
    results = root / "results" / plan.scale
    if not (results / "fits.parquet").is_file():
        raise UserError(f"{results}: not finished; run the scale first")
    fits = pd.read_parquet(results / "fits.parquet")
    wanted = {fit.digest for fit in plan.all_fits}
    if wanted != set(fits.spec_digest):
        raise UserError(
            f"{results}: has {len(wanted & set(fits.spec_digest))} of the {len(wanted)} fits that "
            "the plan asks for with the data that are here; run the scale again"
        )
    with tempfile.TemporaryDirectory() as temporary:
        bag = Path(temporary) / "bag"
        _copy(results, bag / "results", SCALE_FILES)
        for part in ("tables", "figures"):
            found = sorted((results / part).glob("*"))
            _copy(results, bag / "results", [f"{part}/{path.name}" for path in found])
        rates = sorted((results / "compression").glob("table?*"))
        _copy(results, bag / "results", [f"compression/{path.name}" for path in rates])
        files = (*FIT_FILES, WEIGHTS) if weights else FIT_FILES
        for _, fit in fits.iterrows():
            _copy(results, bag / "results", [f"{fit.folder}/{name}" for name in files])
            _unpack(results, bag / "results", fit)
        signals = sorted(fits.signal.unique())
        _copy(root / "data/prepared", bag / "prepared", [f"{name}.npz" for name in signals])
        _copy(root, bag, ["constraints.txt", "datasets.lock"])
        _copy(root / "benchmarks", bag / "benchmarks", guard_page.FILES)
        _copy_settings(plan, root, bag)
        reference.merge(reference.of_results(results), bag)
        licences = _licences(plan, signals)
        licences.to_csv(bag / "signals.csv", index=False)
        contents = Contents(
            scale=plan.scale,
            experiments=plan.experiments,
            planned=plan.planned,
            planned_fits=plan.planned_fits,
        )
        (bag / "contents.json").write_text(contents.model_dump_json(), encoding="utf-8")
        _make_bag(bag, plan.scale)
        try:
            _zip(bag, output)
        except OSError as error:
            raise UserError(f"{output}: {refusal(error)}") from None
    sets = licences.drop_duplicates(["set", "licence"])
    held = "; ".join(f"{row.set} ({row.licence or 'no licence told'})" for row in sets.itertuples())
    size = output.stat().st_size / 2**20
    return f"{output}: {len(fits)} fits, {size:.1f} MiB; holds samples of {held}"


def _copy(source: Path, target: Path, names: Iterable[str]) -> None:
    for name in names:
        if (source / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, target / name)


def _copy_settings(plan: Plan, root: Path, bag: Path) -> None:
    """Config as it was, but for this machine's folders.

    What lies outside of the project stands where the shipped config has it.
    """
    usual = {kind: Path("config", kind) for kind in ("recipes", "experiments")}
    found = {root / plan.config.datasets: Path("config/datasets.tsv")}
    for kind, place in usual.items():
        folder = root / getattr(plan.config, kind)
        found |= {path: place / path.name for path in sorted(folder.glob("*.yaml"))}
    top = root.resolve()
    for path, otherwise in found.items():
        inside = path.resolve().is_relative_to(top)
        target = bag / (path.resolve().relative_to(top) if inside else otherwise)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(anonymous(path.read_text(encoding="utf-8")), encoding="utf-8")


def _unpack(results: Path, target: Path, fit: pd.Series) -> None:
    """A packed curve, as a file of its own."""
    if packs.has_curve(results, fit) and not (target / fit.folder / packs.CURVE).is_file():
        (target / fit.folder).mkdir(parents=True, exist_ok=True)
        packs.curve_of(results, fit).to_parquet(target / fit.folder / packs.CURVE, index=False)


def _licences(plan: Plan, signals: list[str]) -> pd.DataFrame:
    rows = []
    for name in signals:
        entry, _ = plan.catalog.find(name)
        rows.append(
            {"signal": name, "set": entry.set, "title": entry.title, "licence": entry.licence}
            | {"citation": entry.citation}
        )
    return pd.DataFrame(rows)


def _make_bag(folder: Path, scale: str) -> None:
    import bagit

    logging.getLogger("bagit").setLevel(logging.ERROR)
    facts = {
        "External-Description": f"Lossless INR benchmark, scale {scale}: records, curves, decoded "
        "signals, tables, figures, specifications and prepared signals (signals.csv: licences)",
        "External-Identifier": f"lossless-inr-{scale}",
    }
    bagit.make_bag(str(folder), facts, checksums=["sha256"])


def _zip(folder: Path, output: Path) -> None:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    with replacing(output) as target, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in files:
            archive.write(path, path.relative_to(folder))


@contextmanager
def opened(archive: Path) -> Iterator[Path]:
    """The payload of an archive in a folder of its own, once it matches its manifest.

    Raises
    ------
    UserError
        If it is no archive of ours, or was changed since it was made.
    """
    import bagit

    logging.getLogger("bagit").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as temporary:
        bag = Path(temporary)
        try:
            with zipfile.ZipFile(archive) as content:
                _check_sizes(content, archive)
                for entry in content.infolist():
                    _check_inside(entry.filename, archive)
                    if stat.S_ISLNK(entry.external_attr >> 16):
                        raise UserError(f"{archive}: {entry.filename!r:.100} is a link; refused")
                content.extractall(bag)
            bagit.Bag(str(bag)).validate()
        except FileNotFoundError:
            raise UserError(f"{archive}: no such file") from None
        except UserError:
            raise
        except bagit.BagError as error:
            what = str(error).splitlines()[0][:300]
            raise UserError(f"{archive}: does not match its checksums: {what}") from None
        except Exception as error:  # a damaged zip raises anything
            raise UserError(f"{archive}: damaged, or no archive ({error})") from None
        yield bag / "data"


def _check_sizes(content: zipfile.ZipFile, archive: Path) -> None:
    entries = content.infolist()
    size = sum(entry.file_size for entry in entries)
    if len(entries) > MOST_FILES or size > MOST_BYTES:
        raise UserError(
            f"{archive}: {len(entries):,} files of {size / 2**30:.1f} GiB are refused; an archive "
            f"holds at most {MOST_FILES:,} files and {MOST_BYTES >> 30} GiB"
        )


def report_from(archive: Path, output: Path) -> None:
    """Build the whole report of an archive; no fit is run, and torch is not imported.

    Raises
    ------
    UserError
        See `opened`; also if its contents are of another version, or name files outside of it.
    """
    from lossless_inr.report.build import build

    with opened(archive) as payload:
        where = f"{archive}: contents.json"
        try:
            told = json.loads((payload / "contents.json").read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            raise UserError(f"{where}: missing or damaged") from None
        if not isinstance(told, dict) or told.get("version") != VERSION:
            version = told.get("version") if isinstance(told, dict) else None
            raise UserError(f"{where}: version {version}; this program reads {VERSION}")
        contents = validate(Contents, told, where)
        try:
            _check_tables(payload, archive)
            build(
                scale=contents.scale,
                experiments={n: e.model_dump() for n, e in contents.experiments.items()},
                results=payload / "results",
                prepared=payload / "prepared",
                guard=payload / "benchmarks",
                output=output,
                planned=contents.planned,
                planned_fits=contents.planned_fits,
            )
        except UserError:
            raise
        except REFUSED as error:
            raise UserError(
                f"{archive}: its report cannot be built ({type(error).__name__}: {error})"
            ) from None


def _check_tables(payload: Path, archive: Path) -> None:
    """Names and sizes in the tables of results, before anything opens what they name.

    A few bytes of a column can unpack to any number of rows.
    """
    import pyarrow.parquet as pq

    for path in sorted(payload.rglob("*.parquet")):
        shape = pq.read_metadata(path)
        if shape.num_rows * shape.num_columns > MOST_CELLS:
            raise UserError(
                f"{archive}: {path.relative_to(payload)} has {shape.num_rows:,} rows of "
                f"{shape.num_columns} columns, which are refused"
            )
        named = [name for name in ("folder", "signal", "pack") if name in shape.schema.names]
        for name in named:
            for value in set(pd.read_parquet(path, columns=[name])[name].dropna()):
                _check_inside(str(value), archive)


def _check_inside(name: str, archive: Path) -> None:
    if not stays_inside(name):
        raise UserError(f"{archive}: the name {name!r:.100} leads out of the archive; refused")
