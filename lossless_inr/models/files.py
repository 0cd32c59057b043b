"""A user's own files: samples with what their decoding must give back, and the way out."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from lossless_inr.codecs import FLAC_SUBTYPES, FLOAT_SUBTYPES, MOST_FLAC_RATE, WAV_SUBTYPES, pcm
from lossless_inr.errors import UserError
from lossless_inr.files import refusal, replacing
from lossless_inr.signals.codes import FLOAT_CODES
from lossless_inr.signals.readers import READERS, has_palette, read
from lossless_inr.signals.resample import centre_square, downsample
from lossless_inr.signals.signal import sample_dtype

IMAGES, SOUNDS = (".png", ".tif", ".tiff"), (".wav", ".flac")
WRITTEN = (*IMAGES, *SOUNDS, ".npy")
# Bits of integers that NumPy has a dtype for, and that a file may so hold.
ARRAY_BITS = (8, 16, 32)
TIFF_STRIP = 1 << 18  # bytes before compression
WORDS = {kind: np.dtype(f"u{bits // 8}") for kind, bits in FLOAT_CODES.items()}


class Numbers(Protocol):
    """What is known of samples besides their shape: `Source` and a model's header say it.

    `encoding` is integer, or a float's name: its samples are words of IEEE 754 then. `signed`
    integers are held as offset binary.
    """

    kind: str
    bits: int
    signed: bool
    encoding: str
    sample_rate: int | None


@dataclass(frozen=True)
class Source:
    """What a file holds, as it is to come back.

    Attributes
    ----------
    samples : ndarray of uint8, uint16, uint32 or uint64
        (height, width, channels) or (samples, channels); signed numbers as offset binary, floats
        as their words.
    bits : int
    kind : {"image", "sound"}
    signed : bool
    sample_rate : int or None
    name : str
        Of the file, without its folder.
    encoding : {"integer", "float16", "float32", "float64"}
    """

    samples: np.ndarray
    bits: int
    kind: str
    signed: bool
    sample_rate: int | None
    name: str
    encoding: str = "integer"

    @property
    def raw_bytes(self) -> int:
        """Bytes of the samples, packed to whole bytes each."""
        return self.samples.size * math.ceil(self.bits / 8)


def read_source(path: Path) -> Source:
    """Read a PNG, TIFF, DICOM, WAV, FLAC or `.npy` file.

    Raises
    ------
    UserError
        If it is none of these, is damaged, or holds what cannot be fitted.
    """
    path = Path(path)
    if path.is_dir():
        raise UserError(f"{path}: a folder; name a file")
    suffix = path.suffix.lower()
    if suffix == ".gz" or suffix not in READERS:
        known = ", ".join(sorted(set(READERS) - {".gz"}))
        raise UserError(f"{path}: unknown file type; known: {known}")
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    if suffix == ".npy":
        array = read_array(path)
        signed, bits = array.dtype.kind == "i", array.dtype.itemsize * 8
        samples = array if array.ndim > 2 else array[..., None]
        if array.dtype.kind != "f" and bits not in ARRAY_BITS:
            raise UserError(f"{path}: {array.dtype} cannot be fitted; 8, 16 and 32 bits can")
        if signed:
            samples = samples.astype(np.int64) + 2 ** (bits - 1)
    else:
        samples, bits = read(path)
        signed = suffix in SOUNDS or (suffix == ".dcm" and _is_signed(path))
    encoding = "integer"
    if samples.dtype.kind == "f":
        encoding, signed, samples = samples.dtype.name, False, words(samples)
    if suffix in IMAGES and has_palette(path):
        raise UserError(f"{path}: samples are numbers of a palette; convert it to RGB or grey")
    rate = None
    if suffix in SOUNDS:
        import soundfile

        rate = int(soundfile.info(path).samplerate)
        if rate < 1:
            raise UserError(f"{path}: a sampling rate of {rate} Hz; correct its header")
    if samples.size == 0:
        raise UserError(f"{path}: it is empty (shape {samples.shape})")
    return Source(
        samples=np.ascontiguousarray(samples.astype(sample_dtype(bits).newbyteorder("="))),
        bits=bits,
        kind="sound" if samples.ndim == 2 else "image",
        signed=signed,
        sample_rate=rate,
        name=path.name,
        encoding=encoding,
    )


def words(samples: np.ndarray) -> np.ndarray:
    """Floats as their words of IEEE 754; integers as they are."""
    if samples.dtype.kind != "f":
        return samples
    return np.ascontiguousarray(samples).view(WORDS[samples.dtype.name])


def read_array(path: Path) -> np.ndarray:
    """Read a `.npy` of integers or floats: (height, width[, channels]), or (samples,).

    Raises
    ------
    UserError
        If it is no such array.
    """
    try:
        array = np.load(path, allow_pickle=False)
        if not isinstance(array, np.ndarray):
            raise ValueError
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except Exception:  # a damaged header raises anything, from EOFError to tokenize's own
        raise UserError(f"{path}: damaged, or no array that NumPy saved") from None
    if not 1 <= array.ndim <= 3:
        raise UserError(f"{path}: {array.ndim} axes; an array of 1 to 3 is fitted")
    if array.dtype.kind not in "iu" and array.dtype.name not in FLOAT_CODES:
        known = ", ".join(FLOAT_CODES)
        raise UserError(f"{path}: dtype {array.dtype}; arrays of integers, {known} are read")
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def numbers(samples: np.ndarray, what: Numbers) -> np.ndarray:
    """Samples as numbers of a usual dtype: floats from words, signed ones from offset binary."""
    if what.encoding != "integer":
        return samples.astype(WORDS[what.encoding], copy=False).view(what.encoding)
    if not what.signed:
        return samples
    kind = np.int8 if what.bits <= 8 else np.int16 if what.bits <= 16 else np.int32
    return (samples.astype(np.int64) - 2 ** (what.bits - 1)).astype(kind)


def _is_signed(path: Path) -> bool:
    import pydicom

    return pydicom.dcmread(path, stop_before_pixels=True).PixelRepresentation == 1


def resized(source: Source, size: str) -> Source:
    """An image at `WIDTHxHEIGHT`, by the benchmark's crop and resampling; `native` is as it is.

    Raises
    ------
    UserError
        If the size is none, or larger than the image.
    """
    if size == "native":
        return source
    try:
        width, height = (int(part) for part in size.lower().split("x"))
    except ValueError:
        raise UserError(f"size: '{size}' is none; write e.g. 256x256, or native") from None
    if source.kind != "image":
        raise UserError(f"size: {source.name} is a sound, which is never resampled; write native")
    if width < 1 or height < 1:
        raise UserError(f"size: '{size}' is none; write e.g. 256x256, or native")
    if source.encoding != "integer":
        raise UserError(f"size: {source.name} holds floats, which are not resampled; write native")
    samples = centre_square(source.samples) if width == height else source.samples
    if height > samples.shape[0] or width > samples.shape[1]:
        have = f"{samples.shape[1]}x{samples.shape[0]}"
        raise UserError(f"size: {size} is larger than the image ({have}); write native")
    small = downsample(samples, height, width, from_bits=source.bits, to_bits=source.bits)
    small = small.astype(source.samples.dtype)
    return Source(small, source.bits, "image", source.signed, None, source.name)


def write_samples(path: Path, samples: np.ndarray, what: Numbers) -> None:
    """Write samples to a file that holds exactly these; the ending names the format.

    Parameters
    ----------
    path : Path
    samples : ndarray of unsigned int
        (height, width, channels) or (samples, channels), as in `Source`.
    what : Numbers

    Raises
    ------
    UserError
        If the format cannot hold them, or the file cannot be written.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    check_target(path, what, samples.shape[-1])
    try:
        if suffix == ".npy":
            with replacing(path) as file:
                np.save(file, numbers(samples, what))
        elif suffix in SOUNDS:
            _write_sound(path, samples, what)
        else:
            with replacing(path) as file:
                floats = what.encoding != "integer"  # signed integers stay offset binary
                file.write(_image_bytes(numbers(samples, what) if floats else samples, suffix))
    except OSError as error:
        raise UserError(f"{path}: {refusal(error)}") from None


