"""Raw files: from the user's mirror, else from the addresses in the table, to `data/raw/`.

A file is looked for in `data/raw/<set>/`, then in the mirror folder, then at each address in
order. What this code put there is right: it was checked before it got its name; what a user put
there is checked when it is read. A file without a published checksum is trusted on first use; its
sha256 goes to `config/datasets.lock` and counts from then on.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from filelock import FileLock

from lossless_inr.datasets import archives
from lossless_inr.datasets.catalog import Catalog
from lossless_inr.datasets.checks import Digests, Unfit, check
from lossless_inr.datasets.table import Entry
from lossless_inr.datasets.transfer import DiskError, Unreachable, download
from lossless_inr.errors import UserError
from lossless_inr.files import refusal
from lossless_inr.signals import readers

LOG = logging.getLogger(__name__)
MIRROR_VARIABLE = "LOSSLESS_INR_MIRROR"
# Files of a set that are fetched side by side; more would be rude to the servers of these sets.
CONNECTIONS = 4
# An archive is remembered only when it has been opened, from one of these.
ARCHIVE_ORIGINS = ("by hand", "mirror", "fetched")


class Store:
    """Raw files of the sets in the table.

    Parameters
    ----------
    catalog : Catalog
    mirror : Path, optional
        Folder with `<set>/<file>` or `<file>`; an archive's members will do. By default that of
        the environment variable LOSSLESS_INR_MIRROR.
    limit : float
        Seconds that one file may take from one address, attempts and waiting included.
    progress : callable, optional
        Called with (name of the file, bytes so far, bytes in all or None).
    """

    def __init__(
        self,
        catalog: Catalog,
        mirror: Path | str | None = None,
        limit: float = 7200.0,
        progress: Callable[[str, int, int | None], None] = lambda name, done, total: None,
    ):
        named = mirror or os.environ.get(MIRROR_VARIABLE)
        if named and not Path(named).is_dir():
            raise UserError(f"mirror: {named}: no such folder; name one that exists, or none")
        self.catalog, self.mirror = catalog, Path(named) if named else None
        self.limit, self.progress = limit, progress
        self.stop = threading.Event()
        # Servers that could not be reached in this call; they are not asked for the next file.
        self.silent: set[str] = set()

    def missing(self, entries: Iterable[Entry]) -> list[Entry]:
        """Entries whose raw file is to be fetched and is not there."""
        return [
            entry
            for entry in entries
            if entry.fetched and not self.catalog.source_path(entry).exists()
        ]

    def at_hand(self, entry: Entry) -> bool:
        """Whether an entry's file is here or in the mirror; the network is not asked."""
        return not (entry.fetched and self.missing([entry])) or any(
            self._in_mirror(entry, file) for file in (entry.member, entry.download) if file
        )

    def set_aside_damaged(self, entries: Iterable[Entry]) -> None:
        """Rename fetched files that are not what was fetched, so that they are fetched again.

        Parameters
        ----------
        entries : iterable of Entry
            Their files are read; those of the user's own folder are left alone.
        """
        fetched = [entry for entry in entries if entry.fetched]
        for path, entry in {self.catalog.source_path(entry): entry for entry in fetched}.items():
            if not path.exists():
                continue
            try:
                check(path, self.catalog.expected(entry))
            except Unfit as error:
                aside = path.with_name(f"{path.name}.damaged")
                LOG.warning("%s: %s; kept as %s, fetched again", path, error, aside.name)
                path.replace(aside)

    def obtain(self, entries: Iterable[Entry]) -> None:
        """Fetch what is missing of these entries; nothing is touched if nothing is.

        Raises
        ------
        UserError
            If a file cannot be had anywhere, or not written; others are fetched all the same.
        """
        work: dict[tuple[str, str], list[Entry]] = {}
        for entry in self.missing(entries):
            work.setdefault((entry.set, entry.download), []).append(entry)
        shown = set()
        for group in work.values():
            if group[0].terms and group[0].set not in shown:
                shown.add(group[0].set)
                LOG.warning("%s: %s", group[0].set, group[0].terms)
        self.stop, self.silent = threading.Event(), set()
        pool = ThreadPoolExecutor(CONNECTIONS)
        try:
            results = [pool.submit(self._obtain, group) for group in work.values()]
            wait(results)
        finally:
            # On Ctrl-C: what runs ends at its next block, what waits never begins.
            self.stop.set()
            pool.shutdown(cancel_futures=True)
        problems = [error for result in results if (error := result.exception()) is not None]
        for problem in problems:
            if not isinstance(problem, UserError):
                raise problem
        if problems:
            more = f" (and {len(problems) - 1} more files)" if len(problems) > 1 else ""
            raise UserError(f"{problems[0]}{more}")

    def _obtain(self, entries: list[Entry]) -> None:
        """Files of one download: itself, or members of it."""
        first = entries[0]
        place = self.catalog.raw(first) / first.download
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            # The system frees the lock of a process that dies, however it dies.
            with FileLock(place.with_name(f".{place.name}.lock")):
                entries = self.missing(entries)  # another process may have been here
                if first.member is None:
                    if entries:
                        self._file(first, place)
                else:
                    self._members(entries, place)
        except OSError as error:
            raise UserError(f"{error.filename or place}: {refusal(error)}") from None
        except DiskError as error:
            raise UserError(str(error)) from None

    # --- one file -----------------------------------------------------------------------

    def _expected(self, entry: Entry) -> Digests:
        return self.catalog.lock.complete(entry.set, entry.download, entry.digests)

    def _in_mirror(self, entry: Entry, file: str) -> Path | None:
        if self.mirror is None:
            return None
        for place in (self.mirror / entry.set / file, self.mirror / file):
            if place.is_file():
                return place
        return None

    def _file(self, entry: Entry, place: Path) -> None:
        """Get one file, as it is, to its place."""
        expected = self._expected(entry)
        source = self._in_mirror(entry, entry.download)
        if source is not None:
            with self._using(source):
                sha256 = check(source, expected)
                self._copy(entry, source, place)
                self._remember(entry, entry.download, expected, sha256, place, "mirror")
                return
        faults = []
        for address in entry.addresses:
            host = urlsplit(address.url).netloc
            if host in self.silent:
                faults.append(f"{host}: not reached before")
                continue
            try:
                sha256 = download(
                    address.url,
                    place,
                    expected,
                    limit=self.limit,
                    stop=self.stop,
                    progress=lambda done, total: self.progress(place.name, done, total),
                )
                if expected.sha256 is None:
                    self._opens(entry, place)
                self._remember(entry, entry.download, expected, sha256, place, address.url)
                return
            except Unreachable as error:
                self.silent.add(host)
                LOG.warning("%s: %s; it is not asked again in this run", host, error)
                faults.append(f"{address.url}: {error}")
            except Unfit as error:
                LOG.warning("%s: %s", address.url, error)
                faults.append(f"{address.url}: {error}")
        tried = "; ".join(faults) or "the table has no address for it"
        raise UserError(
            f"{entry.set}: cannot fetch {entry.download} ({tried}); put the file at {place} or "
            f"name a folder that has it: MIRROR=folder{self._from_lock(entry)}"
        )

    @contextmanager
    def _using(self, source: Path) -> Iterator[None]:
        """Try a file of the mirror; what is wrong with it is told, and the addresses are next."""
        try:
            yield
        except Unfit as error:
            LOG.warning("%s: the mirror's file is not used: %s", source, error)
        except PermissionError as error:
            if error.filename not in (None, str(source)):
                raise
            LOG.warning("%s: the mirror's file is not used: %s", source, refusal(error))

    def _copy(self, entry: Entry, source: Path, place: Path) -> None:
        if self._expected(entry).sha256 is None:
            self._opens(entry, source)
        archives.copy(source, place)

    def _opens(self, entry: Entry, path: Path) -> None:
        """Nothing vouches for a file: before it is trusted, it must at least be of its kind.

        A server that asks for a login answers with a page. Archives are opened by `extract`.
        """
        try:
            if entry.kind == "list":
                if "<" in path.read_text("utf-8")[:100]:
                    raise UserError("a web page, not a list of names")
            elif entry.member is None:
                readers.read(path, entry.index)
        except (UserError, UnicodeDecodeError) as error:
            if path == self.catalog.raw(entry) / entry.download:
                path.unlink()
            raise Unfit(f"what it sends is not the file ({error})") from None

    def _from_lock(self, entry: Entry) -> str:
        """Where the digest comes from, if it is one of trust on first use."""
        if entry.digests.sha256 or self._expected(entry).sha256 is None:
            return ""
        return (
            f"; its digest is that of its first use: delete the row {entry.set} {entry.download} "
            f"of {self.catalog.lock.path} to trust it anew"
        )

    def _remember(self, entry, file, expected, sha256, place, origin) -> None:
        archive = entry.member is not None and file == entry.download
        if expected.sha256 is None and not (archive and origin not in ARCHIVE_ORIGINS):
            self.catalog.lock.add(entry.set, file, sha256, place.stat().st_size, origin)

    # --- members of an archive ----------------------------------------------------------

    def _members(self, entries: list[Entry], place: Path) -> None:
        """Get members to their places: from the mirror, else out of the archive."""
        for entry in entries:
            target = self.catalog.source_path(entry)
            source = self._in_mirror(entry, entry.member)
            if source is None or target.exists():
                continue
            with self._using(source):
                self._check_member(entry, source, "mirror")
                archives.copy(source, target)
        by_member = {entry.member: entry for entry in self.missing(entries)}
        if not by_member:
            return
        archive, remember = self._archive(entries[0], place)

        def accept(member: str, path: Path) -> None:
            try:
                self._check_member(by_member[member], path, archive.name)
            except Unfit as error:
                raise UserError(f"{archive}: member {member}: {error}") from None

        wanted = {m: self.catalog.source_path(e) for m, e in by_member.items()}
        try:
            archives.extract(archive, wanted, accept)
        finally:
            # Trusted only once something came out of it; a login page under its name is not.
            if any(path.exists() for path in wanted.values()):
                remember()
            elif archive == place and self._expected(entries[0]).sha256 is None:
                place.unlink(missing_ok=True)

    def _check_member(self, entry: Entry, path: Path, origin: str) -> None:
        expected = self.catalog.expected(entry)
        sha256 = check(path, expected)
        # A member of an archive whose checksum is known needs no entry of its own.
        if expected.sha256 is None and not (origin != "mirror" and entry.digests.sha256):
            self.catalog.lock.add(entry.set, entry.member, sha256, path.stat().st_size, origin)

    def _archive(self, entry: Entry, place: Path) -> tuple[Path, Callable[[], None]]:
        """The archive (here already, in the mirror, or fetched now), and how to trust it."""
        expected = self._expected(entry)

        def trusted(path: Path, origin: str) -> tuple[Path, Callable[[], None]]:
            sha256 = check(path, expected)
            rest = (expected, sha256, path, origin)
            return path, lambda: self._remember(entry, entry.download, *rest)

        if place.exists():
            try:  # a user may have put it there
                return trusted(place, "by hand")
            except Unfit as error:
                raise UserError(
                    f"{place}: {error}; delete it and run again{self._from_lock(entry)}"
                ) from None
        if (source := self._in_mirror(entry, entry.download)) is not None:
            with self._using(source):
                return trusted(source, "mirror")
        self._file(entry, place)
        return trusted(place, "fetched")
