"""The utterances of Table 9's miniature: `python -m lossless_inr.speech.select FOLDER`.

Rule: of each digit the shortest 16-bit FSDD recording that the recogniser gets right on the
original; of two equally long ones the first by name. It sees no reconstruction.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import soundfile

from lossless_inr.errors import UserError
from lossless_inr.speech.recogniser import DIGITS, recognise


def shortest_recognised(folder: Path, digit: int) -> str:
    """Name of the chosen recording of a digit.

    Parameters
    ----------
    folder : Path
        FSDD's `recordings`: files `<digit>_<speaker>_<take>.wav`.
    digit : int

    Raises
    ------
    UserError
        If no recording of the digit is recognised.
    """
    recordings = []
    for path in Path(folder).glob(f"{digit}_*_*.wav"):
        samples, rate = soundfile.read(path, dtype="int16")
        # Some files hold 8 bits in 16: their low byte says nothing.
        if np.any(samples & 255):
            recordings.append((len(samples), path.stem, samples, rate))
    for _, name, samples, rate in sorted(recordings, key=lambda one: one[:2]):
        if recognise(samples, rate, vocabulary="digits") == DIGITS[digit]:
            return name
    raise UserError(f"{folder}: no recording of '{DIGITS[digit]}' that is recognised")


if __name__ == "__main__":
    try:
        for wanted in range(len(DIGITS)):
            print(shortest_recognised(Path(*sys.argv[1:2]), wanted))
    except UserError as error:
        sys.exit(str(error))
