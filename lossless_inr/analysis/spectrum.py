"""Whether iterations follow the frequency along the bit axis (Figure 9).

Images are what is counted, their seeds come first; p values are exact, over all orders of the
images. The control are images whose planes are shuffled: they have as many ones, at other places.
A bias of the values would order them as before, a bias of the bit axis by their own frequency. The
value without a change (DC) is its own shuffle, and so has no control.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import rankdata

# Last part of a signal's name, e.g. `bits8` and `bits8-shuffled3519`.
IMAGES = r"^(?P<image>bits\d+)(?P<shuffled>-shuffled\d+)?$"
SHUFFLED = "-shuffled"
# 9! orders take seconds.
MOST_IMAGES = 8


@dataclass(frozen=True)
class Trend:
    """Rank correlation over images.

    Attributes
    ----------
    rho : float
        Spearman's, in -1 .. 1; NaN if all times, or all frequencies, are equal.
    p : float
        Share of all orders of the images with as large a correlation (one-sided, exact).
    images : int
    """

    rho: float
    p: float
    images: int

    def text(self) -> str:
        """`+0.90 (p = 0.042, 5 images)`."""
        if np.isnan(self.rho):
            return f"none ({self.images} images, all alike)"
        return f"{self.rho:+.2f} (p = {self.p:.2g}, {self.images} images)"


def trend(frequency, time) -> Trend:
    """Rank correlation of times with frequencies, and its exact p value.

    Parameters
    ----------
    frequency : array_like of float, (n,)
        n up to 8.
    time : array_like of float, (n,)
        May be infinite (not reached); equal ones share a rank.

    Raises
    ------
    ValueError
        If the lengths differ, or there are more than 8 images: their orders are not counted.

    Examples
    --------
    >>> trend([0, 1, 3, 7, 15], [90, 120, 150, 200, float("inf")])
    Trend(rho=1.0, p=0.008333333333333333, images=5)
    """
    a, b = rankdata(frequency), rankdata(time)
    n = len(a)
    if n != len(b) or n > MOST_IMAGES:
        raise ValueError(f"{n} frequencies and {len(b)} times; at most {MOST_IMAGES} of each")
    a, b = a - a.mean() if n else a, b - b.mean() if n else b
    scale = float(np.sqrt((a @ a) * (b @ b)))
    if scale == 0:
        return Trend(float("nan"), 1.0, n)
    orders = np.array(list(itertools.permutations(b)))
    # Ranks are halves, so sums of their products are exact but for the mean.
    share = float(np.mean(orders @ a >= a @ b - 1e-9))
    return Trend(round(float(a @ b) / scale, 12), share, n)


def patches(fits: pd.DataFrame) -> pd.DataFrame:
    """Fits of the images of Figure 9, of the size that has most of them.

    Returns
    -------
    DataFrame
        With `image` (`bits8`), `shuffled` (whether its planes are) and `usual_changes`, those of
        the same image before. Empty if there are none, or the table is of before they were counted.
    """
    columns = ["image", "shuffled", "usual_changes"]
    if fits.empty or "plane_changes" not in fits:
        wanted = dict.fromkeys([*fits.columns, "plane_changes", *columns])
        return fits.iloc[:0].reindex(columns=list(wanted))
    parts = fits.signal.str.rsplit("/", n=1, expand=True)
    names = parts[1].str.extract(IMAGES)
    chosen = fits.assign(image=names.image, shuffled=names.shuffled.notna(), size=parts[0])
    known = chosen.image.notna() & (chosen.kind == "synthetic") & (chosen.status != "failed")
    chosen = chosen[known & chosen.plane_changes.notna()]
    if len(chosen):
        chosen = chosen[chosen["size"] == chosen["size"].mode()[0]]
    usual = chosen[~chosen.shuffled].groupby("image").plane_changes.first()
    return chosen.drop(columns="size").assign(usual_changes=chosen.image.map(usual))
