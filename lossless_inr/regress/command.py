"""`lossless-inr regress`: measure, compare, show; or accept."""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from lossless_inr.errors import UserError
from lossless_inr.fitting import provenance
from lossless_inr.regress import baseline, compare, output
from lossless_inr.regress.cases import Cases

BASELINE, REPORT = Path("benchmarks/baseline"), Path("reports/regress")


def names_of(cases: Cases, rows: dict[str, dict]) -> dict[str, list[str]]:
    """Names of the rows that these cases give, of a whole measurement."""
    return {
        "facts": list(rows["facts"]),
        "traces": [case.name for case in cases.traces()],
        "fits": list(dict.fromkeys(case.method for case in cases.fits())),
    }


def gate(
    *,
    quick: bool = False,
    accept: str | None = None,
    parts: tuple[str, ...] = baseline.PARTS,
    threads: int = 1,
    folder: Path = BASELINE,
    report: Path = REPORT,
) -> bool:
    """Run the gate; whether it passed.

    Parameters
    ----------
    quick : bool
        The quick part only.
    accept : str, optional
        Reason for which what is measured becomes the baseline. The gate is then whole.
    parts : tuple of {"facts", "traces", "fits"}
    threads : int
    folder, report : Path
        The baseline, and where `report.md` and `junit.xml` go.

    Raises
    ------
    UserError
        If the baseline is missing or damaged, or a reason is empty.
    """
    unknown = set(parts) - set(baseline.PARTS)
    if unknown:
        raise UserError(f"--part: {sorted(unknown)[0]!r} is none of {', '.join(baseline.PARTS)}")
    if accept is not None:
        if not accept.strip():
            raise UserError('--accept: say why, e.g. make regress-accept REASON="new default rate"')
        if quick or set(parts) != set(baseline.PARTS):
            raise UserError("--accept: a baseline is accepted whole; leave --quick and --part out")
    known = None
    if accept is None or (folder / "facts.json").exists():
        known = baseline.load(folder), baseline.bands(folder) if _has_bands(folder) else {}
    from lossless_inr.regress.measure import Resources, measure  # torch, only once all is well

    started = time.perf_counter()
    cases = Cases(quick=quick)
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("regression gate")
        now = measure(
            cases,
            parts=parts,
            resources=Resources(device="cpu", threads=threads),
            progress=lambda done, of: bar.update(task, completed=done, total=of),
        )
    seconds = time.perf_counter() - started
    rows = []
    if known is not None:
        (base, every, few), bands = known
        rows = compare.compare(base, now, bands=bands, expected=few if quick else every)
        output.write(rows, seconds, report)
        output.to_terminal(rows, seconds)
    if accept is None:
        return not output.failed(rows)
    baseline.save(folder, now, names_of(Cases(quick=True), now))
    baseline.remember(folder, _entry(accept, rows, now))
    return True


def _has_bands(folder: Path) -> bool:
    return (folder / "bands.json").exists()


def _entry(reason: str, rows: list[compare.Row], now: dict) -> dict:
    changed = [row.name for row in rows if row.verdict != "same" and row.part != "speed"]
    middle = {}
    for method, fits in now["fits"].items():
        metric = compare.metric_of(fits)
        middle[method] = [metric, sum(row[metric] for row in fits.values()) / len(fits)]
    return {
        "when": provenance.now(),
        "reason": reason.strip(),
        "git": provenance.git_state(),
        "changed": changed,
        "mean": middle,
    }
