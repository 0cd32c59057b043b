"""Whether each claim survives when compute is matched: the same verdicts on the clock of FLOPs."""

from __future__ import annotations

from dataclasses import dataclass, field

import pandas as pd

from lossless_inr.analysis import verdicts as v

NOTHING = "no comparison"


@dataclass(frozen=True)
class Matched:
    """One claim at equal compute.

    Attributes
    ----------
    result : {"holds", "does not hold", "not decided", "no comparison"}
    why : str
    evidence : list of str
        Specification digests of the fits, where there is a comparison.
    """

    result: str
    why: str
    evidence: list[str] = field(default_factory=list)

    def survives(self, verdict: v.Verdict) -> str:
        """`yes` or `no` for a claim that holds as stated; empty for any other."""
        if verdict.result != v.HOLDS:
            return ""
        return {v.HOLDS: "yes", v.FAILS: "no"}.get(self.result, "")


def _on_flops(fits: pd.DataFrame) -> pd.DataFrame:
    """Fits whose clock ticks FLOPs (in G), so that a verdict on iterations is one on compute."""
    return fits.assign(iterations=fits.flops.astype(float) / 1e9)


def _worded(verdict: v.Verdict, why: str) -> Matched:
    return Matched(verdict.result, why, verdict.evidence)


def _digits(fits: pd.DataFrame) -> Matched:
    verdict = v.grow_with_digits(_on_flops(fits))
    if verdict.result == v.OPEN:
        return _worded(verdict, verdict.why)
    return _worded(verdict, f"GFLOP to lossless: {verdict.why.split('. Not in')[0]}")


def _channels(fits: pd.DataFrame) -> Matched:
    verdict = v.channel_costs(_on_flops(fits))
    return _worded(
        verdict, verdict.why.split("; printed")[0].replace("the iterations", "the FLOPs")
    )


def bits_help_others_at_equal_flops(fits: pd.DataFrame) -> Matched:
    """(h) A network alone that had the FLOPs of its fit with bits, and was lossless or was not."""
    pictures = fits[(fits.kind == "photo") & (fits.status != "failed") & (fits.variant == "")]
    chosen = pictures[pictures.network.isin(v.OTHERS) & (pictures.recipe == "published")]
    parts, evidence, sooner, later = [], [], 0, 0
    for network in v.OTHERS:
        one = chosen[chosen.network == network]
        bits = one[(one.representation == "bitplane") & (one.status == "lossless")]
        cost = bits.groupby("signal").flops.median().astype(float)
        alone = one[(one.representation == "direct") & one.signal.isin(cost.index)]
        if alone.empty:
            continue
        spent, allowed = alone.flops.astype(float), alone.signal.map(cost)
        done = alone[(alone.status == "lossless") & (spent <= allowed)]
        # Lossless for more FLOPs is not lossless at equal ones.
        enough = (alone.status == "lossless") | (spent >= 0.95 * allowed)
        tried = alone[enough & ~alone.spec_digest.isin(done.spec_digest)]
        later += tried.signal.nunique()
        sooner += done.signal.nunique()
        label = alone.label.iloc[0]
        evidence += [*alone.spec_digest, *bits.spec_digest[bits.signal.isin(alone.signal)]]
        if len(done):
            where = f"{done.signal.nunique()} of {alone.signal.nunique()} signals"
            parts.append(f"{label} alone is lossless for fewer FLOPs on {where}")
        elif len(tried):
            parts.append(f"{label} alone is not, on {tried.signal.nunique()}")
        else:
            share = (spent / allowed).max()
            parts.append(f"{label} alone had at most {share:.0%} of the FLOPs")
    whole = later and len(parts) == len(v.OTHERS)
    result = v.FAILS if sooner else v.HOLDS if whole else v.OPEN
    return Matched(result, "; ".join(parts) or "no pair of fits to compare", evidence)


def at_equal_compute(fits: pd.DataFrame) -> dict[str, Matched]:
    """Letter of each claim -> what becomes of it when compute is matched.

    Parameters
    ----------
    fits : DataFrame
        The table of fits of one scale.
    """
    compute = v.baselines_do_not_at_equal_flops(fits)
    gain = v.factors(fits)
    return {
        "a": Matched(NOTHING, "a claim about one method"),
        "b": _worded(compute, compute.why),
        "c": _worded(compute, "stated at equal FLOPs"),
        "d": _digits(fits),
        "e": Matched(NOTHING, "a claim about each fit by itself"),
        "f": _worded(v.losses_in_order(fits), "the losses cost the same per iteration"),
        "g": _channels(fits),
        "h": bits_help_others_at_equal_flops(fits),
        "i": _worded(gain, "stated at equal FLOPs"),
        "j": Matched(NOTHING, "a claim about each fit by itself"),
        "k": Matched(NOTHING, "a claim about each fit by itself"),
        "l": Matched(NOTHING, "a claim about each fit by itself"),
        "m": _worded(v.periodic_collapses(fits), "an iteration of both networks costs the same"),
        "n": _worded(v.spectral_bias(fits), "an iteration costs the same on all of its images"),
    }
