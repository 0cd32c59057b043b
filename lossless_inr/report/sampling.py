"""Which fits have a drawer in a report of very many: a file that a browser opens has a limit."""

from __future__ import annotations

import numpy as np
import pandas as pd

# With more fits than this a report shows a sample of them, so many.
MOST_DRAWERS, SAMPLE = 2_200, 1_000
# Rows of other lists that grow with the number of signals.
MOST_ROWS = 500
_METHOD = ["network", "representation", "variant", "recipe", "width", "bits"]


def needs_a_look(fits: pd.DataFrame) -> pd.Series:
    """Fits that failed or diverged, or read as lossless but were not verified."""
    unverified = (fits.status == "lossless") & ~fits.verified.fillna(False).astype(bool)
    return fits.status.isin(["failed", "diverged"]) | unverified


def sample(fits: pd.DataFrame, most: int = MOST_DRAWERS, size: int = SAMPLE) -> pd.DataFrame:
    """All fits of a report of at most `most`, else `size` of them, in the same order.

    Fits that need a look come first, up to half of the sample; then every method in turn, its
    fits evenly spread over their order (so, over signals). Nothing is drawn by chance.

    Parameters
    ----------
    fits : DataFrame
        The table of fits, in the order of the report.
    most, size : int
    """
    if len(fits) <= most:
        return fits
    odd = fits.index[needs_a_look(fits)]
    half = size // 2
    chosen = list(odd if len(odd) <= half else odd[:: -(-len(odd) // half)])
    room, rest = size - len(chosen), fits.drop(index=odd)
    groups = [g.index for _, g in rest.groupby(_METHOD, sort=False, dropna=False)]
    # The smallest first: what they do not need is left to the others.
    for number, group in enumerate(sorted(groups, key=len)):
        take = min(len(group), -(-room // (len(groups) - number)))
        places = np.linspace(0, len(group) - 1, take).round().astype(int)
        chosen += list(group[places])
        room -= take
    return fits.loc[fits.index.isin(chosen)]
