"""Usual lossless codecs over integer samples, in memory. Imports no torch."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

MOST_FLAC_RATE = 655_350
MOST_WEBP_SIDE = 16_383
# libsndfile's names of what sound files hold: integers by their bits, then floats.
WAV_SUBTYPES = {8: "PCM_U8", 16: "PCM_16", 24: "PCM_24", 32: "PCM_32"}
FLAC_SUBTYPES = {8: "PCM_S8", 16: "PCM_16", 24: "PCM_24"}
FLOAT_SUBTYPES = {"float32": "FLOAT", "float64": "DOUBLE"}


@dataclass(frozen=True)
class Codec:
    """One codec, set up for samples of one shape and depth.

    Attributes
    ----------
    encode : callable
        ndarray of unsigned integers -> bytes.
    decode : callable
        bytes -> the same ndarray.
    """

    encode: Callable[[np.ndarray], bytes]
    decode: Callable[[bytes], np.ndarray]


def pcm(samples: np.ndarray, bits: int) -> np.ndarray:
    """Offset binary as libsndfile takes it: the upper bits of int16, or of int32 above 16 bits."""
    kind = np.int16 if bits <= 16 else np.int32
    centred = samples.astype(np.int64) - 2 ** (bits - 1)
    return (centred << (8 * kind().itemsize - bits)).astype(kind)


def offset_binary(numbers: np.ndarray, bits: int) -> np.ndarray:
    """The way back from `pcm`: int16 or int32 to unsigned integers of `bits` bits.

    Examples
    --------
    >>> offset_binary(pcm(np.array([0, 5, 2**24 - 1]), 24), 24).tolist()
    [0, 5, 16777215]
    """
    shifted = numbers.astype(np.int64) >> (8 * numbers.dtype.itemsize - bits)
    return (shifted + 2 ** (bits - 1)).astype(np.uint16 if bits <= 16 else np.uint32)


def image_codecs(shape: tuple[int, ...], bits: int) -> dict[str, Codec]:
    """Codecs that hold images of a shape and depth, by name.

    Parameters
    ----------
    shape : tuple of int
        (height, width, channels).
    bits : int
        Bit depth of samples that are stored as uint8 up to 8 bits and as uint16 up to 16.

    Returns
    -------
    dict of str to Codec
        PNG, WebP (8 bits, RGB only), JPEG XL, JPEG-LS and JPEG 2000; none for more than 16 bits
        or for numbers of channels that none of them knows.
    """
    import imagecodecs as ic

    height, width, channels = shape
    if bits > 16 or channels not in (1, 2, 3, 4):
        return {}

    def codec(encode, decode) -> Codec:
        def flat(samples):
            return np.ascontiguousarray(samples[..., 0] if channels == 1 else samples)

        return Codec(
            lambda samples: bytes(encode(flat(samples))),
            lambda code: np.asarray(decode(code)).reshape(shape),
        )

    found = {"PNG": codec(lambda s: ic.png_encode(s, level=9), ic.png_decode)}
    # WebP drops colours where alpha is 0, and its grey is stored as RGB.
    if bits == 8 and channels == 3 and max(height, width) <= MOST_WEBP_SIDE:
        found["WebP"] = codec(lambda s: ic.webp_encode(s, lossless=True), ic.webp_decode)
    found["JPEG XL"] = codec(lambda s: ic.jpegxl_encode(s, lossless=True), ic.jpegxl_decode)
    if channels in (1, 3):
        found["JPEG-LS"] = codec(lambda s: ic.jpegls_encode(s, level=0), ic.jpegls_decode)
        found["JPEG 2000"] = codec(
            lambda s: ic.jpeg2k_encode(s, level=0, reversible=True), ic.jpeg2k_decode
        )
    return found


def sound_codecs(
    shape: tuple[int, ...],
    bits: int,
    encoding: str = "integer",
    sample_rate: int | None = None,
) -> dict[str, Codec]:
    """Codecs that hold sounds of a shape, depth and encoding, by name.

    Parameters
    ----------
    shape : tuple of int
        (samples, channels).
    bits : int
        Of a sample; FLAC is for 8, 16 and 24, ALAC for 16 and 24, WavPack for 32 as well.
    encoding : {"integer", "float16", "float32", "float64"}
        Floats are words of IEEE 754; of these codecs only WavPack knows some, float32.
    sample_rate : int, optional
        Written to the file; 44,100 Hz where it is not known.

    Returns
    -------
    dict of str to Codec
        Encoders have their usual settings, but FLAC its strongest.
    """
    rate, channels = sample_rate or 44_100, shape[-1]
    integers, found = encoding == "integer", {}
    if integers and bits in FLAC_SUBTYPES and channels <= 8 and rate <= MOST_FLAC_RATE:
        found["FLAC"] = _flac(bits, rate)
    if channels <= 2 and ((integers and bits in WAV_SUBTYPES) or encoding == "float32"):
        found["WavPack"] = _ffmpeg("wavpack", "wv", bits, encoding, rate)
    if channels <= 2 and integers and bits in (16, 24):
        found["ALAC"] = _ffmpeg("alac", "ipod", bits, encoding, rate)
    return found


def _flac(bits: int, rate: int) -> Codec:
    import soundfile

    def encode(samples: np.ndarray) -> bytes:
        file = io.BytesIO()
        soundfile.write(
            file, pcm(samples, bits), rate, format="FLAC", subtype=FLAC_SUBTYPES[bits],
            compression_level=1.0,
        )  # fmt: skip
        return file.getvalue()

    def decode(code: bytes) -> np.ndarray:
        kind = "int16" if bits <= 16 else "int32"
        numbers, _ = soundfile.read(io.BytesIO(code), dtype=kind, always_2d=True)
        return offset_binary(numbers, bits)

    return Codec(encode, decode)


def _ffmpeg(name: str, container: str, bits: int, encoding: str, rate: int) -> Codec:
    """A codec of FFmpeg's, through PyAV; one or two channels."""
    import av

    form = "fltp" if encoding != "integer" else "s16p" if bits <= 16 else "s32p"

    def encode(samples: np.ndarray) -> bytes:
        values = samples.astype("<u4").view(np.float32) if form == "fltp" else pcm(samples, bits)
        layout = "mono" if samples.shape[-1] == 1 else "stereo"
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(values.T), form, layout)
        frame.sample_rate = rate
        file = io.BytesIO()
        with av.open(file, "w", format=container) as output:
            stream = output.add_stream(name, rate=rate)
            stream.layout, stream.format = layout, form
            for packet in (*stream.encode(frame), *stream.encode(None)):
                output.mux(packet)
        return file.getvalue()

    def decode(code: bytes) -> np.ndarray:
        with av.open(io.BytesIO(code)) as content:
            parts = [frame.to_ndarray() for frame in content.decode(audio=0)]
        values = np.ascontiguousarray(np.concatenate(parts, axis=1).T)
        return values.view(np.uint32) if form == "fltp" else offset_binary(values, bits)

    return Codec(encode, decode)


def zlib_size(content: bytes) -> int:
    """Bytes of zlib at level 9."""
    import zlib

    return len(zlib.compress(content, 9))


def zstd_size(content: bytes) -> int:
    """Bytes of Zstandard at level 9."""
    import imagecodecs

    return len(imagecodecs.zstd_encode(content, level=9))
