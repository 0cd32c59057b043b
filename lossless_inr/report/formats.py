"""Numbers as text. A dash is a value that does not exist."""

from __future__ import annotations

import base64
import math
from pathlib import Path

import pandas as pd

from lossless_inr.analysis.statistics import Spread, Summary

DASH = "–"


def format_metric(value: float | None, digits: int = 2) -> str:
    """A metric for a table cell; infinity is the sign, missing is a dash.

    0 and 1 mean lossless for some metrics, so nothing else is rounded to them.

    Examples
    --------
    >>> format_metric(0.99996, 4), format_metric(1.0, 4), format_metric(0.0004, 3)
    ('0.99996', '1.0000', '4.0e-04')
    """
    if value is None or pd.isna(value):
        return DASH
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    text = f"{value:.{digits}f}"
    if value != 0 and float(text) == 0:
        return f"{value:.1e}"
    while value != 1 and float(text) == 1 and digits < 9:
        digits += 1
        text = f"{value:.{digits}f}"
    return text


def format_flops(value: float | None, unit: str = "FLOP") -> str:
    """FLOPs (or another count) with a decimal prefix, e.g. `6.29 GFLOP`."""
    if value is None or pd.isna(value):
        return DASH
    for factor, prefix in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M")):
        if value >= factor:
            return f"{value / factor:.3g} {prefix}{unit}"
    return f"{value:,.0f} {unit}".strip()


def format_seconds(value: float | None) -> str:
    """Seconds, e.g. `0.35 s`."""
    return DASH if value is None or pd.isna(value) else f"{value:.3g} s"


def format_count(value: float | None) -> str:
    """A whole number with separators."""
    return DASH if value is None or pd.isna(value) else f"{int(value):,}"


def format_samples(value: float | None) -> str:
    """Rows seen, with a prefix."""
    return format_flops(value, "").strip()


def format_ber(value: float | None) -> str:
    """A bit-error rate; exactly zero is `0`."""
    if value is None or pd.isna(value):
        return DASH
    return "0" if value == 0 else f"{value:.4f}" if value >= 1e-3 else f"{value:.1e}"


def format_printed(cell: dict | None, shown) -> str:
    """A printed cell: its value, with the deviation where there is one."""
    if cell is None:
        return ""
    deviation = f" ± {cell['std']:g}" if pd.notna(cell["std"]) else ""
    return f"{shown(cell['value'])}{deviation}"


def format_times(times: Summary | None, cost: str) -> str:
    """A Kaplan-Meier median over signals in the unit of its cost, or what it exceeds.

    The deviation over signals stands beside it unless one of them is censored.

    Examples
    --------
    >>> format_times(Summary(2, 2, 9e9, None, 9e9, 1e9), "flops")
    '9 GFLOP ± 1 GFLOP'
    >>> format_times(Summary(2, 0, None, 1000, None, None), "iterations")
    '> 1,000 (0 of 2)'
    """
    if times is None:
        return DASH
    number = {"flops": format_flops, "seconds": format_seconds, "samples_seen": format_samples}
    number = number.get(cost, format_count)
    if times.median is None:
        return f"> {number(times.bound)} ({times.reached} of {times.n})"
    censored = f" ({times.reached} of {times.n})" if times.reached < times.n else ""
    spread = f" ± {number(times.std)}" if times.std else ""
    return number(times.median) + spread + censored


def format_spread(spread: Spread | None, shown) -> str:
    """Median over signals, and the deviation where every value is finite."""
    if spread is None:
        return DASH
    return shown(spread.median) + (f" ± {spread.std:.2g}" if spread.std else "")


def format_p(value: float | None) -> str:
    """A p value."""
    if value is None:
        return DASH
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def sort_key(value: object) -> str:
    """What the browser sorts a cell by: the exact number, or nothing."""
    if value is None or pd.isna(value):
        return ""
    return "Infinity" if value == math.inf else repr(float(value))


def image_uri(path: Path) -> str:
    """A figure as a data address, so that the report is one file."""
    kind = {".svg": "image/svg+xml", ".png": "image/png"}[path.suffix]
    return data_uri(path.read_bytes(), kind)


def data_uri(content: bytes, kind: str) -> str:
    """Bytes as a data address."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _shown_as(name: str):
    return FILTERS[name]


FILTERS = {
    "shown_as": _shown_as,
    "metric": format_metric,
    "flops": format_flops,
    "seconds": format_seconds,
    "count": format_count,
    "samples": format_samples,
    "ber": format_ber,
    "printed": format_printed,
    "times": format_times,
    "spread": format_spread,
    "p": format_p,
    "sort_key": sort_key,
}
