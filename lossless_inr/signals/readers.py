"""Files to unsigned integers, each by the usual library for its format.

A reader returns what the file really holds, (samples, bits); it never converts depth. Signed
samples become offset binary, s + 2**(bits - 1), which keeps the order of values.
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

import numpy as np

from lossless_inr.errors import UserError
from lossless_inr.files import refusal

PNG_COLOURS = {0: "grey", 2: "RGB", 3: "palette", 4: "grey with alpha", 6: "RGB with alpha"}
SOUND_BITS = {"PCM_U8": 8, "PCM_S8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32}
SOUND_FLOATS = {"FLOAT": "float32", "DOUBLE": "float64"}
# First bytes, whatever a file's name says.
SOUND_STARTS = {".wav": (b"RIFF", b"RIFX", b"RF64"), ".flac": (b"fLaC", b"ID3")}
# A gzip file of digits that unpacks to more is not one.
LARGEST_IDX = 1 << 28


def read_png(path: Path) -> tuple[np.ndarray, int]:
    """Read a PNG of 8 or 16 bits as it is stored: (height, width, channels), uint8 or uint16.

    Channels are grey, grey and alpha, RGB, or RGB and alpha. Of a palette image these are the
    indices, one channel. Pillow reduces 16-bit RGB to 8 bits without a word, so the depth is
    taken from the header and 16-bit files are read with imagecodecs.
    """
    header = Path(path).read_bytes()[:26]
    if header[:8] != b"\x89PNG\r\n\x1a\n" or len(header) < 26:
        raise UserError(f"{path}: not a PNG file")
    depth, colour = header[24], PNG_COLOURS.get(header[25], "unknown")
    if depth not in (8, 16) and colour != "palette":
        raise UserError(f"{path}: {depth}-bit {colour} PNG; 8 and 16 bits are read: convert it")
    if depth == 16:
        import imagecodecs

        samples = imagecodecs.png_decode(Path(path).read_bytes())
    else:
        from PIL import Image

        with Image.open(path) as image:
            samples = np.asarray(image)
    return samples.reshape(*samples.shape[:2], -1), max(depth, 8)


def read_tiff(path: Path) -> tuple[np.ndarray, int]:
    """Read the one page of a TIFF of 8 or 16 bits: (height, width, channels)."""
    import tifffile

    with tifffile.TiffFile(path) as file:
        pages = [page for page in file.pages if not page.is_reduced]
        if len(pages) != 1:
            raise UserError(f"{path}: {len(pages)} pages; split it, one image is read at a time")
        samples = pages[0].asarray()
        separate = pages[0].planarconfig == 2 and samples.ndim == 3
    if samples.dtype not in (np.uint8, np.uint16):
        if samples.dtype.kind == "f":
            return samples.reshape(*samples.shape[:2], -1), samples.dtype.itemsize * 8
        raise UserError(f"{path}: {samples.dtype} samples; 8 and 16 bits are read: convert it")
    samples = np.moveaxis(samples, 0, -1) if separate else samples
    return samples.reshape(*samples.shape[:2], -1), samples.dtype.itemsize * 8


def read_idx(path: Path) -> tuple[np.ndarray, int]:
    """Read the images of an IDX file (MNIST's format), packed with gzip or not: (n, h, w, 1)."""
    path = Path(path)
    return _unpacked_idx(path, path.stat().st_mtime_ns), 8


@functools.lru_cache(maxsize=1)
def _unpacked_idx(path: Path, _changed: int) -> np.ndarray:
    """Images of an IDX file; kept, since a set of digits reads the same file 10,000 times."""
    import gzip

    with open(path, "rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    with gzip.open(path) if packed else open(path, "rb") as file:
        content = file.read(LARGEST_IDX + 1)
    if len(content) > LARGEST_IDX:
        raise UserError(f"{path}: unpacks to more than {LARGEST_IDX} bytes; refused")
    if content[:4] != b"\0\0\x08\x03":
        raise UserError(f"{path}: not an IDX file of 8-bit images")
    count, height, width = (int.from_bytes(content[k : k + 4], "big") for k in (4, 8, 12))
    pixels = np.frombuffer(content, np.uint8, offset=16)
    if pixels.size != count * height * width:
        raise UserError(f"{path}: truncated ({pixels.size} of {count * height * width} samples)")
    return pixels.reshape(count, height, width, 1)


def read_dicom(path: Path) -> tuple[np.ndarray, int]:
    """Read a monochrome DICOM slice as (height, width, 1), signed values in offset binary."""
    import pydicom

    data = pydicom.dcmread(path)
    if data.get("SamplesPerPixel", 1) != 1 or data.get("NumberOfFrames", 1) != 1:
        raise UserError(f"{path}: not a single monochrome slice")
    pixels = data.pixel_array.astype(np.int64)
    bits = int(data.BitsAllocated)
    if data.PixelRepresentation == 1:
        pixels = pixels + 2 ** (bits - 1)
    return pixels[..., None], bits


def read_sound(path: Path) -> tuple[np.ndarray, int]:
    """Read WAV or FLAC as (samples, channels): PCM in offset binary, floats as they are."""
    import soundfile

    suffix = Path(path).suffix.lower()
    with open(path, "rb") as file:
        start = file.read(4)
    if start and not start.startswith(SOUND_STARTS[suffix]):
        raise UserError(f"{path}: its content is no {suffix[1:].upper()}; name it after what it is")
    if start == b"RIFF":
        _check_wav(path)
    with soundfile.SoundFile(path) as file:
        if (kind := SOUND_FLOATS.get(file.subtype)) is not None:
            samples, bits = file.read(dtype=kind, always_2d=True), 8 * np.dtype(kind).itemsize
        elif file.subtype in SOUND_BITS:
            bits = SOUND_BITS[file.subtype]
            # libsndfile hands out fewer bits as the upper ones of 32.
            samples = file.read(dtype="int32", always_2d=True) >> (32 - bits)
        else:
            known = ", ".join((*SOUND_BITS, *SOUND_FLOATS))
            raise UserError(
                f"{path}: {file.subtype} audio, which is not linear; {known} are read: convert "
                "it, e.g. to PCM_16"
            )
        if len(samples) != file.frames:
            raise UserError(f"{path}: truncated ({len(samples)} of {file.frames} samples)")
    if samples.dtype.kind == "f":
        return samples, bits
    if start == b"fLaC":
        _check_flac_digest(path, samples, bits)
    return samples.astype(np.int64) + 2 ** (bits - 1), bits


def _check_flac_digest(path: Path, samples: np.ndarray, bits: int) -> None:
    """Compare signed samples with the MD5 in a FLAC's header, which libsndfile does not."""
    with open(path, "rb") as file:
        # STREAMINFO is always the first block; its last 16 bytes are the digest, or zeros.
        expected = file.read(42)[26:]
    width = -(-bits // 8)
    stored = np.ascontiguousarray(samples.astype("<i4")).view(np.uint8)
    stored = stored.reshape(*samples.shape, 4)[..., :width]
    if any(expected) and hashlib.md5(stored.tobytes()).digest() != expected:
        raise UserError(f"{path}: damaged (its samples do not match its MD5); get the file again")


def _check_wav(path: Path) -> None:
    """Compare a WAV's lengths with the file's: libsndfile reads what is left, without a word."""
    content = path.read_bytes()
    position, sound = 12, False  # after "RIFF", its size and "WAVE"
    while position + 8 <= len(content):
        name = content[position : position + 4]
        size = int.from_bytes(content[position + 4 : position + 8], "little")
        rest = len(content) - position
        if not (name.isascii() and name.decode("ascii", "replace").isprintable()):
            if sound:
                raise UserError(
                    f"{path}: {rest} bytes follow its sound that are no part of a WAV file; is the "
                    "length in its header wrong?"
                )
            break
        if name == b"fmt " and content[position + 12 : position + 16] == bytes(4):
            raise UserError(f"{path}: a sampling rate of 0 Hz; correct its header")
        if name == b"data":
            sound = True
            if rest - 8 < size:
                raise UserError(f"{path}: truncated ({rest - 8} of {size} bytes of sound)")
        position += 8 + size + size % 2
    if not sound:
        raise UserError(f"{path}: truncated or damaged (no sound in it); fetch the file again")


def read_npy(path: Path) -> tuple[np.ndarray, int]:
    """Read a NumPy array of uint8, uint16 or a float type; of an .npz, its only array."""
    samples = np.load(path, allow_pickle=False)
    if isinstance(samples, np.lib.npyio.NpzFile):
        with samples as archive:
            if len(archive.files) != 1:
                raise UserError(f"{path}: {len(archive.files)} arrays; write one to a file")
            samples = archive[archive.files[0]]
    samples = samples[..., None] if samples.ndim == 2 and path.suffix == ".npz" else samples
    samples = samples.astype(samples.dtype.newbyteorder("="), copy=False)
    if samples.dtype not in (np.uint8, np.uint16, np.float16, np.float32, np.float64):
        raise UserError(f"{path}: dtype {samples.dtype}; expected uint8, uint16 or a float")
    return samples, samples.dtype.itemsize * 8


def has_palette(path: Path) -> bool:
    """Whether an image's samples are numbers of colours, which have no mean."""
    path = Path(path)
    if path.suffix.lower() == ".png":
        with open(path, "rb") as file:
            return file.read(26)[25:] == b"\x03"
    if path.suffix.lower() in (".tif", ".tiff"):
        import tifffile

        with tifffile.TiffFile(path) as file:
            return file.pages[0].photometric == tifffile.PHOTOMETRIC.PALETTE
    return False


READERS = {
    **{".png": read_png, ".tif": read_tiff, ".tiff": read_tiff, ".dcm": read_dicom},
    **{
        ".wav": read_sound,
        ".flac": read_sound,
        ".npy": read_npy,
        ".npz": read_npy,
        ".gz": read_idx,
    },
}


def read(path: Path, index: int | None = None) -> tuple[np.ndarray, int]:
    """Read any supported file.

    Parameters
    ----------
    path : Path
    index : int, optional
        Which image of a file that holds many.

    Returns
    -------
    samples : ndarray of int64, unsigned int or float
        (height, width, channels) or (samples, channels); integers in 0 .. 2**bits - 1.
    bits : int
        Bit depth of the file.

    Raises
    ------
    UserError
        If the file is missing, truncated, damaged or of an unknown kind.
    """
    path = Path(path)
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise UserError(f"{path}: unknown file type; known: {', '.join(sorted(READERS))}")
    if not path.is_file():
        raise UserError(f"{path}: no such file; correct 'source' in the dataset table")
    try:
        samples, bits = reader(path)
    except UserError:
        raise
    except PermissionError as error:
        raise UserError(f"{path}: {refusal(error)}") from None
    except Exception as error:  # decoders raise almost anything on a damaged file
        raise UserError(f"{path}: truncated or damaged ({error}); get the file again") from None
    if (index is None) != (samples.ndim != 4):
        raise UserError(f"{path}: write source with #<number> for one image of an IDX file only")
    if index is None:
        return samples, bits
    if index >= len(samples):
        raise UserError(f"{path}: no image {index}; it holds {len(samples)}")
    return samples[index], bits
