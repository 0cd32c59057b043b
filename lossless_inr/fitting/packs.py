"""Curves and records of a shard in one file: what a verified fit no longer needs by itself.

`results/<scale>/packs/<shard>-<digest>.parquet` has a row, and a row group, per fit: its record as
text, its `curve.parquet` byte for byte, and what the report reads of every curve (when the smallest
count of wrong bits fell, and the mean of each plane), in columns of their own. A pack is written
once, under a name made of its content, and never changed; the fit's own `record.json` stays where
it is and remains what decides. Imports no torch.
"""

from __future__ import annotations

import functools
import hashlib
import io
import logging
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from lossless_inr.errors import UserError
from lossless_inr.files import appears, replacing
from lossless_inr.fitting import digests
from lossless_inr.fitting.record import Record

LOG = logging.getLogger(__name__)
FOLDER, CURVE = "packs", "curve.parquet"
KEYS = ["spec_digest", "record_digest"]
SUMMARY = [*KEYS, "length", "fall_at", "fall_wrong", "plane_means"]
SCHEMA = pa.schema(
    [
        ("spec_digest", pa.string()),
        ("record_digest", pa.string()),
        ("folder", pa.string()),
        ("record", pa.string()),
        ("curve", pa.binary()),
        ("curve_sha256", pa.string()),
        ("length", pa.int32()),
        ("fall_at", pa.list_(pa.int32())),
        ("fall_wrong", pa.list_(pa.int64())),
        ("plane_means", pa.list_(pa.float64())),
    ]
)


def plane_columns(curve: pd.DataFrame) -> list[str]:
    """Columns that count wrong bits, least significant plane first."""
    found = [name for name in curve.columns if name.startswith("plane_")]
    return sorted(found, key=lambda name: int(name.removeprefix("plane_")))


def summary(curve: pd.DataFrame) -> dict:
    """What the report needs of every curve.

    Returns
    -------
    dict
        `length` of the curve; `fall_at`, `fall_wrong`: iterations at which the smallest number of
        wrong bits so far fell, the first one among them, and the numbers; `plane_means`: mean
        wrong bits of each plane over the curve, least significant first.

    Examples
    --------
    >>> found = summary(pd.DataFrame({"plane_0": [5, 6, 2, 2], "plane_1": [1, 0, 0, 1]}))
    >>> found["fall_at"], found["fall_wrong"], found["plane_means"]
    ([0, 2], [6, 2], [3.75, 0.5])
    """
    planes = plane_columns(curve)
    if not len(curve) or not planes:
        return {"length": len(curve), "fall_at": [], "fall_wrong": [], "plane_means": []}
    best = np.minimum.accumulate(curve[planes].to_numpy().sum(axis=1))
    at = np.flatnonzero(np.diff(best, prepend=best[0] + 1))
    return {
        "length": len(curve),
        "fall_at": at.tolist(),
        "fall_wrong": best[at].tolist(),
        "plane_means": curve[planes].mean().tolist(),
    }


def _row(results: Path, entry: dict) -> dict:
    folder = results / entry["folder"]
    text = (folder / "record.json").read_text(encoding="utf-8")
    row = {key: entry[key] for key in (*KEYS, "folder")} | {"record": text}
    content = _own_curve(folder)
    if content is None and entry["status"] != "failed":
        content = find(results, entry, remove=True)
        if content is None:
            raise UserError(f"{folder / CURVE}: gone, in no pack; the next run fits it again")
    if content is None:
        return row | {"curve": None, "curve_sha256": None} | summary(pd.DataFrame())
    try:
        curve = pd.read_parquet(io.BytesIO(content))
    except (OSError, ValueError) as error:
        raise UserError(
            f"{folder / CURVE}: damaged ({error}); delete {folder} and the shard's file in "
            f"{results / 'shards'}, then run again"
        ) from None
    return row | {
        "curve": content,
        "curve_sha256": hashlib.sha256(content).hexdigest(),
        **summary(curve),
    }


def _own_curve(folder: Path) -> bytes | None:
    try:
        return (folder / CURVE).read_bytes()
    except FileNotFoundError:
        return None


