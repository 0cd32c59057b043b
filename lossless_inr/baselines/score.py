"""Every metric of an outside program, measured from the files it wrote. Imports no torch."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from lossless_inr.baselines.launch import NOTES
from lossless_inr.errors import UserError
from lossless_inr.fitting.record import Quality
from lossless_inr.metrics import (
    LEVEL_BITS,
    bit_error_rate,
    count_errors,
    levels,
    psnr,
    rmse,
    ssim,
    wrong_bits_per_plane,
)
from lossless_inr.private import anonymous
from lossless_inr.schema import Strict
from lossless_inr.signals import Signal
from lossless_inr.signals.signal import sample_dtype, samples_sha256

RAW, ARRAY, CODE = "reconstruction.raw", "reconstruction.npy", "code"
CLAIMS, NOT_APPLICABLE = "claims.json", "not_applicable.txt"
KNOWN_CLAIMS = ("code_bytes", "encode_seconds", "decode_seconds")
MOST_VARIANTS, MOST_NAME, MOST_CLAIMS_BYTES = 64, 40, 10_000
# Sums of squared differences above this depth do not fit in 63 bits.
MOST_EXACT_BITS = 24


class Score(Strict):
    """What one program made of one signal; `variant` is one of several methods it has.

    `code_bytes` is the size of the file `code` on disk. Seconds are measured by the launcher
    (`seconds_by: suite`), or those of the program (`program`), which are refused where they
    exceed what its steps took together.
    """

    schema_version: Literal[1] = 1
    program: str
    variant: str = ""
    signal: str
    kind: str
    bits: int
    encoding: str = "integer"
    samples: Annotated[int, Field(ge=1)]
    signal_sha256: str
    status: Literal["lossless", "lossy", "failed", "not applicable"]
    reason: str = ""
    quality: Quality | None = None
    decoded_sha256: str | None = None
    code_bytes: Annotated[int, Field(ge=0)] | None = None
    encode_seconds: float | None = None
    decode_seconds: float | None = None
    seconds_by: Literal["suite", "program"] | None = None
    steps: list[dict[str, Any]] = []

    @property
    def bits_per_sample(self) -> float | None:
        """Of the code on disk; None if the program has none."""
        return None if self.code_bytes is None else 8 * self.code_bytes / self.samples


def quality_of(
    decoded: np.ndarray, truth: np.ndarray, bits: int, encoding: str = "integer"
) -> Quality:
    """Metrics of decoded integers, or words of floats, from exact counts.

    Parameters
    ----------
    decoded, truth : ndarray of unsigned int, same shape
        Values in 0 .. 2**bits - 1.
    bits : int
    encoding : {"integer", "float16", "float32", "float64"}
        PSNR and RMSE of floats are of 2**24 levels of the original's range (`metrics.levels`).

    Returns
    -------
    Quality
    """
    ours, theirs = truth.astype(np.int64), decoded.astype(np.int64)
    wrong = sum(int(n) for n in wrong_bits_per_plane(theirs, ours, bits))
    of_bits = bits
    if encoding != "integer":
        sound = truth.ndim == 2
        ours, theirs = (levels(words, truth, bits, sound) for words in (truth, decoded))
        bits = LEVEL_BITS
    if bits > MOST_EXACT_BITS:
        ours, theirs = ours.astype(object), theirs.astype(object)
    squared = int(count_errors(theirs, ours))
    return Quality(
        wrong_bits=wrong,
        squared_error=squared,
        ber=bit_error_rate(wrong, truth.size, of_bits),
        rmse=rmse(squared, truth.size),
        psnr=psnr(squared, truth.size, bits),
        ssim=ssim(theirs, ours, bits),
    )


def score(folder: Path, program: str, signal: Signal) -> list[Score]:
    """Score what a program wrote to its folder for one signal.

    Parameters
    ----------
    folder : Path
        With `run.json` of the launcher, and `reconstruction.raw` (C order, little-endian) or
        `reconstruction.npy`; with `code`, `claims.json`, or `not_applicable.txt`. A program with
        several methods writes these into one folder for each.
    program : str
    signal : Signal
        As it must come back.

    Returns
    -------
    list of Score
        One for each variant; a failed one says why. Nothing that a program writes raises.
    """
    facts = _facts(program, signal)
    try:
        steps = _steps(folder)
    except UserError as error:
        return [Score(**facts, status="failed", reason=anonymous(str(error)))]
    facts["steps"] = steps
    failed = [one for one in steps if one["reason"]]
    if failed:
        reason = f"{failed[0]['step']}: {failed[0]['reason']}"
        return [Score(**facts, status="failed", reason=anonymous(reason))]
    places = {"": folder}
    try:
        inside = sorted(p for p in folder.iterdir() if p.is_dir() and not p.is_symlink())
        if inside and not any((folder / name).exists() for name in (RAW, ARRAY)):
            if len(inside) > MOST_VARIANTS:
                raise UserError(f"{len(inside)} folders; at most {MOST_VARIANTS} methods are read")
            places = {_name(place): place for place in inside}
    except UserError as error:
        return [Score(**facts, status="failed", reason=anonymous(str(error)))]
    return [
        _score_place(place, facts | {"variant": name}, signal) for name, place in places.items()
    ]


def unusable(program: str, signal: Signal, reason: str) -> Score:
    """The failed row of a program that could not be run at all.

    Parameters
    ----------
    program : str
    signal : Signal
        What it was to be run on.
    reason : str
        Why it was not; made one line of at most 300 characters.
    """
    return Score(
        **_facts(program, signal), status="failed", reason=anonymous(" ".join(reason.split()))[:300]
    )


def _facts(program: str, signal: Signal) -> dict:
    return {
        "program": program,
        "signal": signal.name,
        "kind": signal.kind,
        "bits": signal.bits,
        "encoding": signal.encoding,
        "samples": signal.samples.size,
        "signal_sha256": signal.sha256,
    }


def _name(place: Path) -> str:
    if not place.name.isprintable() or len(place.name) > MOST_NAME:
        raise UserError(f"a method is called {place.name!r:.60}; use up to {MOST_NAME} letters")
    return place.name


def _steps(folder: Path) -> list[dict]:
    try:
        steps = json.loads((folder / NOTES).read_text(encoding="utf-8"))
        if not steps:
            raise ValueError
        names = ("step", "command", "seconds", "reason")
        found = [{name: one[name] for name in names} for one in steps]
        # Programs lie in folders of this machine.
        return [
            one
            | {"command": [anonymous(str(word)) for word in one["command"]]}
            | {"reason": anonymous(str(one["reason"]))}
            for one in found
        ]
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(
            f"no readable {NOTES}; the rule must start its program with {{params.run}}"
        ) from None


def _score_place(place: Path, facts: dict, signal: Signal) -> Score:
    try:
        if (place / NOT_APPLICABLE).is_file():
            reason = _text(place / NOT_APPLICABLE)[:200]
            return Score(**facts, status="not applicable", reason=anonymous(reason))
        decoded = _reconstruction(place, signal)
        code_bytes = _code_bytes(place)
        seconds = _seconds(place, facts["steps"], code_bytes)
        quality = quality_of(decoded, signal.samples, signal.bits, signal.encoding)
        digest = samples_sha256(decoded, signal.bits)
    except UserError as error:
        return Score(**facts, status="failed", reason=anonymous(str(error)))
    except OSError as error:
        return Score(**facts, status="failed", reason=f"unreadable: {error.strerror}")
    return Score(
        **facts,
        **seconds,
        status="lossless" if digest == signal.sha256 else "lossy",
        quality=quality,
        decoded_sha256=digest,
        code_bytes=code_bytes,
    )


def _text(path: Path) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return " ".join(file.read(MOST_CLAIMS_BYTES).split())


def _plain_file(path: Path) -> bool:
    if path.is_symlink():
        raise UserError(f"{path.name} is a link; write a file")
    return path.is_file()


def _reconstruction(place: Path, signal: Signal) -> np.ndarray:
    """Samples as the program wrote them, of the right shape and dtype and in range."""
    expected, shape = sample_dtype(signal.bits), signal.samples.shape
    if _plain_file(place / RAW):
        wanted, found = signal.samples.size * expected.itemsize, (place / RAW).stat().st_size
        if found != wanted:
            raise UserError(
                f"{RAW} has {found:,} bytes, not {wanted:,}: {signal.samples.size:,} samples of "
                f"{expected.name}, shape {'x'.join(map(str, shape))}"
            )
        decoded = np.fromfile(place / RAW, expected).reshape(shape)
    elif _plain_file(place / ARRAY):
        decoded = _array(place / ARRAY, expected, shape)
    else:
        raise UserError(f"wrote no reconstruction ({RAW} or {ARRAY})")
    top = int(decoded.max())
    if top >= 2**signal.bits:
        raise UserError(
            f"reconstruction holds {top}; {signal.bits} bits end at {2**signal.bits - 1}"
        )
    return decoded


def _array(path: Path, expected: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    try:
        # Mapped, so that a header that promises terabytes costs nothing.
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        found = array.shape, array.dtype
    except Exception:  # a damaged header raises anything
        raise UserError(f"{path.name}: damaged, or no array that NumPy saved") from None
    if found[0] != shape:
        raise UserError(f"reconstruction has shape {found[0]}, not {shape}")
    if found[1].newbyteorder("<") != expected:
        nan = array.dtype.kind == "f" and bool(np.isnan(array).any())
        also = " and holds NaN" if nan else ""
        raise UserError(f"reconstruction is {found[1].name}{also}, not {expected.name}")
    return np.array(array, dtype=expected)


def _code_bytes(place: Path) -> int | None:
    path = place / CODE
    if not _plain_file(path):
        if path.exists():
            raise UserError(f"{CODE} is no file; write the whole code into one")
        return None
    size = path.stat().st_size
    if size == 0:
        raise UserError(f"{CODE} is empty")
    return size


def _seconds(place: Path, steps: list[dict], code_bytes: int | None) -> dict:
    """Seconds of encoding and decoding, from the launcher or within what it measured."""
    claims = _claims(place)
    claimed = claims.get("code_bytes")
    if claimed is not None:
        if code_bytes is None:
            raise UserError(f"claims a code of {claimed:g} bytes but wrote no file '{CODE}'")
        if claimed < code_bytes:
            raise UserError(f"claims a code of {claimed:g} bytes, but its file has {code_bytes:,}")
    took = {one["step"]: one["seconds"] for one in steps}
    own = {name: claims[name] for name in KNOWN_CLAIMS[1:] if name in claims}
    if own:
        if sum(own.values()) > sum(took.values()):
            raise UserError(
                f"claims {sum(own.values()):.3g} s, but ran for {sum(took.values()):.3g} s"
            )
        return own | {"seconds_by": "program"}
    return {f"{name}_seconds": took.get(name) for name in ("encode", "decode")} | {
        "seconds_by": "suite" if {"encode", "decode"} & set(took) else None
    }


def _claims(place: Path) -> dict[str, float]:
    if not _plain_file(place / CLAIMS):
        return {}
    try:
        claims = json.loads(_text(place / CLAIMS))
        if not isinstance(claims, dict):
            raise ValueError
    except (ValueError, RecursionError):
        raise UserError(f"{CLAIMS} is not a JSON object") from None
    for name, value in claims.items():
        if name not in KNOWN_CLAIMS:
            raise UserError(
                f"{CLAIMS}: unknown key {name!r:.40} (known: {', '.join(KNOWN_CLAIMS)})"
            )
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise UserError(f"{CLAIMS}: {name} is no number")
        if not math.isfinite(value) or value < 0:
            raise UserError(f"{CLAIMS}: {name} is {value}")
    return {name: float(value) for name, value in claims.items()}
