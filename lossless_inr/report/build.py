"""Results to one offline HTML file.

Everything comes from files: the table of fits, the tables, the figures, the records and the
printed numbers. All text is escaped by the template engine; figures are embedded as images, so
no part of a record can become markup.
"""

from __future__ import annotations

import base64
import math
import shlex
from pathlib import Path

import jinja2
import pandas as pd

from lossless_inr import registry
from lossless_inr.analysis.printed import printed_cells
from lossless_inr.experiments.tables import summary_table
from lossless_inr.fitting.record import Record
from lossless_inr.published import load_published
from lossless_inr.report import headline
from lossless_inr.report.findings import findings

KIND_TITLES = {
    "photo": "Photographs",
    "scan": "Medical scans",
    "audio": "Audio",
    "digit": "Digits and garments",
    "synthetic": "Synthetic images",
}
STATUS_TEXT = {
    "lossless": "lossless",
    "budget_exhausted": "budget ended first",
    "diverged": "diverged",
    "failed": "failed",
}


def format_metric(value: float | None, digits: int = 2) -> str:
    """A metric for a table cell; infinity is the sign, missing is a dash."""
    if value is None or pd.isna(value):
        return "–"
    if math.isinf(value):
        return "∞"
    return f"{value:.{digits}f}"


def format_flops(value: float | None) -> str:
    """FLOPs with a decimal prefix, e.g. `6.29 GFLOP`."""
    if value is None or pd.isna(value):
        return "–"
    for factor, prefix in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M")):
        if value >= factor:
            return f"{value / factor:.3g} {prefix}FLOP"
    return f"{value:.0f} FLOP"


def format_printed(cell: dict | None, shown) -> str:
    """A printed cell: its value, with the deviation where there is one."""
    if cell is None:
        return ""
    deviation = f" ± {cell['std']:g}" if pd.notna(cell["std"]) else ""
    return f"{shown(cell['value'])}{deviation}"


def format_ber(value: float | None) -> str:
    """A bit-error rate; exactly zero is `0`."""
    if value is None or pd.isna(value):
        return "–"
    return "0" if value == 0 else f"{value:.4f}" if value >= 1e-3 else f"{value:.1e}"


def image_uri(path: Path) -> str:
    """A figure as a data address, so that the report is one file."""
    kind = {".svg": "image/svg+xml", ".png": "image/png"}[path.suffix]
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def printed_row(table: str, data_set: str, row: str) -> dict[str, dict]:
    """Metric -> printed value, its standard deviation and budget, of one row of a printed table."""
    cells = printed_cells()
    chosen = cells[(cells.table == table) & (cells.set == data_set) & (cells.row == row)]
    return {cell.metric: cell._asdict() for cell in chosen.itertuples(index=False)}


def kind_sections(table: pd.DataFrame, experiment: dict, published: dict) -> list[dict]:
    """A table by kind, depth and size of data, each summary row beside its printed cells."""
    sections = []
    keys = ["kind", "depth", "bits", "shape"]
    for (kind, depth, bits, shape), group in table.groupby(keys, sort=False):
        beside = next(
            (b for b in experiment["beside"] if b["kind"] == kind and b["bits"] == bits), None
        )
        rows = []
        for _, row in summary_table(group).iterrows():
            printed = {}
            if beside and pd.notna(row.cell):
                printed = printed_row(experiment["published"], beside["set"], row.cell)
            rows.append({"row": row, "printed": printed})
        signals = group.drop_duplicates("signal")[["title", "shape", "informative_planes"]]
        sections.append(
            {
                "title": f"{KIND_TITLES.get(kind, kind)}, {depth}, {shape}",
                "signals": signals.to_dict("records"),
                "set": published["datasets"][beside["set"]] | {"name": beside["set"]}
                if beside
                else None,
                "rows": rows,
            }
        )
    return sections


def drawers(table: pd.DataFrame, results: Path, scale: str) -> list[dict]:
    """Settings, provenance and rerun command of every fit."""
    items = []
    for _, row in table.iterrows():
        path = results / row.folder / "record.json"
        record = Record.load(path)
        # The quotes make the command safe to paste whatever the names are.
        shown = f"results/{scale}/{row.folder}/record.json"
        items.append(
            {
                "row": row,
                "record": record,
                "settings": record.spec.settings.model_dump(exclude_none=True),
                "command": f".venv/bin/lossless-inr rerun {shlex.quote(shown)}",
            }
        )
    return items


def build(*, scale: str, experiments: dict[str, dict], results: Path, output: Path) -> None:
    """Write the report of one scale.

    Parameters
    ----------
    scale : str
    experiments : dict of str to dict
        Validated specs of this scale, as plain data.
    results : Path
        `results/<scale>`, with `fits.parquet`, `tables/` and `figures/`.
    output : Path
        The HTML file.
    """
    fits = pd.read_parquet(results / "fits.parquet")
    published = load_published()
    tables, figures, by_name = [], [], {}
    for name, experiment in experiments.items():
        if experiment["layout"] == "table":
            by_name[name] = table = pd.read_parquet(results / f"tables/{name}.parquet")
            tables.append(
                {
                    "name": name,
                    "experiment": experiment,
                    "sections": kind_sections(table, experiment, published),
                }
            )
        else:
            svg = results / f"figures/{name}.svg"
            # A heat map as SVG can outgrow the page: then the PNG beside it is embedded.
            chosen = svg if svg.stat().st_size < 1_500_000 else svg.with_suffix(".png")
            figures.append({"name": name, "experiment": experiment, "image": image_uri(chosen)})
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("lossless_inr.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "metric": format_metric,
        "flops": format_flops,
        "ber": format_ber,
        "printed": format_printed,
    }
    page = environment.get_template("report.html.j2").render(
        scale=scale,
        head=headline.summarise(fits),
        tables=tables,
        figures=figures,
        findings=findings(fits, results, published, experiments, by_name, scale),
        drawers=drawers(fits, results, scale),
        citations={n: registry.describe("network", n) for n in sorted(fits.network.unique())},
        status_text=STATUS_TEXT,
    )
    output.parent.mkdir(parents=True, exist_ok=True)
    temporary = output.with_suffix(".partial")
    temporary.write_text(page, encoding="utf-8")
    temporary.replace(output)
