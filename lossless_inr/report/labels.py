"""Words of the report: what methods, outcomes and kinds of data are called.

Methods are called as in the figures.
"""

from __future__ import annotations

import pandas as pd

from lossless_inr import registry

FORMS = {
    "direct": "",
    "bitplane": " + bit planes",
    "bithead": " + bit head",
    "bitchannel": " + bit and channel",
}
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


def _digits(variant: str) -> tuple[str, str]:
    """Form and remaining variant of a network per digit, e.g. of `digit_bits=2`."""
    parts = [part for part in variant.split(", ") if part]
    given = dict(part.split("=", 1) for part in parts if "=" in part)
    default = registry.describe("representation", "digits").parameters["digit_bits"]
    n = int(given.get("digit_bits", default))
    rest = ", ".join(part for part in parts if not part.startswith("digit_bits="))
    return f" + digits of {n} bit{'s' if n > 1 else ''}", rest


def method_name(fit: pd.Series | dict) -> str:
    """Network, form, variant and recipe, e.g. `SIREN + bit planes, published`.

    Parameters
    ----------
    fit : Series or dict
        With `network`, `representation`, `variant` and `recipe`.

    Examples
    --------
    >>> names = {"network": "siren", "representation": "digits", "recipe": "published"}
    >>> method_name(names | {"variant": "digit_bits=2"})
    'SIREN + digits of 2 bits, published'
    """
    form, variant = fit["representation"], fit["variant"] or ""
    text = FORMS.get(form, f" + {form}")
    if form == "digits":
        text, variant = _digits(variant)
    label = registry.describe("network", fit["network"]).label
    return f"{label}{text}{f' ({variant})' if variant else ''}, {fit['recipe']}"


def with_widths(fits: pd.DataFrame) -> pd.Series:
    """Name of each fit's method, and its width where several stand side by side."""
    names = pd.Series([method_name(fit) for _, fit in fits.iterrows()], index=fits.index, dtype=str)
    several = fits.groupby([fits.signal, names]).width.transform("nunique") > 1
    return names.where(~names.isin(names[several]), names + ", " + fits.width.astype(str) + " wide")


def names_of_fits(fits: pd.DataFrame) -> dict[str, str]:
    """Digest -> signal, method, budget and seed, e.g. for a link."""
    names = with_widths(fits)
    return {
        row.spec_digest: f"{row.title}, {names[k]}, {row.budget:,} iterations, seed {row.seed}"
        for k, row in fits.iterrows()
    }
