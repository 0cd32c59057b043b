"""Which integers must come back exactly: shape, bit depth and where they come from."""

from lossless_inr.signals.signal import Signal, plane_statistics, samples_sha256

__all__ = ["Signal", "plane_statistics", "samples_sha256"]
