"""Bootstrap interval of a mean rate over images."""

from __future__ import annotations

import math

import numpy as np
from scipy.stats import bootstrap


def interval(rates: np.ndarray) -> tuple[float, float]:
    """95 % interval of the mean, percentiles of bootstrap means; NaN for a single image.

    Parameters
    ----------
    rates : ndarray of float, (images,)

    Examples
    --------
    >>> interval(np.array([2.0, 2.0, 2.0]))
    (2.0, 2.0)
    """
    if len(rates) < 2:
        return math.nan, math.nan
    found = bootstrap(
        (rates,), np.mean, n_resamples=2000, batch=100, method="percentile",
        rng=np.random.default_rng(0),
    )  # fmt: skip
    low, high = found.confidence_interval
    return float(low), float(high)
