"""Settings of codecs: the rows of Table 6, each with its library, versions and settings.

A container holds 8 or 16 bits a sample, so 12-bit samples are held as 16. Which shapes and depths
a row takes is what makes the round trip exactly (tests/unit/test_codec_rows.py), not what its
encoder accepts: AVIF by Pillow, for one, accepts RGB and changes it.
"""

from __future__ import annotations

import importlib.metadata
import io
import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from lossless_inr.codecs.usual import FLAC_SUBTYPES, MOST_WEBP_SIDE, offset_binary, pcm

MOSAIC, CONCATENATED = "one mosaic", "concatenated"
# What OpenCV's TIFF files have and Pillow's only when told: tags PlanarConfiguration, Predictor
# (horizontal), SamplesPerPixel (also where it is 1) and SampleFormat; strips of 8 KiB. Files of the
# two are the same bytes then.
OPENCV_TAGS, OPENCV_STRIP = {284: 1, 317: 2, 339: 1}, 1 << 13
PNG_FILTERS = ("NO", "SUB", "UP", "AVG", "PAETH", "FAST", "ALL")
PNG_STRATEGIES = ("DEFAULT", "FILTERED")


@dataclass(frozen=True)
class Row:
    """One codec at one setting.

    Attributes
    ----------
    name : str
    library : str
        Distribution, as pip knows it.
    inside : callable
        -> name and version of the codec's own library inside of the distribution.
    settings : str
        What is not the library's default, and that default where it is a choice.
    encode : callable
        ndarray of uint8 or uint16, (height, width, channels) or (samples, channels) -> bytes.
    decode : callable
        (bytes, shape) -> the same ndarray.
    holds : mapping
        Bits of the container -> numbers of channels that come back exactly.
    together : str
        How many signals become one stream: `MOSAIC` or `CONCATENATED`.
    most_side : int
        Largest height or width of an image.
    """

    name: str
    library: str
    inside: Callable[[], str]
    settings: str
    encode: Callable[[np.ndarray], bytes]
    decode: Callable[[bytes, tuple[int, ...]], np.ndarray]
    holds: Mapping[int, tuple[int, ...]]
    together: str = MOSAIC
    most_side: int = 2**16 - 1

    @property
    def version(self) -> str:
        """Of the distribution, and of the codec's library inside of it."""
        return f"{importlib.metadata.version(self.library)} ({self.inside()})"

    def takes(self, shape: tuple[int, ...], bits: int) -> bool:
        """Whether samples of such a shape and depth come back exactly.

        Parameters
        ----------
        shape : tuple of int
            (height, width, channels) or (samples, channels).
        bits : int
        """
        container = next((held for held in sorted(self.holds) if bits <= held), None)
        small = self.together == CONCATENATED or max(shape[:-1]) <= self.most_side
        return container is not None and shape[-1] in self.holds[container] and small


