"""The dataset table (`config/datasets.tsv`) and how an entry becomes a prepared signal.

The table is the only place where a signal is described. A signal is asked for as
`set/size/name`, for example `skimage/32x32/astronaut`, `chime/3072/warning` or
`kodak/native/kodim01`.
"""

from __future__ import annotations

import csv
import hashlib
import importlib.util
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from lossless_inr.datasets.checks import HEX, Digests, Unfit, check
from lossless_inr.datasets.lock import Lock
from lossless_inr.datasets.table import (
    COLUMNS,
    COUNTED,
    EVERY,
    HALVE,
    LISTED,
    MAKE,
    NAME,
    NATIVE,
    OPTIONAL,
    TOP,
    Entry,
    named,
    parse_row,
    top_of,
    whole_name,
)
from lossless_inr.errors import UserError, suggest
from lossless_inr.private import anonymous
from lossless_inr.signals import readers, resample, synthetic
from lossless_inr.signals.codes import FLOAT_CODES
from lossless_inr.signals.signal import Signal, sample_dtype


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
            # Excel writes a byte order mark.
            with open(self.path, newline="", encoding="utf-8-sig") as file:
                reader = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
                rows = list(reader)
                columns = reader.fieldnames or []
        except FileNotFoundError:
            raise UserError(
                f"{path}: no such dataset table; correct 'datasets' in the config"
            ) from None
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise UserError(f"{path}: cannot be read, or is not UTF-8 text ({error})") from None
        known = list(COLUMNS)
        for column in columns:
            if columns.count(column) > 1:
                raise UserError(f"{path}: the column '{column}' is there twice")
            if column not in known:
                raise UserError(f"{path}: unknown column '{column}'{suggest(column, known)}")
        for column in known:
            if column not in (*columns, *OPTIONAL):
                raise UserError(f"{path}: the column '{column}' is missing")
        self.lock = Lock(self.path.with_name("datasets.lock"))
        self.entries: dict[tuple[str, str], Entry] = {}
        # Rows that count, by set; rows of kind `list`; rows whose lists are not here yet.
        self.counted: dict[str, list[Entry]] = {}
        self.lists: dict[str, list[Entry]] = {}
        self.unlisted: dict[str, Entry] = {}
        # Sets of the user's own whose folder has no file: told when the set is asked for.
        self.empty: dict[str, str] = {}
        pins = self.path.with_name("prepared.tsv")
        self.pins = _read_pins(pins) if pins.exists() else {}
        patterns = []
        for number, row in enumerate(rows, start=2):
            where = f"{path}, line {number}"
            entry = parse_row(dict.fromkeys(OPTIONAL, "") | row, where)
            if entry.kind == "list":
                self.lists.setdefault(entry.set, []).append(entry)
            elif entry.name == EVERY:
                self._add_folder(entry, where)
            elif LISTED.fullmatch(entry.name):
                patterns.append((entry, where))
            elif COUNTED.fullmatch(entry.name):
                self.counted.setdefault(entry.set, []).append(entry)
            else:
                self._add(entry, where)
        for entry, where in patterns:
            self._add_listed(entry, where)

    def _add(self, entry: Entry, where: str) -> None:
        if (entry.set, entry.name) in self.entries:
            raise UserError(f"{where}: {entry.set}/{entry.name} is listed twice")
        self.entries[entry.set, entry.name] = entry

    def _add_folder(self, entry: Entry, where: str) -> None:
        """One signal per file of a folder of the user's own."""
        scheme, _, pattern = entry.source.partition(":")
        before, brackets, after = pattern.partition("{}")
        if scheme != "file" or not brackets or "{}" in after:
            raise UserError(f"{where}: with the name {EVERY}, write source as file:my/{{}}.png")
        if Path(pattern).is_absolute():
            raise UserError(f"{where}: write source relative to the project's folder")
        every = self.root.glob(before + "*" + after)
        files = sorted(f for f in every if f.is_file() and not f.name.startswith("."))
        if not files:
            self.empty[entry.set] = f"{where}: no file matches {before}*{after}; correct 'source'"
        paths = [file.relative_to(self.root).as_posix() for file in files]
        names = [path[len(before) : len(path) - len(after)] for path in paths]
        found = [named(entry, name) for name in names]
        often = Counter(one.name for one in found)
        for name, one in zip(names, found, strict=True):
            if not NAME.fullmatch(one.name[:100]) or (often[one.name] > 1 and one.name != name):
                # What is no name for a folder, or would be another file's, gets a mark.
                mark = hashlib.sha256(name.encode()).hexdigest()[:8]
                one = replace(one, name=f"{one.name.strip('._-')[:80] or 'signal'}-{mark}")
            self._add(replace(one, name=one.name[:100]), where)

    def _add_listed(self, entry: Entry, where: str) -> None:
        """Signals whose names stand in lists of the publisher's, once those are here."""
        files = [self.source_path(one) for one in self.lists.get(entry.set, [])]
        if not files:
            raise UserError(f"{where}: the set '{entry.set}' has no row of kind 'list'")
        if not all(file.exists() for file in files):
            self.unlisted[entry.set] = entry
            return
        first, last = LISTED.fullmatch(entry.name).groups()
        lines = [line for file in files for line in file.read_text("utf-8").splitlines()]
        for line in sorted({line.strip() for line in lines}):
            # An index of the same length as the bounds, then the rest of the name.
            if first <= line[: len(first)] <= last:
                self._add(named(entry, line), where)

    def find(self, signal: str) -> tuple[Entry, str]:
        """Entry and size of a signal written as `set/size/name`.

        A name that is no row but ends in `-top8` is that of the top 8 bits of the signal before.

        Raises
        ------
        UserError
            If it is not written so, or the table has no such signal (with the nearest name), or
            no bits would be left out.
        """
        parts = signal.split("/") if isinstance(signal, str) else []
        if len(parts) != 3:
            raise UserError(f"signal {signal!r}: write set/size/name, e.g. skimage/32x32/astronaut")
        group, size, name = parts
        entry = self.entries.get((group, name)) or self._counted(group, name)
        if entry is None and (cut := TOP.fullmatch(name)):
            whole, _ = self.find(f"{group}/{size}/{cut.group(1)}")
            return top_of(whole, int(cut.group(2))), size
        if entry is None and group in self.unlisted:
            raise UserError(
                f"signal '{signal}': the names of this set are in its publisher's list, which is "
                f"not here yet; run: make data DATASET={group}"
            )
        if entry is None:
            known = [f"{one.set}/{size}/{one.name}" for one in self.rows()]
            if group in self.empty:
                raise UserError(self.empty[group])
            raise UserError(f"unknown signal '{signal}'{suggest(signal, known)}")
        entry.prepared_shape(size)
        return entry, size

    def _counted(self, group: str, name: str) -> Entry | None:
        """A signal of a row that counts."""
        for entry in self.counted.get(group, []):
            first, last = COUNTED.fullmatch(entry.name).groups()
            if name.isdigit() and len(name) == len(first) and first <= name <= last:
                return named(entry, name)
        return None

    def rows(self) -> list[Entry]:
        """Signals, and rows that count as one each."""
        return [*self.entries.values(), *(e for rows in self.counted.values() for e in rows)]

    def sets(self) -> list[str]:
        """Names of all sets, in the table's order."""
        return list(dict.fromkeys([*(g for g, _ in self.entries), *self.counted, *self.unlisted]))

    def of_set(self, group: str) -> list[Entry]:
        """All signals of a set.

        Raises
        ------
        UserError
            If there is no such set, or its names are in lists that are not here yet.
        """
        if group in self.empty and not any(g == group for g, _ in self.entries):
            raise UserError(self.empty[group])
        if group not in self.sets():
            raise UserError(f"unknown data set '{group}'{suggest(group, self.sets())}")
        if group in self.unlisted:
            raise UserError(f"{group}: its names are in the publisher's list, which is not here")
        found = [entry for entry in self.entries.values() if entry.set == group]
        for row in self.counted.get(group, []):
            first, last = COUNTED.fullmatch(row.name).groups()
            numbers = range(int(first), int(last) + 1)
            found += [named(row, f"{k:0{len(first)}d}") for k in numbers]
        return found

    def describe(self, group: str) -> str:
        """One line about a set: what is here, its size, terms, and what is known of addresses."""
        if group in self.unlisted:
            entries, count = [self.unlisted[group]], "names not fetched yet"
        else:
            entries = self.of_set(group)
            paths = {self.source_path(e) for e in entries if not e.source.startswith("synthetic")}
            here = sum(path.exists() for path in paths)
            count = f"{len(entries)} signals, {here} of {len(paths)} files here"
        first = entries[0]
        sizes = {entry.download: entry.digests.bytes for entry in entries if entry.fetched}
        known = [size for size in sizes.values() if size]
        size = f", {sum(known) / 1e6:.1f} MB to fetch" if known else ""
        size += " and more of unknown size" if known and len(known) < len(sizes) else ""
        states = sorted({a.status for entry in entries for a in entry.addresses})
        addresses = f"; addresses: {', '.join(states)}" if states else ""
        licences = "; ".join(sorted({entry.licence for entry in entries}))
        return f"{first.bits} bit {first.kind}, {count}{size}; {licences}{addresses}"

    def source_path(self, entry: Entry) -> Path:
        """Where the source file lies: in a package, under the root, or in `data/raw/<set>/`.

        Raises
        ------
        UserError
            If the source is written otherwise, or the package is not installed.
        """
        scheme, _, rest = entry.source.partition(":")
        if scheme == "file" and rest:
            return self.root / rest
        if scheme == "fetched":
            return self.raw(entry) / (entry.member or entry.download)
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
            "package:<name>/<file> nor file:<path> nor fetched:<file>"
        )

    def expected(self, entry: Entry) -> Digests:
        """What is known about an entry's source file, from the table or the lock file."""
        known = Digests(sha256=entry.sha256 or None)
        if not entry.fetched:
            return known
        if entry.member is None:
            known = entry.digests
        return self.lock.complete(entry.set, entry.member or entry.download, known)

    def to_be_locked(self, entry: Entry) -> bool:
        """Whether nothing published vouches for an entry's source, nor for its archive."""
        return entry.fetched and not (entry.sha256 or entry.digests.sha256)

    def raw(self, entry: Entry) -> Path:
        """Folder of a set's fetched files."""
        return self.root / "data/raw" / entry.set

    def prepare(self, signal: str) -> Signal:
        """Read, check against the declaration, crop or resize one signal.

        Raises
        ------
        UserError
            If the file is missing or damaged, or contradicts its row.
        """
        entry, size = self.find(signal)
        if entry.whole_bits:
            return self._top(signal, entry)
        shape = entry.prepared_shape(size)
        shown = f"{entry.source} ({signal})"  # never an absolute path of this machine
        if entry.prepare == MAKE:
            entry = replace(entry, source_shape=shape)
        samples, bits = self._read(entry, shown)
        self._compare(entry, samples, bits, shown)
        if None in entry.source_shape:  # only now it is known whether the size fits
            shape = replace(entry, source_shape=samples.shape).prepared_shape(size)
        if entry.prepare == "resize" and size != NATIVE:
            if not entry.source.startswith("synthetic:") and readers.has_palette(
                self.source_path(entry)
            ):
                raise UserError(
                    f"{shown}: its samples are numbers of a palette, which have no mean; set "
                    f"prepare to crop in {self.path}, or convert the file to RGB"
                )
            square = resample.centre_square(samples)
            samples = resample.downsample(square, *shape[:2], from_bits=bits, to_bits=entry.bits)
        else:
            if entry.prepare == HALVE:
                samples = resample.halve(as_floats(samples, bits))
            if size != NATIVE:
                samples = resample.crop(samples, shape[:-1], entry.offset)
            if entry.encoding in FLOAT_CODES:
                samples = float_words(samples, bits, entry.encoding)
            else:
                samples = _without_empty_bits(samples, bits, entry.bits, shown)
        prepared = Signal(
            name=signal,
            samples=np.ascontiguousarray(samples).astype(sample_dtype(entry.bits)),
            bits=entry.bits,
            kind=entry.kind,
            title=entry.title,
            # Of a file outside of the project only the name: prepared signals are shared.
            source=anonymous(entry.source),
            licence=entry.licence,
            citation=entry.citation,
            encoding=entry.encoding,
        )
        pinned = self.pins.get(signal)
        if pinned and pinned != prepared.sha256:
            raise UserError(
                f"{shown}: the prepared samples have sha256 {prepared.sha256}, but {pinned} is "
                f"pinned in {self.path.with_name('prepared.tsv')}: preparation is not what it was"
            )
        return prepared

    def _top(self, signal: str, entry: Entry) -> Signal:
        """The top bits of a prepared signal: x = y >> (m - q), never a resampling of its own."""
        whole = self.prepare(whole_name(signal))
        samples = (whole.samples >> (entry.whole_bits - entry.bits)).astype(
            sample_dtype(entry.bits)
        )
        return replace(whole, name=signal, samples=samples, bits=entry.bits, title=entry.title)

    def _read(self, entry: Entry, shown: str) -> tuple[np.ndarray, int]:
        """Samples and bit depth of an entry's source."""
        scheme, _, rest = entry.source.partition(":")
        if scheme == "synthetic":
            return synthetic.make(rest, entry.source_shape, entry.source_bits), entry.source_bits
        path = self.source_path(entry)
        if entry.fetched and not path.exists():
            raise UserError(
                f"{path}: not fetched yet; run: make data DATASET={entry.set} [MIRROR=folder]"
            )
        samples, bits = readers.read(path, entry.index)
        expected = self.expected(entry)
        try:
            sha256 = check(path, expected)
        except Unfit as error:
            locked = self.to_be_locked(entry)
            source = f"{self.lock.path} (from its first use)" if locked else self.path
            again = "; delete it to fetch it again" if entry.fetched else ""
            raise UserError(f"{shown}: {error}, as {source} has it{again}") from None
        if self.to_be_locked(entry) and expected.sha256 is None:
            file = entry.member or entry.download
            self.lock.add(entry.set, file, sha256, path.stat().st_size, "by hand")
        return samples, bits

    def _compare(self, entry: Entry, samples: np.ndarray, bits: int, shown: str) -> None:
        """Hold a file against its row."""
        floats = samples.dtype.kind == "f"
        declared = entry.source_encoding
        if floats and declared == "integer":
            raise UserError(
                f"{shown}: the file holds floating-point samples but {entry.source_bits}-bit "
                f"integers are declared; set bits and source_bits to float{bits} in {self.path}"
            )
        if not floats and declared != "integer":
            raise UserError(
                f"{shown}: the file holds {bits}-bit integers but source_bits={declared} is "
                f"declared; set source_bits to {bits} in {self.path}"
            )
        if bits != entry.source_bits:
            raise UserError(
                f"{shown}: the file holds {bits}-bit samples but source_bits={entry.source_bits} "
                f"is declared; set source_bits to {bits} in {self.path}"
            )
        declared = entry.source_shape
        fits = len(declared) == samples.ndim and all(
            d in (None, n) for d, n in zip(declared, samples.shape, strict=True)
        )
        if not fits:
            wanted = "x".join("?" if d is None else str(d) for d in declared)
            raise UserError(
                f"{shown}: the file has shape {'x'.join(map(str, samples.shape))} but "
                f"source_shape={wanted} is declared in {self.path}"
            )
        integers = not floats and not entry.source.startswith("synthetic:")
        if bits == 16 == entry.bits and integers:
            zero, repeated = padding(samples)
            if zero:
                raise UserError(
                    f"{shown}: 8-bit content in a 16-bit file (the low byte is always zero); "
                    f"set bits to 8, and leave source_bits, in {self.path}"
                )
            if repeated:
                raise UserError(
                    f"{shown}: 8-bit content in a 16-bit file (the low byte repeats the high "
                    "byte); convert the file to 8 bits and declare that"
                )


