"""Results to one offline HTML file.

Everything comes from files: the table of fits, the tables, the figures, the records and the
printed numbers. All text is escaped by the template engine; figures are embedded as images, so
no part of a record can become markup, and the page allows no script but its own.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import jinja2
import pandas as pd

from lossless_inr import registry
from lossless_inr.published import load_published
from lossless_inr.report import headline
from lossless_inr.report.compression_page import compression_page
from lossless_inr.report.curves import Curves
from lossless_inr.report.drawers import drawers
from lossless_inr.report.expansion_page import expansion_page
from lossless_inr.report.findings import findings
from lossless_inr.report.formats import FILTERS
from lossless_inr.report.guard_page import guard_page
from lossless_inr.report.labels import KIND_TITLES, STATUS_TEXT
from lossless_inr.report.planned import Planned
from lossless_inr.report.rate_page import rate_page
from lossless_inr.report.sampling import MOST_ROWS, sample
from lossless_inr.report.sections import figure_page, table_page
from lossless_inr.report.speech_page import speech_page
from lossless_inr.report.statistics_page import statistics
from lossless_inr.report.timeline_page import timeline_page


def environment() -> jinja2.Environment:
    """Templates that escape everything and refuse a name they do not know."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("lossless_inr.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= FILTERS
    return made


def read_table(path: Path) -> pd.DataFrame:
    """A table of fits, its text as plain strings: small groups of it are then quick to make."""
    table = pd.read_parquet(path)
    for name in table.columns:
        if pd.api.types.is_string_dtype(table[name]):
            text = table[name].astype(object)
            table[name] = text.where(text.notna(), None)
    return table


def in_order(fits: pd.DataFrame) -> pd.DataFrame:
    """Fits by signal and method, not by shard; photographs and large signals first."""
    kind = fits.kind.map({name: place for place, name in enumerate(KIND_TITLES)})
    keys = ["kind", "bits", "samples", "signal", "representation", "network", "recipe", "variant"]
    keyed = fits.assign(kind=kind, samples=-fits.samples)
    order = keyed.sort_values([*keys, "width", "budget", "seed"], kind="stable").index
    return fits.loc[order].reset_index(drop=True)


def build(
    *,
    scale: str,
    experiments: dict[str, dict],
    results: Path,
    output: Path,
    prepared: Path = Path("data/prepared"),
    guard: Path = Path("benchmarks"),
    planned: dict[str, int] | None = None,
    planned_fits: dict[str, list[dict]] | None = None,
) -> None:
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
    prepared : Path
        Prepared signals, for the pictures.
    guard : Path
        Accepted baselines of the regression gate and its studies.
    planned : dict of str to int, optional
        Experiment -> number of planned fits, where some may not be run yet.
    planned_fits : dict of str to list of dict, optional
        Those fits (see `Plan.planned_fits`); pages then name what is not run.
    """
    fits = in_order(read_table(results / "fits.parquet"))
    published, curves = load_published(), Curves(results)
    plan = Planned(fits, planned, planned_fits)
    pages, tables = [], {}
    for name, experiment in experiments.items():
        if experiment["layout"] == "table":
            tables[name] = table = read_table(results / f"tables/{name}.parquet")
            pages.append(table_page(name, experiment, table, published, plan, prepared))
        else:
            pages.append(figure_page(name, experiment, results, plan))
    found = findings(fits, curves, published, experiments, tables, scale, plan)
    for page in pages:
        shown, of = set(page["digests"]), page["experiment"]["published"]
        page["claims"] = [c for c in found["claims"] if shown & set(c["verdict"].evidence)]
        page["cells"] = [c for c in found["cells"] if of and c["printed"].table == of]
    drawn = sample(fits)
    every = drawers(drawn, results, prepared, scale, curves)
    for page in pages:
        shown = set(page["digests"])
        page["drawers"] = [one for one in every if one["digest"] in shown]
    whole = fits[~fits.spec_digest.isin(plan.cut_short())]
    _write(
        output,
        "report.html.j2",
        drawn={one["id"] for one in every},
        scale=scale,
        first="overview",
        head=headline.summarise(fits, whole),
        pages=pages,
        not_begun=plan.not_begun(list(experiments)),
        planned_total=len({d for f in plan.fits.values() for d in f.digest}) or len(fits),
        cut_short=len(plan.cut_short() & set(fits.spec_digest)),
        findings=found,
        statistics=statistics(whole, curves),
        rate=rate_page(results, fits),
        speech=speech_page(results, fits, published) if "table9" in experiments else None,
        expansion=expansion_page(results, fits, published) if "table5" in experiments else None,
        guard=guard_page(guard),
        compression=compression_page(results, published),
        drawers=every,
        timeline=timeline_page(fits, results),
        most_rows=MOST_ROWS,
        citations={n: registry.describe("network", n) for n in sorted(fits.network.unique())},
        status_text=STATUS_TEXT,
    )


def build_compression(*, scale: str, results: Path, output: Path) -> None:
    """Write the report of Tables 6 and 7 alone, which have no fits.

    Parameters
    ----------
    scale : str
    results : Path
        `results/<scale>`, with `compression/`.
    output : Path
        The HTML file.
    """
    page = compression_page(results, load_published(), here_only=True)
    content = {"scale": scale, "first": "compression", "compression": page}
    _write(output, "compression.html.j2", drawn=set(), **content)


def _write(output: Path, template: str, *, drawn: set[str], **content) -> None:
    """Render a template around the script, whose digest is all that the page allows to run.

    `drawn` are the fits that a link can lead to.
    """
    made = environment()
    made.globals["drawn"] = drawn
    script = made.get_template("report.js").render()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    text = made.get_template(template).render(script_digest=digest, **content)
    output.parent.mkdir(parents=True, exist_ok=True)
    temporary = output.with_suffix(".partial")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(output)
