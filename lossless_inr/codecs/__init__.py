"""Lossless codecs that people use, over integer samples in memory. Imports no torch.

`usual` has one setting of each, for `compare` and the baselines; `rows` every setting that Table 6
shows, with its versions; `sizes` what a row makes of a set of images.
"""

from lossless_inr.codecs.rows import Row, image_rows, sound_rows
from lossless_inr.codecs.sizes import Sizes, mosaic, sizes
from lossless_inr.codecs.usual import (
    FLAC_SUBTYPES,
    FLOAT_SUBTYPES,
    MOST_FLAC_RATE,
    MOST_WEBP_SIDE,
    WAV_SUBTYPES,
    Codec,
    image_codecs,
    offset_binary,
    pcm,
    sound_codecs,
    zlib_size,
    zstd_size,
)

__all__ = [
    "FLAC_SUBTYPES",
    "FLOAT_SUBTYPES",
    "MOST_FLAC_RATE",
    "MOST_WEBP_SIDE",
    "WAV_SUBTYPES",
    "Codec",
    "Row",
    "Sizes",
    "image_codecs",
    "image_rows",
    "mosaic",
    "offset_binary",
    "pcm",
    "sizes",
    "sound_codecs",
    "sound_rows",
    "zlib_size",
    "zstd_size",
]
