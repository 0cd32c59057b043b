"""Exact integer counts first; ratios are derived from counts. Arrays only, no networks."""

from lossless_inr.metrics.counts import count_errors, wrong_bits_per_plane
from lossless_inr.metrics.quality import bit_error_rate, psnr, rmse, ssim

__all__ = ["bit_error_rate", "count_errors", "psnr", "rmse", "ssim", "wrong_bits_per_plane"]
