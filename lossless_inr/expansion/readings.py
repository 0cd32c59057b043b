"""From what a network says of the low bits, or of the image, to integers. NumPy only.

Every reading keeps the known top bits x, so the error is below one step 2**(m - q).
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import uniform_filter

# Of `posterior_shares`: side of its window, points of its sums, and a variance below which those
# points are too few.
WINDOW, NODES, LEAST_VARIANCE = 5, 64, 1e-3


def assemble(known: np.ndarray, low: np.ndarray, step: int) -> np.ndarray:
    """Known top bits with a guess of the low ones, rounded into what they can be.

    Parameters
    ----------
    known : ndarray of int64
        x.
    low : ndarray of float64, same shape
        Guess of y - x `step`; half to even, clamped to 0 .. step - 1.
    step : int
        2**(m - q).

    Returns
    -------
    ndarray of int64, same shape
    """
    # NaN has no integer; what diverged guesses 0.
    whole = np.rint(np.nan_to_num(low, nan=0.0, posinf=step, neginf=0.0))
    return known * step + np.clip(whole, 0, step - 1).astype(np.int64)


def from_planes(probabilities: np.ndarray, known: np.ndarray) -> dict[str, np.ndarray]:
    """Expansions of the known top bits by what a network says of the planes below.

    Parameters
    ----------
    probabilities : ndarray of float64, (m - q, *shape)
        Of a one, least significant plane first.
    known : ndarray of int64, shape
        x.

    Returns
    -------
    dict of str to ndarray of int64, shape
        `threshold`: bit = 1 iff p > 0.5, as the paper decodes. `expected`: sum of 2**i p_i, the
        mean if the planes are independent; at p = 0.5 it is the midpoint.
    """
    weight = (2.0 ** np.arange(len(probabilities))).reshape(-1, *[1] * known.ndim)
    step = 1 << len(probabilities)
    return {
        "threshold": assemble(known, (weight * (probabilities > 0.5)).sum(0), step),
        "expected": assemble(known, (weight * probabilities).sum(0), step),
    }


def posterior_shares(shares: np.ndarray) -> np.ndarray:
    """Mean of what lies in a known step and was predicted there or elsewhere, with some error.

    The truth is uniform in its step, 0 ... 1; a prediction of it has a normal error. The variance
    of that error is read off the image itself: the mean squared distance of the predictions around
    (a window of `WINDOW` x `WINDOW`) to the middles of their steps, less the 1/12 that a step
    scatters. Where predictions are worse than a step, this is the midpoint.

    Parameters
    ----------
    shares : ndarray of float64, (height, width, channels)
        Predictions, 0 ... 1 inside the step and beyond outside of it.

    Returns
    -------
    ndarray of float64, same shape
        In 0 ... 1.
    """
    # What diverged predicts nothing: so far off that its mean is the midpoint.
    shares = np.nan_to_num(shares, nan=1e6, posinf=1e6, neginf=-1e6).clip(-1e6, 1e6)
    around = uniform_filter((shares - 0.5) ** 2, size=(WINDOW, WINDOW, 1), mode="nearest")
    variance = np.maximum(around - 1 / 12, LEAST_VARIANCE)
    nearest = np.clip(shares, 0, 1)
    total = mean = np.zeros_like(shares)
    for node in (np.arange(NODES) + 0.5) / NODES:
        # Relative to the most likely point, so that no sum of weights is 0.
        weight = np.exp(((nearest - shares) ** 2 - (node - shares) ** 2) / (2 * variance))
        total, mean = total + weight, mean + weight * node
    return mean / np.maximum(total, np.finfo(float).tiny)


def from_values(
    levels: np.ndarray, known: np.ndarray, bits: int, target: int
) -> dict[str, np.ndarray]:
    """Expansions by a smooth fit of x, kept inside the interval that x leaves.

    x is the floor of y / 2**(m - q), so a level v of the fit stands for the middle of its step,
    (v + 1/2) 2**(m - q) - 1/2; a fit that meets x everywhere gives the midpoint.

    Parameters
    ----------
    levels : ndarray of float64, (height, width, channels)
        What the network returns, in levels of x.
    known : ndarray of int64, same shape
        x.
    bits, target : int

    Returns
    -------
    dict of str to ndarray of int64, same shape
        `value`: clamped to the interval. `posterior`: see `posterior_shares`.
    """
    step, shares = 1 << (target - bits), levels - known + 0.5
    return {
        "value": assemble(known, shares * step - 0.5, step),
        "posterior": assemble(known, posterior_shares(shares) * step - 0.5, step),
    }


def neighbour_shares(known: np.ndarray) -> np.ndarray:
    """Predict each sample by the mean of its four neighbours' mid-steps; no network.

    Parameters
    ----------
    known : ndarray of int64, (height, width, channels)
        x; beyond an edge its samples are repeated.

    Returns
    -------
    ndarray of float64, same shape
        0 ... 1 inside the known step and beyond outside of it, as `posterior_shares` takes them.
    """
    around = np.pad(known + 0.5, ((1, 1), (1, 1), (0, 0)), mode="edge")
    mean = around[:-2, 1:-1] + around[2:, 1:-1] + around[1:-1, :-2] + around[1:-1, 2:]
    return mean / 4 - known