def padding(samples: np.ndarray) -> tuple[bool, bool]:
    """Whether the low byte of 16-bit samples is always zero, or always the high byte.

    Rows are looked at in bands, until neither can be true any more: a photograph of 24 million
    samples costs a few rows, and no second copy.
    """
    zero = repeated = True
    for begin in range(0, len(samples), 64):
        band = samples[begin : begin + 64]
        low = band & 255
        zero = zero and not low.any()
        repeated = repeated and bool((low == band >> 8).all())
        if not (zero or repeated):
            break
    return zero, repeated


def as_floats(samples: np.ndarray, bits: int) -> np.ndarray:
    """Floats as they are, or integers as fractions of full scale: float64, same shape.

    Offset binary I becomes (I - 2**(bits-1)) / 2**(bits-1), the reading of libsndfile and
    torchaudio.
    """
    if samples.dtype.kind == "f":
        return samples.astype(np.float64)
    half = 2 ** (bits - 1)
    return (samples.astype(np.int64) - half) / half


def float_words(samples: np.ndarray, bits: int, encoding: str = "float32") -> np.ndarray:
    """IEEE-754 words of floats, or of integers as fractions of full scale (see `as_floats`).

    Parameters
    ----------
    samples : ndarray of float or int, any shape
        Floats of the same length are taken as they are, NaN payloads included.
    bits : int
        Bit depth of integers; up to 24 are exact in float32.
    encoding : {"float16", "float32", "float64"}

    Returns
    -------
    ndarray of uint16, uint32 or uint64
    """
    kind = np.dtype(encoding)
    if samples.dtype != kind:
        samples = as_floats(samples, bits).astype(kind)
    return np.ascontiguousarray(samples).view(f"<u{kind.itemsize}")


def _without_empty_bits(samples: np.ndarray, bits: int, kept: int, shown: str) -> np.ndarray:
    """The upper `kept` of `bits` bits; the lower ones must be zero, so nothing is lost."""
    empty = bits - kept
    if empty and (samples & (2**empty - 1)).any():
        raise UserError(
            f"{shown}: bits={kept} is less than source_bits={bits}, but the lowest {empty} bits "
            f"are in use; declare bits={bits}"
        )
    return samples >> empty if empty else samples


def _read_pins(path: Path) -> dict[str, str]:
    """`config/prepared.tsv`: signal -> sha256 of its prepared samples."""
    pins = {}
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read, or is not UTF-8 text ({error})") from None
    for number, line in enumerate(lines, start=1):
        signal, tab, digest = line.partition("\t")
        if number == 1:
            continue  # column names
        if not tab or not HEX["sha256"].fullmatch(digest) or signal in pins:
            raise UserError(f"{path}, line {number}: expected a signal, a tab and a sha256, once")
        pins[signal] = digest
    return pins
