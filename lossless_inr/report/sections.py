"""Pages of tables and figures: their rows beside print, their fits, and what is not run."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from lossless_inr.analysis.codes import code_ratios, code_rows
from lossless_inr.analysis.precision import PrecisionRow, precision_rows
from lossless_inr.analysis.printed import printed_cells
from lossless_inr.experiments.tables import summary_table
from lossless_inr.report.formats import image_uri
from lossless_inr.report.labels import KIND_TITLES, method_name
from lossless_inr.report.planned import ROW, Planned

# Its printed rows are of networks, not of a data set.
PRECISION_TABLE = "table4"
# A drawing with more strokes than this weighs less as PNG.
LARGEST_SVG = 400_000
# Rows of a figure's data up to which they are shown; more are curves, and in the file only.
MOST_ROWS = 120


def printed_row(table: str, data_set: str, row: str) -> dict[str, dict]:
    """Metric -> printed value, its standard deviation and budget, of one row of a printed table."""
    cells = printed_cells()
    chosen = cells[(cells.table == table) & (cells.set == data_set) & (cells.row == row)]
    return {cell.metric: cell._asdict() for cell in chosen.itertuples(index=False)}


def _key(row: pd.Series) -> tuple:
    return tuple(None if pd.isna(row[name]) else row[name] for name in ROW)


def _rows(group: pd.DataFrame, planned: pd.DataFrame, printed) -> list[dict]:
    """Summary rows, then those that are planned but not run."""
    expected = {_key(row): int(row.planned) for _, row in planned.iterrows()}
    several = group.groupby(ROW[:-2], dropna=False).width.nunique()
    rows = []
    # Networks of two sizes are two methods, though the rest of the row is the same.
    for _, part in group.groupby([*ROW, "width"], sort=False, dropna=False):
        (row,) = (one for _, one in summary_table(part).iterrows())
        name, width = method_name(row), int(part.width.iloc[0])
        if several[tuple(row[n] for n in ROW[:-2])] > 1:
            name += f", {width} wide"
        seen = part.samples_seen.astype("float64").median()
        rows.append(
            {"row": row, "name": name, "run": len(part), "key": _key(row), "samples_seen": seen}
        )
    run: dict[tuple, int] = {}
    for one in rows:
        run[one["key"]] = run.get(one["key"], 0) + one["run"]
    for one in rows:
        short = run[one["key"]] < expected.get(one["key"], 0)
        one["missing"] = f"{run[one['key']]} of {expected[one['key']]} run" if short else ""
    for _, row in planned.iterrows():
        if _key(row) not in run:
            none_run = {"row": None, "name": method_name(row), "key": _key(row)}
            rows.append(none_run | {"missing": f"0 of {int(row.planned)} run"})
    for one in rows:
        one["printed"], one["budget"] = printed(one["key"][-1]), one["key"][-2]
    return rows


def kind_sections(
    name: str, table: pd.DataFrame, experiment: dict, published: dict, planned: Planned
) -> list[dict]:
    """A table by kind, depth and size of data, each summary row beside its printed cells."""
    sections = []
    for (kind, depth, beside, shape), group in table.groupby(
        ["kind", "depth", "printed_set", "shape"], sort=False, dropna=False
    ):
        beside = None if pd.isna(beside) else beside

        def printed(cell, beside=beside):
            if beside is None or cell is None:
                return {}
            return printed_row(experiment["published"], beside, cell)

        signals = group.drop_duplicates("signal")[
            ["signal", "title", "shape", "informative_planes"]
        ]
        sections.append(
            {
                "title": f"{KIND_TITLES.get(kind, kind)}, {depth}, {shape}",
                "slug": f"{name}-{beside or kind}-{depth}-{shape}".replace(" ", "-"),
                "signals": signals.to_dict("records"),
                "floats": str(depth).startswith("float"),
                "set": published["datasets"][beside] | {"name": beside} if beside else None,
                "rows": _rows(group, planned.rows(name, list(signals.signal)), printed),
            }
        )
    return sections


def table_page(
    name: str,
    experiment: dict,
    table: pd.DataFrame,
    published: dict,
    planned: Planned,
    prepared: Path,
) -> dict:
    """What the page of one table shows."""
    codes = code_rows(table, prepared)
    return _page(name, experiment, planned, table) | {
        "sections": kind_sections(name, table, experiment, published, planned),
        "codes": codes,
        "code_ratios": code_ratios(codes),
        "precision": _named_precision(table),
        "precision_printed": published[name] if name == PRECISION_TABLE else {},
    }


def _named_precision(table: pd.DataFrame) -> list[tuple[str, PrecisionRow]]:
    """Rows of precision under the names that methods have in the table."""
    each = table.drop_duplicates(["method", "variant"])
    names = {(row["method"], row["variant"]): method_name(row) for _, row in each.iterrows()}
    return [(names[row.method, row.variant], row) for row in precision_rows(table)]


def figure_page(name: str, experiment: dict, results: Path, planned: Planned) -> dict:
    """What the page of one figure shows."""
    svg, data = results / f"figures/{name}.svg", results / f"figures/{name}.csv"
    chosen = svg if svg.stat().st_size < LARGEST_SVG else svg.with_suffix(".png")
    table = pd.read_csv(data) if data.is_file() else pd.DataFrame()
    shown = len(table) <= MOST_ROWS
    return _page(name, experiment, planned, None) | {
        "image": image_uri(chosen),
        "columns": list(table.columns) if shown else [],
        "data": table.astype(object).where(table.notna(), "").values.tolist() if shown else [],
        "data_rows": len(table),
        "data_file": f"figures/{name}.csv",
    }


def _page(name: str, experiment: dict, planned: Planned, table: pd.DataFrame | None) -> dict:
    digests = planned.digests(name, table)
    return {
        "name": name,
        "experiment": experiment,
        "digests": digests,
        "shortfall": planned.shortfall(name, len(digests)) if digests else "",
        "signals_not_run": planned.signals_not_run(name),
    }
