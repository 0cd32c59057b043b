"""What two runs of one scale must have in common: everything but when, and how fast, it was."""

import json
from pathlib import Path

import pandas as pd

# Of one moment or one machine. Seconds are recognised by their names.
PASSING = {"started", "ended", "verify_started", "verify_ended", "peak_memory_mib", "exclusive"}
# A pack is named after records, which hold seconds.
PASSING |= {"commit", "processor", "pack"}


def lasting(table: pd.DataFrame) -> pd.DataFrame:
    """A table without what may differ between two runs."""
    return table[[c for c in table.columns if "second" not in c and c not in PASSING]]


def differences(one: Path, other: Path) -> list[str]:
    """Tables and fits of two results folders that are not the same, by name."""
    found = []
    names = {p.relative_to(f) for f in (one, other) for p in f.glob("tables/*.csv")}
    names |= {p.relative_to(f) for f in (one, other) for p in f.glob("figures/*.csv")}
    names |= {Path("fits.parquet"), Path("rate.csv")} if (one / "rate.csv").exists() else set()
    for name in sorted(names):
        read = pd.read_parquet if name.suffix == ".parquet" else pd.read_csv
        if not (one / name).exists() or not (other / name).exists():
            found.append(f"{name}: only in one of them")
            continue
        try:
            pd.testing.assert_frame_equal(
                lasting(read(one / name)), lasting(read(other / name)), check_exact=True
            )
        except AssertionError as error:
            found.append(f"{name}: {error}")
    return found


def fits_of(results: Path) -> dict[str, int]:
    """Digest of every fit with a record -> how many records it has."""
    numbers: dict[str, int] = {}
    for path in results.glob("records/**/record.json"):
        digest = json.loads(path.read_text())["spec_digest"]
        numbers[digest] = numbers.get(digest, 0) + 1
    return numbers


def counted_once(results: Path, expected: int) -> None:
    """Every fit has one record and one row."""
    records, rows = fits_of(results), pd.read_parquet(results / "fits.parquet").spec_digest
    assert set(records.values()) == {1} and len(records) == expected
    assert sorted(rows) == sorted(records)
