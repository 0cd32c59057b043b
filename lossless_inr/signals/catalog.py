"""The dataset table (`config/datasets.tsv`) and how an entry becomes a prepared signal.

The table is the only place where a signal is described. A signal is asked for as
`set/size/name`, for example `skimage/32x32/astronaut` or `chime/3072/warning`.
"""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import re
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from lossless_inr.errors import UserError, suggest
from lossless_inr.signals import readers, resample
from lossless_inr.signals.signal import KINDS, MAX_BITS, Signal, sample_dtype

# Names become folders and file names on every system, so they are kept plain.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
SIZE = re.compile(r"[1-9]\d{0,6}(x[1-9]\d{0,4})?")


def check_name(name: str, where: str) -> str:
    """Return `name` if it can safely be a path component on every system.

    Raises
    ------
    UserError
        If it is empty or holds anything but letters, digits, `_`, `-` and single dots.
    """
    if not NAME.fullmatch(name) or ".." in name or len(name) > 100:
        raise UserError(
            f"{where}: the name {name!r} may hold only letters, digits, '_', '-' and '.', and "
            "starts with a letter or digit; put free text in 'title'"
        )
    return name


@dataclass(frozen=True)
class Entry:
    """One row of the dataset table (columns as documented in config/README.md)."""

    set: str
    name: str
    title: str
    kind: str
    bits: int
    source_bits: int
    source_shape: tuple[int, ...]
    source: str
    sha256: str
    prepare: str
    offset: tuple[int, ...] | None
    licence: str
    citation: str

    def prepared_shape(self, size: str) -> tuple[int, ...]:
        """Shape of the prepared samples for a size such as `32x32` or `3072`.

        Raises
        ------
        UserError
            If the size does not suit the signal's kind or exceeds its source.
        """
        where = f"signal '{self.set}/{size}/{self.name}'"
        wanted = tuple(int(part) for part in size.split("x")) if SIZE.fullmatch(size) else ()
        if len(wanted) != len(self.source_shape) - 1:
            example = "3072" if self.kind == "audio" else "32x32"
            raise UserError(
                f"{where}: size '{size}' does not suit {self.kind}; write e.g. {example}"
            )
        if self.prepare == "resize":
            available = (min(self.source_shape[:2]),) * 2
        else:
            available = self.source_shape[:-1]
        if any(w > a for w, a in zip(wanted, available, strict=True)):
            limit = "x".join(map(str, available))
            raise UserError(f"{where}: larger than its source ({limit}); ask for a smaller size")
        return (*wanted, self.source_shape[-1])