def _flat(samples: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(samples[..., 0] if samples.shape[-1] == 1 else samples)


def _shaped(decoded: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Give back what containers change: grey that became RGB, an opaque alpha that was dropped."""
    decoded = np.asarray(decoded)
    if decoded.ndim == 2:
        decoded = decoded[..., None]
    missing = shape[-1] - decoded.shape[-1]
    if missing == 1 and shape[-1] in (2, 4):
        opaque = np.full((*decoded.shape[:2], 1), np.iinfo(decoded.dtype).max, decoded.dtype)
        decoded = np.concatenate([decoded, opaque], axis=2)
    elif shape[-1] == 1 and (decoded == decoded[..., :1]).all():
        decoded = decoded[..., :1]
    return decoded.reshape(shape)


def _imagecodecs(
    name: str, kind: str, settings: str, holds: Mapping, *, prepare=_flat, most_side=2**16 - 1,
    **options,
) -> Row:  # fmt: skip
    import imagecodecs

    encode = getattr(imagecodecs, f"{kind}_encode")
    decode = getattr(imagecodecs, f"{kind}_decode")
    return Row(
        name, "imagecodecs", getattr(imagecodecs, f"{kind}_version"), settings,
        lambda samples: bytes(encode(prepare(samples), **options)),
        lambda code, shape: _shaped(decode(code), shape),
        holds, most_side=most_side,
    )  # fmt: skip


def _pillow(
    name: str, kind: str, feature: str, settings: str, holds: Mapping, *, tags=None,
    most_side=2**16 - 1, **options,
) -> Row:  # fmt: skip
    from PIL import Image, features

    def encode(samples: np.ndarray) -> bytes:
        file = io.BytesIO()
        more = {}
        if tags:
            more["tiffinfo"] = tags | {277: samples.shape[-1]}
        Image.fromarray(_flat(samples)).save(file, kind, **options, **more)
        return file.getvalue()

    def decode(code: bytes, shape: tuple[int, ...]) -> np.ndarray:
        return _shaped(np.asarray(Image.open(io.BytesIO(code))), shape)

    def inside() -> str:
        return f"{feature} {features.version(feature)}"

    return Row(name, "pillow", inside, settings, encode, decode, holds, most_side=most_side)


def _smallest_png() -> Row:
    """PNG by every filter and strategy, of which the shortest file counts, as optimisers do it."""
    import imagecodecs

    png = imagecodecs.PNG
    choices = [
        {"filter": getattr(png.FILTER, kind), "strategy": getattr(png.STRATEGY, strategy)}
        for kind, strategy in itertools.product(PNG_FILTERS, PNG_STRATEGIES)
    ]

    def encode(samples: np.ndarray) -> bytes:
        flat = _flat(samples)
        codes = (imagecodecs.png_encode(flat, level=9, **choice) for choice in choices)
        return bytes(min(codes, key=len))

    return Row(
        "PNG, smallest of filters", "imagecodecs", imagecodecs.png_version,
        f"level 9, shortest of {len(PNG_FILTERS)} filters x {len(PNG_STRATEGIES)} strategies",
        encode, lambda code, shape: _shaped(imagecodecs.png_decode(code), shape),
        {8: (1, 2, 3, 4), 16: (1, 2, 3, 4)},
    )  # fmt: skip


def _deflated_tiff() -> Row:
    import tifffile

    def encode(samples: np.ndarray) -> bytes:
        file = io.BytesIO()
        colour = "rgb" if samples.shape[-1] > 2 else "minisblack"
        extra = ["unassalpha"] if samples.shape[-1] in (2, 4) else None
        tifffile.imwrite(
            file, _flat(samples), photometric=colour, compression="zlib", predictor=True,
            compressionargs={"level": 9}, rowsperstrip=len(samples), extrasamples=extra,
            planarconfig="contig" if samples.shape[-1] > 1 else None, metadata=None,
            software=False,
        )  # fmt: skip
        return file.getvalue()

    def decode(code: bytes, shape: tuple[int, ...]) -> np.ndarray:
        return _shaped(tifffile.imread(io.BytesIO(code)), shape)

    def inside() -> str:
        import imagecodecs

        return imagecodecs.zlib_version()

    return Row(
        "TIFF, deflate 9 and predictor", "tifffile", inside,
        "level 9, horizontal predictor, one strip", encode, decode,
        {8: (1, 2, 3, 4), 16: (1, 2, 3, 4)},
    )  # fmt: skip


def _raw(kind: str, settings: str, **options) -> Row:
    """A general compressor on the samples as they are; 16 bits little-endian."""
    import imagecodecs

    encode = getattr(imagecodecs, f"{kind}_encode")
    decode = getattr(imagecodecs, f"{kind}_decode")

    def encoded(samples: np.ndarray) -> bytes:
        little = samples.astype(samples.dtype.newbyteorder("<"), copy=False)
        return bytes(encode(little.tobytes(), **options))

    def decoded(code: bytes, shape: tuple[int, ...]) -> np.ndarray:
        content = decode(code)
        return np.frombuffer(content, f"<u{len(content) // math.prod(shape)}").reshape(shape)

    return Row(
        f"raw samples, {kind} {next(iter(options.values()))}", "imagecodecs",
        getattr(imagecodecs, f"{kind}_version"), settings, encoded, decoded,
        {8: (1, 2, 3, 4), 16: (1, 2, 3, 4)}, together=CONCATENATED,
    )  # fmt: skip


def image_rows() -> list[Row]:
    """Every row for images; ask `Row.takes` which are for a picture."""
    import imagecodecs

    png = imagecodecs.PNG
    every, small = (1, 2, 3, 4), {8: (1, 3, 4)}
    both = {8: every, 16: every}
    by_pillow = {8: every, 16: (1,)}  # Pillow has no mode for 16-bit colours
    return [
        _imagecodecs(
            "PNG, level 1, RLE (OpenCV's default)", "png", "level 1, strategy RLE, filter SUB",
            both, level=1, strategy=png.STRATEGY.RLE, filter=png.FILTER.SUB,
        ),
        _pillow("PNG, Pillow's default", "PNG", "zlib", "level 6", by_pillow),
        _imagecodecs("PNG, level 9", "png", "level 9", both, level=9),
        _smallest_png(),
        _pillow(
            "WebP lossless (Pillow's default)", "WEBP", "webp",
            "lossless, exact, quality 80, method 4", small, lossless=True, exact=True,
            most_side=MOST_WEBP_SIDE,
        ),
        _pillow(
            "WebP lossless, level 100", "WEBP", "webp", "lossless, exact, quality 100, method 4",
            small, lossless=True, exact=True, quality=100, most_side=MOST_WEBP_SIDE,
        ),
        _pillow(
            "WebP lossless, level 100, method 6", "WEBP", "webp",
            "lossless, exact, quality 100, method 6", small, lossless=True, exact=True,
            quality=100, method=6, most_side=MOST_WEBP_SIDE,
        ),
        _pillow(
            "JPEG 2000, box (Pillow)", "JPEG2000", "jpg_2000", "reversible, boxes", by_pillow,
            irreversible=False,
        ),
        _imagecodecs(
            "JPEG 2000 codestream", "jpeg2k", "reversible, bare codestream", both, level=0,
            reversible=True, codecformat="j2k",
        ),
        _pillow("TIFF, raw", "TIFF", "libtiff", "not compressed", by_pillow),
        _pillow("TIFF, packbits", "TIFF", "libtiff", "packbits", by_pillow, compression="packbits"),
        _pillow("TIFF, LZW", "TIFF", "libtiff", "LZW", by_pillow, compression="tiff_lzw"),
        _pillow(
            "TIFF, LZW and predictor (OpenCV's default)", "TIFF", "libtiff",
            "LZW, horizontal predictor, 8 KiB strips, OpenCV's tags", by_pillow,
            compression="tiff_lzw", tags=OPENCV_TAGS, strip_size=OPENCV_STRIP,
        ),
        _pillow(
            "TIFF, deflate", "TIFF", "libtiff", "deflate, level 6", by_pillow,
            compression="tiff_adobe_deflate",
        ),
        _deflated_tiff(),
        _imagecodecs(
            "JPEG XL, effort 7", "jpegxl", "lossless, effort 7 (the default)", both,
            lossless=True, effort=7,
        ),
        _imagecodecs(
            "JPEG XL, effort 9", "jpegxl", "lossless, effort 9", both, lossless=True, effort=9
        ),
        _imagecodecs("JPEG-LS", "jpegls", "NEAR 0", {8: (1, 3, 4), 16: (1, 3, 4)}, level=0),
        # Grey is monochrome, colours are 4:4:4 with the identity matrix: by itself at level 100.
        _imagecodecs(
            "AVIF lossless", "avif", "quality 100, speed 0, 4:0:0 or 4:4:4 identity",
            {8: every}, level=100, speed=0,
        ),
        _raw("zstd", "level 22", level=22),
        _raw("brotli", "level 11", level=11),
    ]  # fmt: skip


def sound_rows(bits: int, rate: int = 44_100) -> list[Row]:
    """FLAC at its usual level and its strongest; none for bits that FLAC does not hold.

    Parameters
    ----------
    bits : int
        8, 16 or 24.
    rate : int
        Hz, written to the file; of little influence on its length.
    """
    import soundfile

    if bits not in FLAC_SUBTYPES:
        return []
    kind = "int16" if bits <= 16 else "int32"
    inside = f"libsndfile {soundfile.__libsndfile_version__}"

    def encode(samples: np.ndarray, level: float) -> bytes:
        file = io.BytesIO()
        soundfile.write(
            file, pcm(samples, bits), rate, format="FLAC", subtype=FLAC_SUBTYPES[bits],
            compression_level=level,
        )  # fmt: skip
        return file.getvalue()

    def decode(code: bytes, shape: tuple[int, ...]) -> np.ndarray:
        numbers, _ = soundfile.read(io.BytesIO(code), dtype=kind, always_2d=True)
        found = offset_binary(numbers, bits).reshape(shape)
        return found.astype(np.uint8) if bits == 8 else found

    return [
        Row(
            f"FLAC, level {level}", "soundfile", lambda: inside,
            f"level {level}{note}", partial(encode, level=level / 8), decode,
            {bits: tuple(range(1, 9))}, together=CONCATENATED,
        )
        for level, note in ((5, " (the usual one)"), (8, ", the strongest"))
    ]  # fmt: skip