def write(results: Path, shard: str, stamp: list[dict], times: dict[str, str] | None = None) -> str:
    """Pack the fits of a shard; nothing is deleted yet.

    Parameters
    ----------
    results : Path
        `results/<scale>`.
    shard : str
    stamp : list of dict
        Of the fit job: `spec_digest`, `record_digest`, `folder`, `status` of each fit.
    times : dict of str to str, optional
        When the verifying process began, `started`, and `ended`; told by `times_of`.

    Returns
    -------
    str
        The pack's name, relative to `results`.

    Raises
    ------
    UserError
        If a curve is damaged.
    """
    identity = digests.of_json(sorted([entry[key] for key in KEYS] for entry in stamp))
    name = f"{FOLDER}/{shard}-{identity[:12]}.parquet"
    schema = SCHEMA.with_metadata({"shard": shard, **(times or {})})
    with (
        replacing(results / name) as file,
        pq.ParquetWriter(file, schema, compression="zstd") as writer,
    ):
        for entry in stamp:  # one at a time: a curve may be megabytes
            writer.write_table(pa.Table.from_pylist([_row(results, entry)], schema=schema))
    return name


def clear(results: Path, stamp: list[dict]) -> None:
    """Delete what a pack has made superfluous: each fit's own curve and its lock."""
    for entry in stamp:
        for name in (CURVE, ".lock"):
            (results / entry["folder"] / name).unlink(missing_ok=True)


def keys(pack: Path) -> list[tuple[str, str]]:
    """Digests of specification and record of the fits in a pack, in its order of row groups."""
    try:
        table = pq.read_table(pack, columns=KEYS)
        return list(zip(*(table.column(key).to_pylist() for key in KEYS), strict=True))
    except (OSError, ValueError, pa.ArrowException) as error:
        LOG.warning("%s: damaged, left alone (%s)", pack, error)
        return []


@functools.lru_cache(maxsize=4096)
def _curves_then(pack: Path, _: int) -> frozenset[str]:
    try:
        table = pq.read_table(pack, columns=["curve_sha256"])
        return frozenset(table.column("curve_sha256").to_pylist())
    except (OSError, ValueError, pa.ArrowException):
        return frozenset()


def curves(results: Path) -> frozenset[str]:
    """Sha256 of the files of all curves that packs say they hold."""
    return frozenset().union(*(_curves_then(p, p.stat().st_mtime_ns) for p in every(results)))


def holds(results: Path, sha256: str) -> bool:
    """Whether some pack says that it holds the curve whose file had this sha256.

    It looks at every pack; where many curves are asked for, ask `curves` once.
    """
    return sha256 in curves(results)


@functools.lru_cache(maxsize=4096)
def _keys_then(pack: Path, _: int) -> list[tuple[str, str]]:
    return keys(pack)


def every(results: Path) -> list[Path]:
    """All packs of a scale, sorted by name."""
    return sorted((Path(results) / FOLDER).glob("*.parquet"))


def find(results: Path, entry: dict, *, remove: bool = False) -> bytes | None:
    """The curve of a fit, in whichever pack it is; None if it is in none.

    Only asked for where a fit has no curve of its own: when shards are cut anew. A pack that is
    damaged there counts for nothing; with `remove` it is removed, so that its fits are fitted
    again.
    """
    wanted = tuple(entry[key] for key in KEYS)
    for pack in every(results):
        # Packs do not change, so that each is looked into once by a process.
        held = _keys_then(pack, pack.stat().st_mtime_ns)
        if wanted not in held:
            continue
        try:
            if (content := _curve_bytes(pack, held.index(wanted))) is not None:
                return content
        except UserError as error:
            LOG.warning("%s", error)
            if remove:
                pack.unlink(missing_ok=True)
    return None


def _curve_bytes(pack: Path, number: int) -> bytes | None:
    fault = f"{pack}: a curve is not what was packed; delete the file and run again"
    try:
        table = pq.ParquetFile(pack).read_row_group(number, columns=["curve", "curve_sha256"])
        row = table.to_pylist()[0]
    except (OSError, ValueError, pa.ArrowException):
        raise UserError(fault) from None
    content = row["curve"]
    if content is not None and hashlib.sha256(content).hexdigest() != row["curve_sha256"]:
        raise UserError(fault)
    return content