class Catalog:
    """The dataset table, validated row by row on loading.

    Parameters
    ----------
    path : Path
        Tab-separated table; file sources are relative to its project root (`root`).
    root : Path
        Folder that `file:` sources are relative to.
    """

    def __init__(self, path: Path, root: Path = Path(".")):
        self.path, self.root = Path(path), Path(root)
        try:
            with open(self.path, newline="", encoding="utf-8") as file:
                reader = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
                rows = list(reader)
                columns = reader.fieldnames or []
        except FileNotFoundError:
            raise UserError(
                f"{path}: no such dataset table; correct 'datasets' in the config"
            ) from None
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{path}: cannot be read, or is not UTF-8 text ({error})") from None
        known = [field.name for field in fields(Entry)]
        for column in columns:
            if columns.count(column) > 1:
                raise UserError(f"{path}: the column '{column}' is there twice")
            if column not in known:
                raise UserError(f"{path}: unknown column '{column}'{suggest(column, known)}")
        for column in known:
            if column not in columns:
                raise UserError(f"{path}: the column '{column}' is missing")
        self.entries: dict[tuple[str, str], Entry] = {}
        for number, row in enumerate(rows, start=2):
            entry = self._entry(row, f"{path}, line {number}")
            if (entry.set, entry.name) in self.entries:
                raise UserError(f"{path}, line {number}: {entry.set}/{entry.name} is listed twice")
            self.entries[entry.set, entry.name] = entry

    @staticmethod
    def _entry(row: dict, where: str) -> Entry:
        if None in row or None in row.values():
            raise UserError(f"{where}: the row has more or fewer cells than the header")

        def whole(text: str, column: str, low: int, high: int) -> int:
            if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
                raise UserError(f"{where}: {column}={text!r} is not a whole number {low}..{high}")
            return int(text)

        def numbers(text: str, column: str, separator: str) -> tuple[int, ...]:
            return tuple(whole(part, column, 0, 10**9) for part in text.split(separator))

        for column in ("set", "name"):
            check_name(row[column], where)
        for column, allowed in (("kind", KINDS), ("prepare", ("resize", "crop"))):
            if row[column] not in allowed:
                raise UserError(f"{where}: {column}={row[column]!r}{suggest(row[column], allowed)}")
        shape = numbers(row["source_shape"], "source_shape", "x")
        if len(shape) != (2 if row["kind"] == "audio" else 3) or 0 in shape:
            raise UserError(f"{where}: source_shape={row['source_shape']!r} does not suit its kind")
        if row["prepare"] == "resize" and row["kind"] != "photo":
            raise UserError(f"{where}: scans and sounds are cropped, never resized")
        if row["prepare"] == "crop" and row["bits"] != row["source_bits"]:
            raise UserError(f"{where}: a crop keeps its depth, but bits and source_bits differ")
        offset = numbers(row["offset"], "offset", ",") if row["offset"] else None
        if offset is not None and len(offset) != len(shape) - 1:
            example = "a sample" if row["kind"] == "audio" else "row,column"
            raise UserError(f"{where}: offset={row['offset']!r} is not {example}")
        return Entry(
            **{k: row[k] for k in ("set", "name", "title", "kind", "source", "sha256", "prepare")},
            **{k: row[k] for k in ("licence", "citation")},
            bits=whole(row["bits"], "bits", 1, MAX_BITS),
            source_bits=whole(row["source_bits"], "source_bits", 1, MAX_BITS),
            source_shape=shape,
            offset=offset,
        )

    def find(self, signal: str) -> tuple[Entry, str]:
        """Entry and size of a signal written as `set/size/name`.

        Raises
        ------
        UserError
            If it is not written so, or the table has no such signal (with the nearest name).
        """
        parts = signal.split("/") if isinstance(signal, str) else []
        if len(parts) != 3:
            raise UserError(f"signal {signal!r}: write set/size/name, e.g. skimage/32x32/astronaut")
        group, size, name = parts
        entry = self.entries.get((group, name))
        if entry is None:
            known = [f"{g}/{size}/{n}" for g, n in self.entries]
            raise UserError(f"unknown signal '{signal}'{suggest(signal, known)}")
        entry.prepared_shape(size)
        return entry, size

    def source_path(self, entry: Entry) -> Path:
        """Where the source file lies: inside an installed package, or under the root.

        Raises
        ------
        UserError
            If the source is written otherwise, or the package is not installed.
        """
        scheme, _, rest = entry.source.partition(":")
        if scheme == "file" and rest:
            return self.root / rest
        if scheme == "package" and "/" in rest:
            package, _, inside = rest.partition("/")
            # Only located, not imported: importing a package can be slow or have side effects.
            try:
                spec = importlib.util.find_spec(package)
            except (ImportError, ValueError):
                spec = None
            if spec is None or not spec.submodule_search_locations:
                raise UserError(f"{entry.source}: the package '{package}' is not installed")
            return Path(spec.submodule_search_locations[0]) / inside
        raise UserError(
            f"{self.path}: source {entry.source!r} of {entry.set}/{entry.name} is neither "
            "package:<name>/<file> nor file:<path>"
        )

    def prepare(self, signal: str) -> Signal:
        """Read, check against the declaration, crop or resize one signal.

        Raises
        ------
        UserError
            If the file is missing or damaged, or contradicts its row.
        """
        entry, size = self.find(signal)
        shape = entry.prepared_shape(size)
        path = self.source_path(entry)
        samples, bits = readers.read(path)
        shown = f"{entry.source} ({signal})"  # never an absolute path of this machine
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if entry.sha256 and digest != entry.sha256:
            raise UserError(f"{shown}: sha256 {digest} differs from the one in {self.path}")
        if bits != entry.source_bits:
            raise UserError(
                f"{shown}: the file holds {bits}-bit samples but source_bits={entry.source_bits} "
                f"is declared; set source_bits to {bits} in {self.path}"
            )
        if samples.shape != entry.source_shape:
            raise UserError(
                f"{shown}: the file has shape {'x'.join(map(str, samples.shape))} but "
                f"source_shape={'x'.join(map(str, entry.source_shape))} is declared in {self.path}"
            )
        if entry.prepare == "resize":
            samples = resample.downsample(
                resample.centre_square(samples),
                *shape[:2],
                from_bits=bits,
                to_bits=entry.bits,
            )
        else:
            samples = resample.crop(samples, shape[:-1], entry.offset)
        return Signal(
            name=signal,
            samples=np.ascontiguousarray(samples).astype(sample_dtype(entry.bits)),
            bits=entry.bits,
            kind=entry.kind,
            title=entry.title,
            source=entry.source,
            licence=entry.licence,
            citation=entry.citation,
        )
