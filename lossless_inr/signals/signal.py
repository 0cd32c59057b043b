"""A signal: unsigned integers with a declared bit depth, and facts that guard the claim.

A file that says 16 bits may hold 8-bit content (shifted, or with the low byte repeating the
high byte). `plane_statistics` counts what is really there, so that "lossless at 16 bits" is
never claimed of padding.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from lossless_inr.errors import UserError
from lossless_inr.files import replacing
from lossless_inr.signals.codes import FLOAT_CODES

MAX_BITS = 64
# How the words are to be read: as offset binary integers, or as IEEE-754 floats.
ENCODINGS = ("integer", *FLOAT_CODES)
KINDS = ("photo", "scan", "audio", "digit", "synthetic")
# Planes a signal must really fill before a headline may call it a 16-bit signal.
FULL_DEPTH_PLANES = 14


def sample_dtype(bits: int) -> np.dtype:
    """Smallest little-endian unsigned dtype that holds `bits` bits."""
    return np.dtype("<u1" if bits <= 8 else "<u2" if bits <= 16 else "<u4" if bits <= 32 else "<u8")


def samples_sha256(samples: np.ndarray, bits: int) -> str:
    """Digest of the samples: shape, bit depth, then C-order little-endian integers.

    Parameters
    ----------
    samples : ndarray of unsigned int, any shape
        Values in 0 .. 2**bits - 1.
    bits : int
        Bit depth; decides the stored dtype (u1 up to 8 bits, u2 up to 16, u4 up to 32, u8 above).

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    header = json.dumps({"shape": list(samples.shape), "bits": bits}).encode()
    stored = np.ascontiguousarray(samples, dtype=sample_dtype(bits))
    return hashlib.sha256(header + stored.tobytes()).hexdigest()


def plane_statistics(samples: np.ndarray, bits: int) -> dict:
    """Facts about the bit-planes of a signal.

    Parameters
    ----------
    samples : ndarray of unsigned int, any shape
        Values in 0 .. 2**bits - 1.
    bits : int
        Bit depth.

    Returns
    -------
    dict
        `plane_entropy` (bits per sample of each plane, least significant first),
        `informative_planes` (planes that are neither constant nor a copy or complement of a
        more significant plane), `plane_changes` (how often the bits of a sample change from a
        plane to the next, mean over samples: the frequency along the bit axis, 0 to bits - 1),
        `distinct_values`, and `low_byte_repeats` (share of samples whose low byte equals the high
        byte; None below 16 bits).
    """
    flat = samples.reshape(-1).astype(np.uint64)
    entropies, seen, informative, changes, above = [], set(), 0, 0, None
    for plane in reversed(range(bits)):
        values = ((flat >> np.uint64(plane)) & np.uint64(1)).astype(np.uint8)
        changes += 0 if above is None else int((values != above).sum())
        above = values
        p = float(values.mean()) if values.size else 0.0
        constant = p in (0.0, 1.0)
        entropies.append(0.0 if constant else -(p * np.log2(p) + (1 - p) * np.log2(1 - p)))
        # A plane and its complement carry the same information: compare from the first sample.
        key = np.packbits(values ^ values[:1]).tobytes()
        if not constant and key not in seen:
            informative += 1
        seen.add(key)
    low, high = flat & np.uint64(255), flat >> np.uint64(8)
    repeats = float(np.mean(low == high)) if bits == 16 else None
    return {
        "plane_entropy": [round(float(e), 6) for e in reversed(entropies)],
        "informative_planes": informative,
        "plane_changes": changes / flat.size if flat.size else 0.0,
        "distinct_values": int(np.unique(flat).size),
        "low_byte_repeats": repeats,
    }


@dataclass(frozen=True)
class Signal:
    """One signal as it must come back.

    Attributes
    ----------
    name : str
        `set/size/name`, also its place under `data/prepared/`.
    samples : ndarray, uint8, uint16, uint32 or uint64
        (height, width, channels) for images and scans, (samples, channels) for audio; values
        in 0 .. 2**bits - 1. Signed sources are stored in offset binary.
    bits : int
        Bit depth, 1 to 64.
    encoding : {"integer", "float16", "float32", "float64"}
        Whether the words are numbers, or the bits of a float each (IEEE 754).
    kind : {"photo", "scan", "audio", "digit", "synthetic"}
    title, source, licence, citation : str
        Shown in the report.
    """

    name: str
    samples: np.ndarray
    bits: int
    kind: str
    title: str = ""
    source: str = ""
    licence: str = ""
    citation: str = ""
    encoding: str = "integer"

    def __post_init__(self):
        where = f"signal '{self.name}'"
        if self.kind not in KINDS:
            raise UserError(f"{where}: kind '{self.kind}' is none of {', '.join(KINDS)}")
        if not 1 <= self.bits <= MAX_BITS:
            raise UserError(f"{where}: bits={self.bits} is outside 1..{MAX_BITS}")
        length = FLOAT_CODES.get(self.encoding, self.bits)
        if self.encoding not in ENCODINGS or length != self.bits:
            raise UserError(f"{where}: encoding '{self.encoding}' with {self.bits} bits is unknown")
        if self.samples.dtype.kind != "u":
            raise UserError(
                f"{where}: samples are {self.samples.dtype}, expected unsigned integers; "
                "round and convert them first"
            )
        dimensions = 2 if self.kind == "audio" else 3
        if self.samples.ndim != dimensions:
            raise UserError(
                f"{where}: {self.kind} samples have shape {self.samples.shape}, expected "
                + ("(samples, channels)" if dimensions == 2 else "(height, width, channels)")
            )
        if self.samples.size == 0:
            raise UserError(f"{where}: it is empty (shape {self.samples.shape}); nothing to fit")
        top = int(self.samples.max())
        if top >= 2**self.bits:
            raise UserError(
                f"{where}: holds the value {top} but bits={self.bits} allows at most "
                f"{2**self.bits - 1}; correct 'bits' in the dataset table"
            )

    @property
    def sha256(self) -> str:
        """Digest of the samples (see `samples_sha256`)."""
        return samples_sha256(self.samples, self.bits)

    def metadata(self) -> dict:
        """Everything but the samples, as JSON-safe values."""
        facts = {k: v for k, v in asdict(self).items() if k != "samples"}
        return (
            facts
            | {"shape": list(self.samples.shape), "sha256": self.sha256}
            | plane_statistics(self.samples, self.bits)
        )

    def save(self, path: Path) -> None:
        """Write `samples` and the JSON metadata to an `.npz` file, atomically."""
        with replacing(path) as file:
            np.savez_compressed(file, samples=self.samples, metadata=json.dumps(self.metadata()))

    @classmethod
    def load(cls, path: Path) -> Signal:
        """Read a prepared signal and check its samples against the digest beside them.

        Raises
        ------
        UserError
            If the file is missing, damaged, or its samples do not match their digest.
        """
        try:
            with np.load(path, allow_pickle=False) as archive:
                samples = archive["samples"]
                metadata = json.loads(str(archive["metadata"]))
            names = [field.name for field in fields(cls) if field.name != "samples"]
            digest = metadata["sha256"]
            signal = cls(samples=samples, **{k: metadata[k] for k in names})
        except FileNotFoundError:
            raise UserError(f"{path}: no such prepared signal; run the workflow again") from None
        except UserError:
            raise
        except Exception:  # a damaged zip raises anything from OSError to zlib.error
            raise UserError(f"{path}: damaged; delete it and run again") from None
        if signal.sha256 != digest:
            raise UserError(f"{path}: samples do not match their digest; delete it and run again")
        return signal
