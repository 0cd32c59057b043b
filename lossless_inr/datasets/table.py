"""One row of the dataset table: what a signal is, checked cell by cell.

Columns are documented in config/README.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from urllib.parse import quote

from lossless_inr.datasets.checks import HEX, Digests
from lossless_inr.errors import UserError, suggest
from lossless_inr.signals.codes import FLOAT_CODES
from lossless_inr.signals.signal import KINDS

# Names become folders and file names on every system, so they are kept plain.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
SIZE = re.compile(r"[1-9]\d{0,6}(x[1-9]\d{0,4})?")
NATIVE = "native"
# A way of preparation: half the rate.
HALVE = "halve"
# Another: a computed image is made at the size that is asked for.
MAKE = "make"
WAYS = ("resize", "crop", HALVE, MAKE)
# float32 holds integers up to 24 bits exactly, and no file kind here has more.
MAX_INTEGER_BITS = 24
# A row for many signals: `{0801..0900}` counts, `{list:a4001..a5000}` takes names from the set's
# rows of kind `list`. `{}` in its title, source and address is the name.
COUNTED = re.compile(r"\{(\d+)\.\.(\d+)\}")
MOST_COUNTED = 1_000_000
LISTED = re.compile(r"\{list:([A-Za-z0-9]+)\.\.([A-Za-z0-9]+)\}")
# A row for every file of a folder: `file:my/{}.png`.
EVERY = "{*}"
# `rgb16/32x32/hdr_room-top8`: the top 8 bits of another signal, as bit-depth expansion takes them.
TOP = re.compile(r"(.+)-top([1-9]\d?)")
ADDRESS_STATUS = ("seen", "unverified")
COLUMNS = (
    *("set", "name", "title", "kind", "bits", "source_bits", "source_shape", "source", "sha256"),
    *("prepare", "offset", "sizes", "address", "digest", "bytes", "licence", "terms", "citation"),
)
# A table of one's own files can do without these.
OPTIONAL = ("sizes", "address", "digest", "bytes", "terms")


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
class Address:
    """Where a file can be fetched; `seen` if a public record ties its checksum to the address."""

    status: str
    url: str


@dataclass(frozen=True)
class Entry:
    """One signal of the dataset table.

    Attributes
    ----------
    source : str
        `package:<package>/<file>`, `file:<path>`, `synthetic:<kind>`, or
        `fetched:<file>[!<member>][#<index>]`.
    source_shape : tuple of int or None
        Shape of the file's samples; None where the table does not know it.
    encoding, source_encoding : {"integer", "float16", "float32", "float64"}
        Of the prepared samples and of the file's; a float's name stands in the columns of bits.
    prepare : {"resize", "crop", "halve", "make"}
        `halve` resamples a sound to half its rate, in float64, and then crops; `make` computes a
        synthetic image at the size that is asked for.
    sizes : tuple of str
        Sizes that are prepared when the whole set is asked for.
    digests : Digests
        Of what is fetched: the file, or the archive that holds it.
    sha256 : str
        Of the source file itself; empty if unknown.
    whole_bits : int
        Bit depth of the signal whose top `bits` these are; 0 for a signal that is whole.
    """

    set: str
    name: str
    title: str
    kind: str
    bits: int
    source_bits: int
    source_shape: tuple[int | None, ...]
    source: str
    sha256: str
    prepare: str
    offset: tuple[int, ...] | None
    sizes: tuple[str, ...]
    addresses: tuple[Address, ...]
    digests: Digests
    licence: str
    terms: str
    citation: str
    encoding: str = "integer"
    source_encoding: str = "integer"
    whole_bits: int = 0

    @property
    def fetched(self) -> bool:
        """Whether the source is a file that `store.Store` obtains."""
        return self.source.startswith("fetched:")

    @property
    def download(self) -> str:
        """File that is fetched: the source itself, or its archive."""
        return re.split("[!#]", self.source.partition(":")[2])[0]

    @property
    def member(self) -> str | None:
        """Member of the archive that is the source."""
        inside = self.source.partition("!")[2] if self.fetched else ""
        return inside.partition("#")[0] or None

    @property
    def index(self) -> int | None:
        """Which of the file's images."""
        number = self.source.partition("#")[2] if self.fetched else ""
        return int(number) if number else None

    def prepared_shape(self, size: str) -> tuple[int | None, ...]:
        """Shape of the prepared samples for a size such as `32x32`, `3072` or `native`.

        `native` has None where the table does not know the file's size.

        Raises
        ------
        UserError
            If the size does not suit the signal's kind or exceeds its source.
        """
        where = f"signal '{self.set}/{size}/{self.name}'"
        whole = self.source_shape
        if self.prepare == HALVE and whole[0] is not None:
            whole = (-(-whole[0] // 2), *whole[1:])
        if size == NATIVE:
            if self.prepare == "resize" and (self.whole_bits or self.bits) != self.source_bits:
                raise UserError(f"{where}: native keeps the file's {self.source_bits} bits")
            return whole
        wanted = tuple(int(part) for part in size.split("x")) if SIZE.fullmatch(size) else ()
        if len(wanted) != len(self.source_shape) - 1:
            example = "3072" if self.kind == "audio" else "32x32"
            raise UserError(
                f"{where}: size '{size}' does not suit {self.kind}; write e.g. {example}"
            )
        available = whole[:-1]
        if self.prepare == "resize" and None not in available:
            available = (min(available),) * 2
        if any(a is not None and w > a for w, a in zip(wanted, available, strict=True)):
            limit = "x".join(map(str, available))
            raise UserError(f"{where}: larger than its source ({limit}); ask for a smaller size")
        return (*wanted, self.source_shape[-1])


def named(entry: Entry, name: str) -> Entry:
    """One signal of a row for many; a file's name may hold spaces, a signal's may not."""
    return replace(
        entry,
        name=re.sub(r"[^A-Za-z0-9_.-]", "_", name),
        title=entry.title.replace("{}", name),
        source=entry.source.replace("{}", name),
        addresses=tuple(replace(a, url=a.url.replace("{}", quote(name))) for a in entry.addresses),
    )


def whole_name(signal: str) -> str:
    """Name of the signal whose top bits a signal keeps; its own if it is whole.

    Examples
    --------
    >>> whole_name("rgb16/32x32/hdr_room-top8"), whole_name("kodak/32x32/kodim05")
    ('rgb16/32x32/hdr_room', 'kodak/32x32/kodim05')
    """
    cut = TOP.fullmatch(signal)
    return cut.group(1) if cut else signal


def top_of(entry: Entry, bits: int) -> Entry:
    """The top `bits` bits of a signal, as a signal.

    Raises
    ------
    UserError
        If it has no more than that, or its words are floats.
    """
    where = f"signal '{entry.set}/{entry.name}-top{bits}'"
    if entry.encoding != "integer":
        raise UserError(f"{where}: top bits are those of integers, not of {entry.encoding} words")
    if bits >= entry.bits:
        raise UserError(
            f"{where}: {entry.set}/{entry.name} has {entry.bits} bits, so its top {bits} leave "
            f"none to expand; write -top1 to -top{entry.bits - 1}"
        )
    return replace(
        entry,
        name=f"{entry.name}-top{bits}",
        title=f"{entry.title}, top {bits} bits",
        bits=bits,
        whole_bits=entry.bits,
    )


def parse_row(row: dict, where: str) -> Entry:
    """One row, checked."""
    if None in row or None in row.values():
        raise UserError(f"{where}: the row has more or fewer cells than the header")

    def whole(text: str, column: str, low: int, high: int) -> int:
        if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
            raise UserError(f"{where}: {column}={text!r} is not a whole number {low}..{high}")
        return int(text)

    check_name(row["set"], where)
    if counted := COUNTED.fullmatch(row["name"]):
        first, last = (int(part) for part in counted.groups())
        if not first <= last < first + MOST_COUNTED:
            raise UserError(
                f"{where}: name={row['name']!r} counts none, or more than {MOST_COUNTED:,}"
            )
    many = counted or LISTED.fullmatch(row["name"]) or row["name"] == EVERY
    if not many:
        check_name(row["name"], where)
    is_list = row["kind"] == "list"
    for column, allowed in (("kind", (*KINDS, "list")), ("prepare", WAYS)):
        if row[column] not in allowed and not (is_list and column == "prepare"):
            raise UserError(f"{where}: {column}={row[column]!r}{suggest(row[column], allowed)}")
    common = {k: row[k] for k in ("set", "name", "title", "kind", "source", "sha256", "prepare")}
    common |= {k: row[k] for k in ("licence", "terms", "citation")}
    common |= {"sizes": tuple(row["sizes"].split()), **_download(row, where)}
    if is_list:
        return Entry(**common, bits=1, source_bits=1, source_shape=(), offset=None)
    shape = tuple(
        None if part == "?" else whole(part, "source_shape", 1, 10**9)
        for part in row["source_shape"].split("x")
    )
    if len(shape) != (2 if row["kind"] == "audio" else 3) or shape[-1] is None:
        raise UserError(f"{where}: source_shape={row['source_shape']!r} does not suit its kind")
    if row["prepare"] == "resize" and row["kind"] != "photo":
        raise UserError(f"{where}: scans and sounds are cropped, never resized")
    offset = None
    if row["offset"]:
        offset = tuple(whole(part, "offset", 0, 10**9) for part in row["offset"].split(","))
        if len(offset) != len(shape) - 1:
            example = "a sample" if row["kind"] == "audio" else "row,column"
            raise UserError(f"{where}: offset={row['offset']!r} is not {example}")

    def depth(column: str) -> tuple[int, str]:
        if row[column] in FLOAT_CODES:
            return FLOAT_CODES[row[column]], row[column]
        return whole(row[column], column, 1, MAX_INTEGER_BITS), "integer"

    (bits, encoding), (source_bits, source_encoding) = depth("bits"), depth("source_bits")
    if encoding != source_encoding and (source_encoding != "integer" or row["kind"] != "audio"):
        raise UserError(f"{where}: only sounds of integers are also prepared as floats")
    if {encoding, source_encoding} != {"integer"} and row["prepare"] == "resize":
        raise UserError(f"{where}: floats are cropped, never resized")
    if row["prepare"] == HALVE and (row["kind"] != "audio" or encoding == "integer"):
        raise UserError(f"{where}: halve is for sounds that are prepared as floats")
    if row["prepare"] == MAKE and not row["source"].startswith("synthetic:"):
        raise UserError(f"{where}: make is for synthetic sources; a file is cropped or resized")
    entry = Entry(
        **common,
        bits=bits,
        source_bits=source_bits,
        encoding=encoding,
        source_encoding=source_encoding,
        source_shape=shape,
        offset=offset,
    )
    if entry.prepare == "crop" and encoding == "integer" and entry.bits > entry.source_bits:
        raise UserError(f"{where}: a crop invents no bits, but bits exceeds source_bits")
    for size in entry.sizes:
        entry.prepared_shape(size)
    return entry


def _download(row: dict, where: str) -> dict:
    """Addresses and digests of a row; only a fetched source has them."""
    fetched = row["source"].startswith("fetched:")
    if not fetched and any(row[column] for column in ("address", "digest", "bytes")):
        raise UserError(f"{where}: address, digest and bytes belong to a 'fetched:' source")
    if row["sha256"] and not HEX["sha256"].fullmatch(row["sha256"]):
        raise UserError(f"{where}: sha256={row['sha256']!r} is not 64 hexadecimal digits")
    addresses = []
    for word in row["address"].split():
        status, _, url = word.partition("=")
        if status not in ADDRESS_STATUS or not re.match(r"https?://[^/]+/.", url):
            example = "seen=https://..." if "=" in word else "status=address"
            raise UserError(f"{where}: address {word!r}: write {example} or unverified=https://...")
        addresses.append(Address(status, url))
    kind, _, digest = row["digest"].partition(":")
    if row["digest"] and (kind not in HEX or not HEX[kind].fullmatch(digest)):
        raise UserError(f"{where}: digest={row['digest']!r}: write sha256:<hex> or md5:<hex>")
    if row["bytes"] and not row["bytes"].isdecimal():
        raise UserError(f"{where}: bytes={row['bytes']!r} is not a whole number")
    known = Digests(
        **({kind: digest} if row["digest"] else {}),
        bytes=int(row["bytes"]) if row["bytes"] else None,
    )
    if fetched:
        path = row["source"].partition(":")[2]
        for part in re.split("[!#]", path)[:2]:
            if part.startswith("/") or ".." in part.split("/") or "\\" in part or not part:
                raise UserError(f"{where}: source={row['source']!r}: no plain relative path")
        # A file that is its own download needs its checksum written once.
        if "!" not in path and row["sha256"] and known.sha256 is None:
            known = replace(known, sha256=row["sha256"])
    return {"addresses": tuple(addresses), "digests": known}
