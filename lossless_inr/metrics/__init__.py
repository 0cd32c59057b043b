"""Exact integer counts first; ratios are derived from counts. Arrays only, no networks."""

from lossless_inr.metrics.counts import count_errors, wrong_bits_per_plane
from lossless_inr.metrics.floats import LEVEL_BITS, float_values, levels, word_errors
from lossless_inr.metrics.quality import bit_error_rate, psnr, rmse, ssim

__all__ = [
    "LEVEL_BITS",
    "bit_error_rate",
    "count_errors",
    "float_values",
    "levels",
    "psnr",
    "rmse",
    "ssim",
    "word_errors",
    "wrong_bits_per_plane",
]
