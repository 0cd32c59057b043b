"""Word and character error rates against the original's transcript, pooled over utterances."""

from __future__ import annotations

from dataclasses import dataclass

import jiwer
import numpy as np
from scipy.stats import bootstrap

RESAMPLES = 2_000
CONFIDENCE = 0.95


def edits(reference: str, hypothesis: str) -> dict[str, int]:
    """Edits that turn one transcript into the other, and the length of the reference.

    Returns
    -------
    dict
        `word_edits` (substitutions, deletions and insertions), `words` of the reference,
        `char_edits` and `chars` likewise. With an empty reference every word is an insertion.

    Examples
    --------
    >>> edits("one two three", "one too")
    {'word_edits': 2, 'words': 3, 'char_edits': 7, 'chars': 13}
    >>> edits("", "one")
    {'word_edits': 1, 'words': 0, 'char_edits': 3, 'chars': 0}
    """
    if not reference.strip():
        return {
            "word_edits": len(hypothesis.split()),
            "words": 0,
            "char_edits": len(hypothesis.strip()),
            "chars": 0,
        }
    words = jiwer.process_words(reference, hypothesis)
    chars = jiwer.process_characters(reference, hypothesis)

    def counts(found) -> tuple[int, int]:
        wrong = found.substitutions + found.deletions
        return wrong + found.insertions, found.hits + wrong

    return dict(
        zip(
            ("word_edits", "words", "char_edits", "chars"),
            counts(words) + counts(chars),
            strict=True,
        )
    )


@dataclass(frozen=True)
class Rate:
    """Edits over length of all references together, and its interval.

    Attributes
    ----------
    value : float
        May exceed 1, as insertions count.
    low, high : float or None
        Percentile bootstrap over utterances at 95 %; None below two utterances.
    edits, length, utterances : int
    """

    value: float
    low: float | None
    high: float | None
    edits: int
    length: int
    utterances: int


def pooled(edits, lengths) -> Rate | None:
    """Pooled error rate.

    Parameters
    ----------
    edits, lengths : sequence of int, one entry per utterance
        Utterances whose reference is empty have no rate and are left out here.

    Returns
    -------
    Rate or None
        None if no reference has a word.

    Examples
    --------
    >>> pooled([1, 0, 3], [4, 4, 0]).value
    0.125
    """
    edits, lengths = np.asarray(edits, dtype=int), np.asarray(lengths, dtype=int)
    spoken = lengths > 0
    edits, lengths = edits[spoken], lengths[spoken]
    if not len(lengths):
        return None
    low = high = None
    if len(lengths) > 1:
        found = bootstrap(
            (edits, lengths),
            lambda e, n, axis: e.sum(axis=axis) / n.sum(axis=axis),
            paired=True,
            vectorized=True,
            method="percentile",
            n_resamples=RESAMPLES,
            confidence_level=CONFIDENCE,
            rng=np.random.default_rng(0),
        ).confidence_interval
        low, high = float(found.low), float(found.high)
    total, length = int(edits.sum()), int(lengths.sum())
    return Rate(total / length, low, high, total, length, len(lengths))
