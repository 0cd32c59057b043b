"""`benchmarks/baseline/`: what is accepted, the bands, and why it was accepted. No torch."""

from __future__ import annotations

import json
from pathlib import Path

from lossless_inr.errors import UserError
from lossless_inr.files import replacing

SCHEMA = 1
PARTS = ("facts", "traces", "fits")


def read(path: Path, key: str) -> dict:
    """One file of the baseline.

    Raises
    ------
    UserError
        If it is missing, damaged or of another schema.
    """
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f'{path}: no such baseline; write one with: make regress-accept REASON="first"'
        ) from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: damaged ({error}); git checkout {path}") from None
    schema = data.get("schema") if isinstance(data, dict) else None
    if schema != SCHEMA:
        raise UserError(
            f"{path}: baseline of schema {schema}, expected {SCHEMA}; check out the baseline of "
            'this version, or make regress-accept REASON="new schema"'
        )
    if not isinstance(data.get(key), dict):
        raise UserError(f"{path}: damaged (no '{key}'); git checkout {path}")
    return data


def load(folder: Path) -> tuple[dict[str, dict], dict[str, list[str]], dict[str, list[str]]]:
    """The accepted rows, their names, and the names of those in the quick part, by part."""
    files = {part: read(folder / f"{part}.json", "rows") for part in PARTS}
    rows = {part: file["rows"] for part, file in files.items()}
    quick = {part: file.get("quick", []) for part, file in files.items()}
    return rows, {part: list(rows[part]) for part in PARTS}, quick


def bands(folder: Path) -> dict[str, float]:
    """Method -> band, from the committed study."""
    return {k: v["band"] for k, v in read(folder / "bands.json", "methods")["methods"].items()}


def save(folder: Path, rows: dict[str, dict], quick: dict[str, list[str]]) -> None:
    """Write the accepted rows."""
    for part in PARTS:
        # A line a row, so that a diff shows which rows have changed.
        with replacing(folder / f"{part}.json", "w", encoding="utf-8") as file:
            file.write(f'{{"schema": {SCHEMA},\n"quick": {json.dumps(quick[part])},\n')
            body = [
                f"{json.dumps(name)}: {json.dumps(row, sort_keys=True)}"
                for name, row in rows[part].items()
            ]
            file.write('"rows": {\n' + ",\n".join(body) + "\n}}\n")


def remember(folder: Path, entry: dict) -> None:
    """Add one acceptance to the history, a JSON line each."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "history.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps(entry, sort_keys=True) + "\n")
