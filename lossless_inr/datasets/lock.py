"""Trust on first use: what files without a published checksum were when they first came."""

from __future__ import annotations

import csv
import datetime
import logging
from dataclasses import replace
from pathlib import Path

from filelock import FileLock

from lossless_inr.datasets.checks import HEX, Digests
from lossless_inr.errors import UserError
from lossless_inr.files import replacing

LOG = logging.getLogger(__name__)
COLUMNS = ("set", "file", "sha256", "bytes", "from", "when")


class Lock:
    """`config/datasets.lock`: what a file without a published checksum was when first seen."""

    def __init__(self, path: Path):
        self.path = Path(path)

    def _rows(self) -> list[dict]:
        try:
            with open(self.path, newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file, delimiter="\t"))
            for row in rows:
                if tuple(row) != COLUMNS or None in row.values():
                    raise ValueError("columns")
                if not HEX["sha256"].fullmatch(row["sha256"]) or not row["bytes"].isdecimal():
                    raise ValueError("digests")
            if not rows and self.path.stat().st_size > 200:
                raise ValueError("no rows")
            return rows
        except FileNotFoundError:
            return []
        except (OSError, ValueError, csv.Error):  # UnicodeDecodeError is a ValueError
            raise UserError(
                f"{self.path}: damaged; restore it, or delete it to trust files anew"
            ) from None

    def complete(self, group: str, file: str, known: Digests) -> Digests:
        """What is known about a file: from the table, else from when it was first seen."""
        if known.sha256:
            return known
        for row in self._rows():
            if (row["set"], row["file"]) == (group, file):
                return replace(known, sha256=row["sha256"], bytes=int(row["bytes"]))
        return known

    def add(self, group: str, file: str, sha256: str, size: int, origin: str) -> None:
        """Remember a file, unless it is known."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{self.path}.busy"):
            rows = self._rows()
            if any((row["set"], row["file"]) == (group, file) for row in rows):
                return
            when = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d")
            values = (group, file, sha256, size, origin, when)
            rows.append(dict(zip(COLUMNS, map(str, values), strict=True)))
            rows.sort(key=lambda row: (row["set"], row["file"]))
            with replacing(self.path, "w", newline="", encoding="utf-8") as out:
                writer = csv.DictWriter(out, COLUMNS, delimiter="\t", lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)
        LOG.warning(
            "%s/%s has no published checksum; trusted on first use: sha256 %s (kept in %s)",
            *(group, file, sha256, self.path),
        )
