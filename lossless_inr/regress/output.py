"""Verdicts as a table for the terminal, as JUnit XML and as Markdown. Imports no torch."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lossless_inr.files import replacing
from lossless_inr.regress.compare import Row

ARROWS = {
    "same": "=",
    "changed": "≠",
    "worse": "▲",
    "missing": "✗",
    "better": "▼",
    "new": "+",
    "slower": "△",
    "faster": "▽",
}
COLOURS = {"changed": "red", "worse": "red", "missing": "red", "better": "green"}
# What XML 1.0 cannot hold.
CONTROL = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
MOST = 30


def summary(rows: list[Row], seconds: float) -> str:
    """One line: passed or failed, and the count of each verdict."""
    counts = Counter(row.verdict for row in rows)
    shown = ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common())
    return f"regression gate {'FAILED' if failed(rows) else 'passed'}: {shown} ({seconds:.0f} s)"


def failed(rows: list[Row]) -> bool:
    """Whether any row fails."""
    return any(row.failed for row in rows)


def shown(rows: list[Row]) -> list[Row]:
    """What a reader wants: failures first, then notes, then the banded rows."""
    order = {"changed": 0, "missing": 0, "worse": 0, "better": 1, "new": 2, "slower": 2}
    picked = [row for row in rows if row.verdict != "same" or row.part == "fits"]
    return sorted(picked, key=lambda row: order.get(row.verdict, 3))


def _effect(row: Row) -> str:
    return "" if row.effect is None else f"x{row.effect:.3f}"


def _p(row: Row) -> str:
    return "" if row.p is None else f"{row.p:.2g}"


def to_terminal(rows: list[Row], seconds: float, console: Console | None = None) -> None:
    """Print the table; ▲ is worse (more iterations or wrong bits), ▼ better, ≠ not equal."""
    console = console or Console()
    table = Table(box=None, pad_edge=False)
    for title in ("", "row", "now/before", "p", "what"):
        table.add_column(title, overflow="fold")
    picked = shown(rows)
    for row in picked[:MOST]:
        style = COLOURS.get(row.verdict, "")
        cells = (ARROWS[row.verdict] + " " + row.verdict, row.name, _effect(row), _p(row))
        table.add_row(*map(escape, (*cells, row.detail)), style=style)
    console.print(table)
    if len(picked) > MOST:
        console.print(f"... and {len(picked) - MOST} more: reports/regress/report.md")
    console.print(escape(summary(rows, seconds)))


def to_markdown(rows: list[Row], seconds: float) -> str:
    """The same as Markdown, for a CI job's summary."""
    lines = [f"## {summary(rows, seconds)}", ""]
    lines += ["| | row | now/before | p | what |", "| --- | --- | ---: | ---: | --- |"]
    for row in shown(rows):
        mark = f"{ARROWS[row.verdict]} {row.verdict}"
        cells = (mark, row.name, _effect(row), _p(row), row.detail)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    lines += [
        "",
        "Rows without an entry are equal to the baseline. ▲ worse, ▼ better, ≠ not equal.",
    ]
    return "\n".join(lines) + "\n"


def to_junit(rows: list[Row], seconds: float) -> str:
    """The same as JUnit XML: a test case a row, a suite a part."""
    root = ElementTree.Element("testsuites", name="regression gate", time=f"{seconds:.1f}")
    for part in dict.fromkeys(row.part for row in rows):
        mine = [row for row in rows if row.part == part]
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            name=part,
            tests=str(len(mine)),
            failures=str(sum(row.failed for row in mine)),
            errors="0",
        )
        for row in mine:
            case = ElementTree.SubElement(
                suite, "testcase", classname=f"regress.{part}", name=CONTROL.sub("?", row.name)
            )
            words = CONTROL.sub("?", " ".join(filter(None, (row.detail, _effect(row)))))
            if row.failed:
                ElementTree.SubElement(case, "failure", type=row.verdict, message=words)
            elif words:
                ElementTree.SubElement(case, "system-out").text = f"{row.verdict}: {words}"
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def write(rows: list[Row], seconds: float, folder: Path) -> None:
    """`report.md` and `junit.xml`."""
    for name, text in (
        ("report.md", to_markdown(rows, seconds)),
        ("junit.xml", to_junit(rows, seconds)),
    ):
        with replacing(folder / name, "w", encoding="utf-8") as file:
            file.write(text)
