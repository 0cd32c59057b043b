"""Ratios from counts (BER, RMSE, PSNR) and SSIM on integers.

Definitions follow section 4.1 of the paper: everything is measured after quantisation to
integers, and PSNR is 20 log10((2**n - 1) / RMSE), infinite exactly when nothing differs.
"""

from __future__ import annotations

import math

import numpy as np

SSIM_WINDOW = 11  # Gaussian with sigma 1.5, truncated at 3.5 sigma: 11 samples wide


def bit_error_rate(wrong_bits: int, samples: int, bits: int) -> float:
    """Wrong bits over all bits; 0.5 is what random output gives.

    Examples
    --------
    >>> bit_error_rate(3, 2, 8)
    0.1875
    """
    return wrong_bits / (samples * bits)


def rmse(squared_error: int, samples: int) -> float:
    """Root mean squared error in integer grey levels, from an exact sum."""
    return math.sqrt(squared_error / samples)


def psnr(squared_error: int, samples: int, bits: int) -> float:
    """Peak signal-to-noise ratio in dB with peak 2**bits - 1; `inf` when lossless.

    Examples
    --------
    >>> round(psnr(1, 256 * 256 * 3, 8), 2)
    101.07
    """
    if squared_error == 0:
        return math.inf
    return 20 * math.log10((2**bits - 1) / rmse(squared_error, samples))


def ssim(decoded: np.ndarray, truth: np.ndarray, bits: int) -> float | None:
    """Structural similarity of integer images, Gaussian window sigma 1.5.

    Parameters
    ----------
    decoded, truth : ndarray of int, (height, width, channels)
    bits : int
        The data range 2**bits - 1 is passed explicitly: for integer arrays the library would
        otherwise take the range of the dtype and find everything similar.

    Returns
    -------
    float or None
        1.0 exactly when both are equal; None for signals that are not images of at least
        11x11 samples, the size of the window.

    References
    ----------
    Wang et al., "Image quality assessment", IEEE TIP 2004; settings of scikit-image's manual.
    """
    if truth.ndim != 3 or min(truth.shape[:2]) < SSIM_WINDOW:
        return None
    if np.array_equal(decoded, truth):
        return 1.0
    from skimage.metrics import structural_similarity

    value = float(
        structural_similarity(
            truth.astype(np.float64),
            decoded.astype(np.float64),
            data_range=2**bits - 1,
            channel_axis=-1,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
    )
    # One wrong bit of 16 can round to 1.0, which is kept for images that are equal.
    return min(value, math.nextafter(1.0, 0.0))
