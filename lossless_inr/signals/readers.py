"""Files to unsigned integers, each by the usual library for its format.

A reader returns what the file really holds, (samples, bits); it never converts depth. Signed
samples become offset binary, s + 2**(bits - 1), which keeps the order of values.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lossless_inr.errors import UserError


def read_png(path: Path) -> tuple[np.ndarray, int]:
    """Read an 8-bit grey or RGB PNG as (height, width, channels) uint8.

    Pillow reduces 16-bit RGB to 8 bits without a word, so the depth is taken from the header.
    """
    from PIL import Image

    header = Path(path).read_bytes()[:26]
    if header[:8] != b"\x89PNG\r\n\x1a\n" or len(header) < 26:
        raise UserError(f"{path}: not a PNG file")
    depth, colour = header[24], header[25]
    names = {0: "grey", 2: "RGB", 3: "palette", 4: "grey with alpha", 6: "RGB with alpha"}
    if depth != 8 or colour not in (0, 2):
        raise UserError(
            f"{path}: {depth}-bit {names.get(colour, 'unknown colour type')} PNG; only 8-bit grey "
            "or RGB is read so far: convert the file"
        )
    with Image.open(path) as image:
        samples = np.asarray(image)
    return samples.reshape(*samples.shape[:2], -1), 8


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


def read_wav(path: Path) -> tuple[np.ndarray, int]:
    """Read 16-bit PCM as (samples, channels) in offset binary."""
    import soundfile

    _check_wav_length(path)
    with soundfile.SoundFile(path) as file:
        if file.subtype != "PCM_16":
            raise UserError(f"{path}: {file.subtype} audio; only PCM_16 is read so far")
        pcm = file.read(dtype="int16", always_2d=True)
    return pcm.astype(np.int64) + 2**15, 16


def _check_wav_length(path: Path) -> None:
    """Compare the length the header declares with the file's; libsndfile reads what is left."""
    content = path.read_bytes()
    position = 12  # after "RIFF", its size and "WAVE"
    while position + 8 <= len(content):
        name = content[position : position + 4]
        size = int.from_bytes(content[position + 4 : position + 8], "little")
        if name == b"data":
            have = len(content) - position - 8
            if have < size:
                raise UserError(f"{path}: truncated ({have} of {size} bytes of sound)")
            return
        position += 8 + size + size % 2
    raise UserError(f"{path}: truncated or damaged (no sound in it); fetch the file again")


def read_npy(path: Path) -> tuple[np.ndarray, int]:
    """Read a NumPy array of uint8 or uint16."""
    samples = np.load(path, allow_pickle=False)
    if samples.dtype not in (np.uint8, np.uint16):
        raise UserError(f"{path}: dtype {samples.dtype}; expected uint8 or uint16")
    return samples, samples.dtype.itemsize * 8


READERS = {".png": read_png, ".dcm": read_dicom, ".wav": read_wav, ".npy": read_npy}


def read(path: Path) -> tuple[np.ndarray, int]:
    """Read any supported file.

    Returns
    -------
    samples : ndarray of int64 or unsigned int
        (height, width, channels) or (samples, channels), values in 0 .. 2**bits - 1.
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
        return reader(path)
    except UserError:
        raise
    except Exception as error:  # decoders raise almost anything on a damaged file
        raise UserError(f"{path}: truncated or damaged ({error}); fetch the file again") from None
