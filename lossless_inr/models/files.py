"""A user's own files: samples with what their decoding must give back, and the way out."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lossless_inr.codecs import MOST_FLAC_RATE, SUBTYPES, pcm
from lossless_inr.errors import UserError
from lossless_inr.files import refusal, replacing
from lossless_inr.signals.readers import READERS, has_palette, read
from lossless_inr.signals.resample import centre_square, downsample
from lossless_inr.signals.signal import sample_dtype

IMAGES, SOUNDS = (".png", ".tif", ".tiff"), (".wav", ".flac")
WRITTEN = (*IMAGES, *SOUNDS, ".npy")


@dataclass(frozen=True)
class Source:
    """What a file holds, as it is to come back.

    Attributes
    ----------
    samples : ndarray of uint8, uint16 or uint32
        (height, width, channels) or (samples, channels); signed numbers as offset binary.
    bits : int
    kind : {"image", "sound"}
    signed : bool
    sample_rate : int or None
    name : str
        Of the file, without its folder.
    """

    samples: np.ndarray
    bits: int
    kind: str
    signed: bool
    sample_rate: int | None
    name: str

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
        if bits not in (8, 16):
            raise UserError(f"{path}: {array.dtype} cannot be fitted yet; 8 and 16 bits can")
        if signed:
            samples = samples.astype(np.int64) + 2 ** (bits - 1)
    else:
        samples, bits = read(path)
        signed = suffix in SOUNDS or (suffix == ".dcm" and _is_signed(path))
    if samples.dtype.kind == "f" or bits not in SUBTYPES:
        what = "floating-point" if samples.dtype.kind == "f" else f"{bits}-bit"
        raise UserError(f"{path}: {what} samples cannot be fitted yet; 8, 16 and 24 bits can")
    if suffix in IMAGES and has_palette(path):
        raise UserError(f"{path}: samples are numbers of a palette; convert it to RGB or grey")
    rate = None
    if suffix in SOUNDS:
        import soundfile

        rate = int(soundfile.info(path).samplerate)
    if samples.size == 0:
        raise UserError(f"{path}: it is empty (shape {samples.shape})")
    return Source(
        samples=np.ascontiguousarray(samples.astype(sample_dtype(bits).newbyteorder("="))),
        bits=bits,
        kind="sound" if samples.ndim == 2 else "image",
        signed=signed,
        sample_rate=rate,
        name=path.name,
    )


def read_array(path: Path) -> np.ndarray:
    """Read a `.npy` of integers: (height, width[, channels]), or (samples,).

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
    if array.dtype.kind not in "iu":
        raise UserError(f"{path}: dtype {array.dtype}; arrays of integers are read")
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def numbers(samples: np.ndarray, bits: int, signed: bool) -> np.ndarray:
    """Samples as numbers of a usual dtype: signed ones are held as offset binary otherwise."""
    if not signed:
        return samples
    kind = np.int8 if bits <= 8 else np.int16 if bits <= 16 else np.int32
    return (samples.astype(np.int64) - 2 ** (bits - 1)).astype(kind)


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
    samples = centre_square(source.samples) if width == height else source.samples
    if height > samples.shape[0] or width > samples.shape[1]:
        have = f"{samples.shape[1]}x{samples.shape[0]}"
        raise UserError(f"size: {size} is larger than the image ({have}); write native")
    small = downsample(samples, height, width, from_bits=source.bits, to_bits=source.bits)
    small = small.astype(source.samples.dtype)
    return Source(small, source.bits, "image", source.signed, None, source.name)


def write_samples(
    path: Path,
    samples: np.ndarray,
    *,
    bits: int,
    kind: str,
    signed: bool,
    sample_rate: int | None,
) -> None:
    """Write samples to a file that holds exactly these; the ending names the format.

    Raises
    ------
    UserError
        If the format cannot hold them, or the file cannot be written.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    check_target(path, kind, bits, samples.shape[-1], sample_rate)
    try:
        if suffix == ".npy":
            with replacing(path) as file:
                np.save(file, numbers(samples, bits, signed))
        elif suffix in SOUNDS:
            _write_sound(path, samples, bits, sample_rate or 44_100)
        else:
            with replacing(path) as file:
                file.write(_image_bytes(samples, suffix))
    except OSError as error:
        raise UserError(f"{path}: {refusal(error)}") from None


def check_target(
    path: Path, kind: str, bits: int, channels: int, sample_rate: int | None = None
) -> None:
    """Refuse a format that cannot hold the samples, before anything is decoded."""
    suffix = Path(path).suffix.lower()
    fitting = (*(IMAGES if kind == "image" else SOUNDS), ".npy")
    if suffix not in WRITTEN:
        raise UserError(f"{path}: cannot be written; known: {', '.join(WRITTEN)}")
    if suffix not in fitting:
        raise UserError(f"{path}: {suffix} cannot hold an {kind}; write {', '.join(fitting)}")
    most = {".npy": 2**31, ".png": 4, ".flac": 8}.get(suffix, 1024)
    if channels > most:
        raise UserError(f"{path}: {suffix} holds at most {most} channels, not {channels}")
    if kind == "sound" and suffix != ".npy" and bits not in SUBTYPES:
        raise UserError(f"{path}: {suffix} cannot hold {bits}-bit samples; write .npy")
    if suffix == ".flac" and bits not in (16, 24):
        raise UserError(f"{path}: FLAC is written with 16 or 24 bits, not {bits}; write .wav")
    if suffix == ".flac" and (sample_rate or 1) > MOST_FLAC_RATE:
        raise UserError(f"{path}: FLAC holds at most {MOST_FLAC_RATE:,} Hz; write .wav")
    if kind == "image" and suffix != ".npy" and bits > 16:
        raise UserError(f"{path}: {suffix} is written with 8 or 16 bits, not {bits}; write .npy")


def _image_bytes(samples: np.ndarray, suffix: str) -> bytes:
    flat = samples[..., 0] if samples.shape[-1] == 1 else samples
    if suffix == ".png":
        import imagecodecs

        return imagecodecs.png_encode(np.ascontiguousarray(flat))
    import tifffile

    file = io.BytesIO()
    channels = samples.shape[-1]
    colour = "rgb" if channels in (3, 4) else "minisblack"
    extra = {2: ["unassalpha"], 4: ["unassalpha"]}.get(channels)
    tifffile.imwrite(
        file, flat, photometric=colour, compression="zlib", extrasamples=extra,
        planarconfig="contig" if channels > 1 else None, metadata=None,
    )  # fmt: skip
    return file.getvalue()


def _write_sound(path: Path, samples: np.ndarray, bits: int, rate: int) -> None:
    import soundfile

    # In memory first: a full disk inside libsndfile's callback would end in a traceback.
    file = io.BytesIO()
    form = path.suffix[1:].upper()
    soundfile.write(file, pcm(samples, bits), rate, subtype=SUBTYPES[bits], format=form)
    with replacing(path) as target:
        target.write(file.getbuffer())
