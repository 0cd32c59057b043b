"""Bootstrap interval of a mean rate over images."""

from __future__ import annotations

import math

import numpy as np

RESAMPLES = 2000


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
    generator, means = np.random.default_rng(0), []
    for _ in range(RESAMPLES):
        means.append(rates[generator.integers(len(rates), size=len(rates))].mean())
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)
