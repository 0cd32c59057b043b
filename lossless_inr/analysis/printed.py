"""The paper's printed tables as one long table: a row per cell, whatever the layout in print."""

from __future__ import annotations

import functools

import pandas as pd

from lossless_inr.published import load_published

PAPER_SCALE = "paper"
COLUMNS = ("table", "set", "row", "metric", "value", "std", "budget")
# Tables 3 and 8 are about Kodak; the others name their sets.
ONE_SET = "kodak"


def _table1(published: dict) -> list[tuple]:
    table, found = published["table1"], []
    for name in published["datasets"]:
        depth = f"{published['datasets'][name]['bits']}bit"
        for row, values in table.get(name, {}).items():
            # Printed with the table: 5,000 iterations at 16 bits, 1,000 at 8 for the baselines.
            budget = None if row == "bitplane" else {"16bit": 5000, "8bit": 1000}[depth]
            for metric, value in zip(table["columns"], values, strict=True):
                found.append((name, row, metric, value, None, budget))
            if row == "bitplane":
                printed = table["ours_iterations"][depth]
                found.append((name, row, "iterations", printed["mean"], printed["std"], None))
    return found


def _table2(published: dict) -> list[tuple]:
    found = []
    for name, rows in published["table2"].items():
        for row, (count, psnr) in rows.items():
            lossless = row.endswith("+bitplane")
            found.append((name, row, "psnr", psnr, None, None if lossless else count))
            if lossless:
                found.append((name, row, "iterations", count, None, None))
    return found


def _table3(published: dict) -> list[tuple]:
    found = []
    for row in published["table3"]:
        name = f"digits-{row['n']}" if row["method"] == "digits" else row["method"]
        found.append((ONE_SET, name, "psnr", row["psnr"], None, row.get("budget")))
        if (printed := row.get("iterations")) is not None:
            found.append((ONE_SET, name, "iterations", printed["mean"], printed["std"], None))
    return found


def _table8(published: dict) -> list[tuple]:
    rows = published["table8"].items()
    return [(ONE_SET, row, "iterations", value, None, None) for row, value in rows]


LAYOUTS = {"table1": _table1, "table2": _table2, "table3": _table3, "table8": _table8}


@functools.cache
def printed_cells() -> pd.DataFrame:
    """Every printed cell of the tables that fits answer.

    Returns
    -------
    DataFrame
        `table`, `set`, `row` and `metric` name the cell; `value` as printed, `std` where it is
        printed, and `budget`, the iterations that a row without lossless was given.
    """
    published = load_published()
    rows = [(table, *cell) for table, read in LAYOUTS.items() for cell in read(published)]
    return pd.DataFrame(rows, columns=COLUMNS)