def curve_of(results: Path, fit: pd.Series) -> pd.DataFrame:
    """Counts of every iteration of a fit, from its folder or from the pack that it is in.

    Parameters
    ----------
    results : Path
    fit : Series
        Row of the table of fits.

    Raises
    ------
    FileNotFoundError
        If it is in neither.
    """
    content = _own_curve(results / fit.folder)
    pack = fit.get("pack")
    if content is None and isinstance(pack, str) and (results / pack).is_file():
        held = _keys_then(results / pack, (results / pack).stat().st_mtime_ns)
        number = [spec for spec, _ in held].index(fit.spec_digest)
        content = _curve_bytes(results / pack, number)
    if content is None:
        raise FileNotFoundError(f"{results / fit.folder / CURVE}: in no pack either")
    return pd.read_parquet(io.BytesIO(content))


def has_curve(results: Path, fit: pd.Series) -> bool:
    """Whether `curve_of` would find one; no curve is read."""
    pack = fit.get("pack")
    if fit.status == "failed":  # it is in a pack, without a curve
        return False
    return (results / fit.folder / CURVE).is_file() or (
        isinstance(pack, str) and (results / pack).is_file()
    )


def unpack(results: Path, record: Record) -> bytes | None:
    """The packed curve of a record, for a copy of the fit elsewhere."""
    entry = {
        "spec_digest": record.spec_digest,
        "record_digest": digests.of_json(record.model_dump()),
    }
    return find(results, entry)


def located(results: Path, entries: list[dict]) -> list[dict]:
    """Entries of verified shards, each with the pack that holds its curve now, or None.

    A pack that another plan's run has merged into its own is found there. One that another
    machine has just written may not be seen yet on a network file system: it is waited for.
    """
    here = {f"{FOLDER}/{pack.name}" for pack in every(results)}
    if all(entry.get("pack") in here for entry in entries):
        return entries
    index = {key: f"{FOLDER}/{p.name}" for p in every(results) for key in keys(p)}
    found, late = [], {}
    for entry in entries:
        pack = entry.get("pack")
        if pack is not None and pack not in here:
            pack = index.get(tuple(entry[key] for key in KEYS))
            if pack is None:
                if entry["pack"] not in late:
                    late[entry["pack"]] = appears(results / entry["pack"])
                pack = entry["pack"] if late[entry["pack"]] else None
        found.append(entry | {"pack": pack})
    return found


def gather(
    results: Path, used: Iterable[str], fits: set[str], output: Path, times: dict[str, str]
) -> None:
    """Summaries of the curves of these fits, out of the packs they are in, in one file.

    Parameters
    ----------
    results : Path
    used : iterable of str
        Names of packs.
    fits : set of str
        Digests of specifications.
    output : Path
    times : dict of str to str
        When the collecting process `started` and (but for this) `ended`.
    """
    schema = pa.schema([SCHEMA.field(name) for name in SUMMARY]).with_metadata(times)
    with replacing(output) as file, pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for name in used:
            table = pq.read_table(results / name, columns=SUMMARY)
            mine = pa.array([digest in fits for digest in table.column("spec_digest").to_pylist()])
            writer.write_table(table.filter(mine).cast(schema))


def times_of(pack: Path) -> dict[str, str]:
    """`shard`, and `started` and `ended` of its verification where they are known."""
    found = pq.read_schema(pack).metadata or {}
    names = ("shard", "started", "ended")
    return {name: found[name.encode()].decode() for name in names if name.encode() in found}


def sweep(results: Path, used: Iterable[str]) -> list[Path]:
    """Delete packs whose every fit is in one of those `used`; what only they hold stays.

    Returns
    -------
    list of Path
        What was deleted.
    """
    kept = {results / name for name in used}
    others = [pack for pack in every(results) if pack not in kept]
    if not others:
        return []
    held = {spec for pack in kept for spec, _ in keys(pack)}
    deleted = []
    for pack in others:
        inside = keys(pack)
        if inside and all(spec in held for spec, _ in inside):
            pack.unlink(missing_ok=True)
            deleted.append(pack)
    return deleted
