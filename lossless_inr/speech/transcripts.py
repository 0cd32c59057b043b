"""Transcripts of originals and of their reconstructions: a row per fit. No torch."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from lossless_inr.errors import UserError
from lossless_inr.metrics import float_values
from lossless_inr.signals import Signal
from lossless_inr.speech.rates import edits
from lossless_inr.speech.recogniser import recognise

# The array of `decoded.npz` that is heard: the one with the PSNR and BER that tables show.
HEARD = "best"


@dataclass(frozen=True)
class Speech:
    """How a data set is spoken: samples per second, and what may be said."""

    rate: int
    vocabulary: str = "english"


# Prepared signals do not keep their rate. Other sounds are no speech; they have the rate of CDs.
SETS = {
    "fsdd": Speech(8_000, "digits"),
    "librispeech": Speech(16_000),
    "ljspeech": Speech(22_050),
}
OTHER = Speech(44_100)


def sound_values(words: np.ndarray, bits: int, encoding: str = "integer") -> np.ndarray:
    """Prepared samples as the floats that are heard.

    Parameters
    ----------
    words : ndarray of unsigned int, any shape
        Offset binary, or the words of IEEE-754 floats.
    bits : int
    encoding : {"integer", "float16", "float32", "float64"}

    Returns
    -------
    ndarray of float, of the same shape
        In -1 ... 1 for integers; whatever the words say for floats, NaN included.
    """
    if encoding != "integer":
        return float_values(words, bits)
    half = 2.0 ** (bits - 1)
    return (np.asarray(words).astype(np.float64) - half) / half


def transcribe(fits: pd.DataFrame, results: Path, prepared: Path) -> pd.DataFrame:
    """Let the recogniser hear every reconstruction, and each original once.

    Parameters
    ----------
    fits : DataFrame
        Rows of the table of fits.
    results, prepared : Path
        `results/<scale>` and `data/prepared`.

    Returns
    -------
    DataFrame
        `spec_digest`, `signal`, `reference` and `transcript`, `identical`, the counts of
        `rates.edits`, and `reason`: why there is nothing to hear (`transcript` is then null).

    Raises
    ------
    UserError
        If a signal is no sound, or a reconstruction's file cannot be read.
    """
    originals: dict[str, tuple[Signal, str]] = {}
    rows = []
    for fit in fits.itertuples(index=False):
        speech = SETS.get(fit.signal.split("/")[0], OTHER)
        if fit.signal not in originals:
            signal = Signal.load(prepared / f"{fit.signal}.npz")
            if signal.kind != "audio":
                raise UserError(f"{fit.signal}: it is a {signal.kind}; only sounds can be heard")
            originals[fit.signal] = signal, _heard(signal, signal.samples, speech)
        signal, reference = originals[fit.signal]
        row = {"spec_digest": fit.spec_digest, "signal": fit.signal, "reference": reference}
        path = results / fit.folder / "decoded.npz"
        if not path.is_file():
            rows.append(row | {"transcript": None, "reason": f"{fit.status}: no reconstruction"})
            continue
        try:
            with np.load(path, allow_pickle=False) as archive:
                decoded = archive[HEARD]
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise UserError(
                f"{path}: cannot be read ({error}); delete its folder and run again"
            ) from None
        transcript = _heard(signal, decoded.reshape(signal.samples.shape), speech)
        same = {"transcript": transcript, "identical": transcript == reference, "reason": ""}
        rows.append(row | same | edits(reference, transcript))
    columns = ["spec_digest", "signal", "reference", "transcript", "identical", "reason"]
    columns += ["word_edits", "words", "char_edits", "chars"]
    table = pd.DataFrame(rows, columns=columns)
    return table.astype({"identical": "boolean"} | dict.fromkeys(columns[6:], "Int64"))


def _heard(signal: Signal, words: np.ndarray, speech: Speech) -> str:
    values = sound_values(words, signal.bits, signal.encoding)
    return recognise(values, speech.rate, vocabulary=speech.vocabulary)
