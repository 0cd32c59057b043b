"""Table 9: quality and error rates of each method, and the verdict on what is heard. No torch."""

from __future__ import annotations

import pandas as pd

from lossless_inr.analysis.statistics import summarise_values
from lossless_inr.analysis.verdicts import FAILS, HOLDS, OPEN, Verdict
from lossless_inr.speech.rates import pooled

CLAIM = "The recogniser hears no difference only when the sound is lossless"
METHOD = ["network", "representation", "variant", "recipe", "budget"]


def heard_fits(fits: pd.DataFrame, transcripts: pd.DataFrame) -> pd.DataFrame:
    """Transcripts beside the quality of their fits, in the order of the transcripts."""
    columns = ["spec_digest", *METHOD, "method", "status", "psnr", "ber"]
    return transcripts.merge(fits[columns], on="spec_digest", validate="one_to_one")


def summary(heard: pd.DataFrame) -> pd.DataFrame:
    """One row per method and budget.

    Parameters
    ----------
    heard : DataFrame
        See `heard_fits`.

    Returns
    -------
    DataFrame
        `utterances` (n), `fits`, `not_heard` (fits without reconstruction), `empty_originals`
        (utterances of whose original the recogniser makes nothing: they have no rate and are left
        out of the rates and of `identical`), `lossless` fits, `psnr` (median over fits, infinite
        where half are lossless), `ber` (mean over fits), `wer` and `cer` (pooled over utterances,
        seeds together) with `_low`, `_high`, `_edits` and `_length`, and `identical` of `compared`
        fits with the transcript of their original.
    """
    rows = []
    for keys, group in heard.groupby(METHOD, sort=False, dropna=False):
        ran = group[group.transcript.notna()]
        spoken = ran[ran.words > 0]
        row = dict(zip(METHOD, keys, strict=True)) | {
            "method": group.method.iloc[0],
            "utterances": group.signal.nunique(),
            "fits": len(group),
            "not_heard": len(group) - len(ran),
            "empty_originals": int((group.reference == "").groupby(group.signal).first().sum()),
            "lossless": int((group.status == "lossless").sum()),
            "psnr": summarise_values(known).median if len(known := ran.psnr.dropna()) else None,
            "ber": ran.ber.mean() if len(ran) else None,
            "identical": int(spoken.identical.sum()),
            "compared": len(spoken),
        }
        # Seeds of an utterance are not independent: the interval is over utterances.
        counts = ("word_edits", "words", "char_edits", "chars")
        each = spoken.groupby("signal", sort=False)[list(counts)].sum()
        for name, wrong, length in (("wer", *counts[:2]), ("cer", *counts[2:])):
            rate = pooled(each[wrong], each[length])
            row |= {
                name: rate.value if rate else None,
                f"{name}_low": rate.low if rate else None,
                f"{name}_high": rate.high if rate else None,
                f"{name}_edits": rate.edits if rate else 0,
                f"{name}_length": rate.length if rate else 0,
            }
        rows.append(row)
    return pd.DataFrame(rows)


def verdict(heard: pd.DataFrame) -> Verdict:
    """Whether an identical transcript needs identical samples.

    One reconstruction that is not lossless and has the transcript of its original refutes it. It
    holds where there are lossless fits and others, and every one of the others is heard as
    something else.
    """
    spoken = heard[heard.transcript.notna() & (heard.reference != "")]
    done = spoken[spoken.status == "lossless"]
    rest = spoken[spoken.status != "lossless"]
    same = rest[rest.identical.astype(bool)]
    why = (
        f"{len(same)} of {len(rest)} reconstructions that are not lossless have the transcript of "
        f"their original, and {int(done.identical.sum())} of {len(done)} that are"
    )
    if len(same):
        why += f"; the worst of them has {same.psnr.min():.1f} dB and BER {same.ber.max():.3f}"
    enough = len(done) and len(rest) and bool(done.identical.all())
    result = FAILS if len(same) else HOLDS if enough else OPEN
    names = list(spoken.spec_digest)
    return Verdict("speech", CLAIM, "Table 9", result, spoken.signal.nunique(), why, names)
