"""Whether iterations follow the frequency along the bit axis (Figure 9).

Images are what is counted, their seeds come first; p values are exact for as few images as the
experiment has. The control are images whose planes are shuffled: they have as many ones, at other
places. A bias of the values would order them as before, a bias of the bit axis by their own
frequency. The value without a change (DC) is its own shuffle, and so has no control.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import rankdata, spearmanr

# Last part of a signal's name, e.g. `bits8` and `bits8-shuffled3519`.
IMAGES = r"^(?P<image>bits\d+)(?P<shuffled>-shuffled\d+)?$"
SHUFFLED = "-shuffled"
LEVEL = 0.05
WAYS = ("greater", "less")
# Of more images the orders are too many to count: 9! take seconds.
MOST_COUNTED = 8


@dataclass(frozen=True)
class Trend:
    """Rank correlation over images.

    Attributes
    ----------
    rho : float
        Spearman's, in -1 .. 1; NaN if all times, or all frequencies, are equal.
    p : float
        Share of all orders of the images with as large a correlation (one-sided).
    reverse : float
        The same of as small a correlation.
    images : int
    """

    rho: float
    p: float
    reverse: float
    images: int

    def text(self) -> str:
        """`+0.90 (p = 0.042, 5 images)`."""
        if np.isnan(self.rho):
            return f"none ({self.images} images, all alike)"
        return f"{self.rho:+.2f} (p = {self.p:.2g}, {self.images} images)"


def trend(frequency, time) -> Trend:
    """Rank correlation of times with frequencies, and its p value.

    Up to 8 images all orders are counted; beyond, it is that of SciPy's `spearmanr`.

    Parameters
    ----------
    frequency : array_like of float, (n,)
    time : array_like of float, (n,)
        May be infinite (not reached); equal ones share a rank.

    Raises
    ------
    ValueError
        If the lengths differ.

    Examples
    --------
    >>> trend([0, 1, 3, 7, 15], [90, 120, 150, 200, float("inf")])
    Trend(rho=1.0, p=0.008333333333333333, reverse=1.0, images=5)
    """
    a, b = rankdata(frequency), rankdata(time)
    n = len(a)
    if n != len(b):
        raise ValueError(f"{n} frequencies and {len(b)} times")
    a, b = a - a.mean() if n else a, b - b.mean() if n else b
    scale = float(np.sqrt((a @ a) * (b @ b)))
    if scale == 0:
        return Trend(float("nan"), 1.0, 1.0, n)
    rho = round(float(a @ b) / scale, 12)
    if n > MOST_COUNTED:
        return Trend(rho, *(float(spearmanr(a, b, alternative=way).pvalue) for way in WAYS), n)
    every = np.array(list(itertools.permutations(b))) @ a
    # Ranks are halves, so sums of their products are exact but for the mean.
    larger, smaller = np.mean(every >= a @ b - 1e-9), np.mean(every <= a @ b + 1e-9)
    return Trend(rho, float(larger), float(smaller), n)


def crossings(fits: pd.DataFrame) -> list[tuple[float, float]]:
    """Pairs of images of which the higher frequency is lossless first, whatever the seeds.

    Parameters
    ----------
    fits : DataFrame
        Of one method, with `plane_changes`; a fit that was not lossless is later than any.

    Returns
    -------
    list of (float, float)
        (higher, lower) frequency. Empty where there are too few seeds to tell such pairs from
        chance: were two images alike, all of one's n seeds would come first in 1 of C(2 n, n)
        cases, and every pair of images is tried (0.05 over all pairs, after Bonferroni).
    """
    time = fits.iterations.where(fits.status == "lossless", math.inf).astype(float)
    groups = [
        (key[0], one.to_numpy()) for key, one in time.groupby([fits.plane_changes, fits.signal])
    ]
    pairs = list(itertools.combinations(groups, 2))
    return [
        (high, low)
        for (low, slow), (high, fast) in pairs
        if low < high
        and fast.max() < slow.min()
        and len(pairs) / math.comb(len(slow) + len(fast), len(fast)) <= LEVEL
    ]


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
