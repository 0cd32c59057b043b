"""Speech to text, offline: pocketsphinx with the English model in its package.

The same samples have the same transcript: every utterance has a decoder of its own, as pocketsphinx
adapts its estimate of the channel from one utterance to the next, and nothing is dithered.
"""

from __future__ import annotations

import importlib.util
import math

import numpy as np
from scipy.signal import resample_poly

from lossless_inr.errors import UserError, suggest

RATE = 16_000  # Hz, of pocketsphinx's English model
# Recordings of one word begin and end abruptly; the recogniser expects a pause around an utterance.
PAUSE = RATE // 5
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
GRAMMARS = {"digits": f"#JSGF V1.0;\ngrammar digits;\npublic <digit> = {' | '.join(DIGITS)};\n"}
# What may be said: any English sentence (the package's trigram model), or one digit.
VOCABULARIES = ("english", *GRAMMARS)


def _as_pcm(samples: np.ndarray, rate: int) -> np.ndarray:
    """16-bit PCM at the rate of the model, with a pause on either side."""
    if samples.dtype.kind == "i":
        samples = samples / 2.0 ** (8 * samples.dtype.itemsize - 1)
    values = samples.astype(np.float64)
    # Words that are wrong in an exponent are NaN or beyond all loudness; a loudspeaker clips.
    values = np.clip(np.nan_to_num(values, nan=0.0, posinf=1.0, neginf=-1.0), -1, 1)
    if rate != RATE:
        common = math.gcd(RATE, rate)
        values = resample_poly(values, RATE // common, rate // common)
    values = np.pad(np.clip(values, -1, 1), PAUSE)
    return np.rint(values * (2**15 - 1)).astype("<i2")


def recognise(samples: np.ndarray, rate: int, *, vocabulary: str = "english") -> str:
    """Transcript of one utterance.

    Parameters
    ----------
    samples : ndarray of float or signed int, (samples,) or (samples, channels)
        Floats in -1 ... 1; what is outside is clipped, infinities too, and a NaN is silence.
        Integers fill their type. Channels are averaged.
    rate : int
        Samples per second; other rates than 16,000 are resampled (polyphase filter).
    vocabulary : {"english", "digits"}
        Any English sentence (language model of the package), or exactly one digit (grammar).

    Returns
    -------
    str
        Words in lower case with a space between; empty where none was recognised, and of silence.

    Raises
    ------
    UserError
        If pocketsphinx is not installed, or for no samples, another type or shape, a rate that is
        not a positive integer, or an unknown vocabulary.
    """
    if vocabulary not in VOCABULARIES:
        raise UserError(f"no vocabulary '{vocabulary}'{suggest(vocabulary, VOCABULARIES)}")
    if not isinstance(rate, int | np.integer) or rate <= 0:
        raise UserError(f"sampling rate {rate}: expected a positive integer, in Hz")
    if samples.dtype.kind not in "if" or samples.ndim not in (1, 2) or samples.size == 0:
        raise UserError(
            f"an utterance of {samples.dtype} samples, shape {samples.shape}: expected floats or "
            "signed integers, (samples,) or (samples, channels), one sample at least"
        )
    if importlib.util.find_spec("pocketsphinx") is None:
        raise UserError(
            "the speech recogniser pocketsphinx is not installed; run: pip install pocketsphinx"
        )
    from pocketsphinx import Decoder  # 38 MB with its model: loaded for those who listen

    if samples.ndim == 2:
        if samples.dtype.kind == "i":
            samples = samples / 2.0 ** (8 * samples.dtype.itemsize - 1)
        with np.errstate(over="ignore", invalid="ignore"):
            samples = samples.astype(np.float64).mean(axis=1)
    pcm = _as_pcm(samples, int(rate))
    if not pcm.any():  # of which the language model makes a word
        return ""
    options = {"loglevel": "FATAL", "dither": False}
    if vocabulary in GRAMMARS:
        decoder = Decoder(lm=None, **options)
        decoder.add_jsgf_string(vocabulary, GRAMMARS[vocabulary])
        decoder.activate_search(vocabulary)
    else:
        decoder = Decoder(**options)
    decoder.start_utt()
    decoder.process_raw(pcm.tobytes(), full_utt=True)
    decoder.end_utt()
    heard = decoder.hyp()
    return " ".join(heard.hypstr.lower().split()) if heard else ""