def write_rows(
    path: Path, rows: Iterable[np.ndarray], shape: tuple[int, int, int], what: Numbers
) -> None:
    """Write an image as its rows come: `.npy` and TIFF hold no more than what came last.

    No library here writes a PNG by rows, so a PNG is held whole.

    Parameters
    ----------
    path : Path
    rows : iterable of ndarray of uint8 or uint16, (rows, width, channels)
        An exception on the way leaves no file.
    shape : tuple of int
        (height, width, channels).
    what : Numbers
        Unsigned integers.

    Raises
    ------
    UserError
        If the format cannot hold them, or the file cannot be written.
    """
    path = Path(path)
    suffix, kind = path.suffix.lower(), sample_dtype(what.bits)
    check_target(path, what, shape[-1])
    if suffix == ".png":
        write_samples(path, np.concatenate(list(rows)), what)
        return
    try:
        with replacing(path) as file:
            if suffix == ".npy":
                descr = np.lib.format.dtype_to_descr(kind)
                facts = {"descr": descr, "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(file, facts)
                for part in rows:
                    file.write(part.astype(kind, copy=False).tobytes())
            else:
                _write_tiff(file, rows, shape, kind)
    except OSError as error:
        raise UserError(f"{path}: {refusal(error)}") from None


def _write_tiff(file, rows: Iterable[np.ndarray], shape, kind) -> None:
    import imagecodecs
    import tifffile

    height, width, channels = shape
    count = min(height, max(1, TIFF_STRIP // (width * channels * kind.itemsize)))

    def strips():
        rest = np.empty((0, width, channels), kind)
        for part in rows:
            rest = np.concatenate([rest, part])
            while len(rest) >= count:
                yield imagecodecs.zlib_encode(rest[:count].tobytes())
                rest = rest[count:]
        if len(rest):
            yield imagecodecs.zlib_encode(rest.tobytes())

    tifffile.imwrite(
        file, strips(), shape=shape if channels > 1 else shape[:2], dtype=kind,
        rowsperstrip=count, **_tiff_layout(channels),
    )  # fmt: skip


def _tiff_layout(channels: int) -> dict:
    return {
        "photometric": "rgb" if channels in (3, 4) else "minisblack",
        "compression": "zlib",
        "extrasamples": {2: ["unassalpha"], 4: ["unassalpha"]}.get(channels),
        "planarconfig": "contig" if channels > 1 else None,
        "metadata": None,
    }


def check_target(path: Path, what: Numbers, channels: int) -> None:
    """Refuse a format that cannot hold the samples, before anything is decoded."""
    suffix = Path(path).suffix.lower()
    fitting = (*(IMAGES if what.kind == "image" else SOUNDS), ".npy")
    if suffix not in WRITTEN:
        raise UserError(f"{path}: cannot be written; known: {', '.join(WRITTEN)}")
    if suffix not in fitting:
        raise UserError(f"{path}: {suffix} cannot hold an {what.kind}; write {', '.join(fitting)}")
    most = {".npy": 2**31, ".png": 4, ".flac": 8}.get(suffix, 1024)
    if channels > most:
        raise UserError(f"{path}: {suffix} holds at most {most} channels, not {channels}")
    if suffix == ".npy":
        return
    held = f"{what.bits}-bit samples" if what.encoding == "integer" else f"{what.encoding} samples"
    if what.kind == "sound" and subtype(suffix, what) is None:
        other = ".wav" if suffix == ".flac" and subtype(".wav", what) else ".npy"
        raise UserError(f"{path}: {suffix} cannot hold {held}; write {other}")
    if suffix == ".flac" and (what.sample_rate or 1) > MOST_FLAC_RATE:
        raise UserError(f"{path}: FLAC holds at most {MOST_FLAC_RATE:,} Hz; write .wav")
    held_by_tiff = suffix != ".png" and what.encoding != "integer"
    if what.kind == "image" and not held_by_tiff and (what.bits > 16 or what.encoding != "integer"):
        raise UserError(f"{path}: {suffix} cannot hold {held}; write .npy")


def subtype(suffix: str, what: Numbers) -> str | None:
    """Libsndfile's name of what a sound file of this ending holds such samples as, if it can."""
    if what.encoding != "integer":
        return FLOAT_SUBTYPES.get(what.encoding) if suffix == ".wav" else None
    return (WAV_SUBTYPES if suffix == ".wav" else FLAC_SUBTYPES).get(what.bits)


def _image_bytes(samples: np.ndarray, suffix: str) -> bytes:
    flat = samples[..., 0] if samples.shape[-1] == 1 else samples
    if suffix == ".png":
        import imagecodecs

        return imagecodecs.png_encode(np.ascontiguousarray(flat))
    import tifffile

    file = io.BytesIO()
    tifffile.imwrite(file, flat, **_tiff_layout(samples.shape[-1]))
    return file.getvalue()


def _write_sound(path: Path, samples: np.ndarray, what: Numbers) -> None:
    import soundfile

    suffix = path.suffix.lower()
    floats = what.encoding != "integer"
    values = numbers(samples, what) if floats else pcm(samples, what.bits)
    # In memory first: a full disk inside libsndfile's callback would end in a traceback.
    file = io.BytesIO()
    soundfile.write(
        file, values, what.sample_rate or 44_100, subtype=subtype(suffix, what),
        format=suffix[1:].upper(),
    )  # fmt: skip
    with replacing(path) as target:
        target.write(file.getbuffer())
