"""What the first screen says: who is lossless, how much sooner, on which machine."""

from __future__ import annotations

import pandas as pd

from lossless_inr.report.labels import method_name
from lossless_inr.signals.signal import FULL_DEPTH_PLANES

# Of the first screen.
MOST_CARDS = 12


def reached(fits: pd.DataFrame) -> list[dict]:
    """Per method: fits and signals that reached lossless, most complete first."""
    rows = []
    for _, group in fits.groupby(["method", "variant"], sort=False):
        lossless = group[group.status == "lossless"]
        rows.append(
            {
                "name": method_name(group.iloc[0]),
                "fits": len(group),
                "lossless": len(lossless),
                "verified": int(group.verified.fillna(False).sum()),
                "signals": group.signal.nunique(),
                "signals_lossless": int(
                    (group.status == "lossless").groupby(group.signal).all().sum()
                ),
                "iterations": _range(lossless.iterations),
            }
        )
    return sorted(rows, key=lambda r: (-r["lossless"] / r["fits"], -r["fits"], r["name"]))


def _range(values: pd.Series) -> str:
    if values.empty:
        return ""
    low, high = int(values.min()), int(values.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def speedups(fits: pd.DataFrame) -> list[dict]:
    """Every lossless method against the paper's method and recipe on the same signal.

    Ratios compare medians over seeds. Where the published fit ran out of budget the ratio is a
    lower bound. Seconds are compared only between fits of the same device, processor, threads,
    exclusiveness, size of batch and kind of pass.
    """
    base = fits[(fits.representation == "bitplane") & (fits.recipe == "published")]
    base = base[(base.network == "siren") & (base.variant == "")]
    # Of one that failed or diverged nothing is known, not even a lower bound.
    base = base[base.status.isin(["lossless", "budget_exhausted"])]
    base = base[base.budget == base.groupby("signal").budget.transform("max")]
    rows = []
    others_of = dict(list(fits[fits.recipe != "published"].groupby("signal", sort=False)))
    for _, reference in base.iterrows():
        if (others := others_of.get(reference.signal)) is None:
            continue
        others = others[others.width == reference.width]
        for _, group in others.groupby(["method", "variant", "width"], sort=False):
            if not (group.status == "lossless").all():
                continue
            same = ["device", "processor", "threads", "exclusive", "batch", "engine"]
            comparable = all((group[key] == reference[key]).all() for key in same)
            rows.append(
                {
                    "title": reference.title,
                    "representation": group.representation.iloc[0],
                    "recipe": group.recipe.iloc[0],
                    "depth": reference.depth,
                    "shape": reference["shape"],
                    "full": reference.informative_planes >= FULL_DEPTH_PLANES
                    or reference.bits < 16,
                    "name": method_name(group.iloc[0]),
                    "seeds": len(group),
                    "censored": reference.status != "lossless",
                    "reference_iterations": int(reference.iterations),
                    "iterations": float(group.iterations.median()),
                    "iterations_ratio": reference.iterations / group.iterations.median(),
                    "flops_ratio": float(reference.flops) / float(group.flops.median()),
                    "seconds_ratio": reference.seconds / group.seconds.median()
                    if comparable
                    else None,
                    "reference_seconds": reference.seconds,
                    "seconds": group.seconds.median(),
                }
            )
    return sorted(rows, key=lambda r: (r["title"], r["depth"], -r["flops_ratio"]))


def direct_remark(fits: pd.DataFrame) -> str | None:
    """A sentence on value regression, if any of its fits was verified lossless.

    The paper shows untuned value regression only; a reader must not miss that its failure is not
    a property of the form.
    """
    direct = fits[fits.representation == "direct"]
    reached_ = direct[direct.verified.fillna(False)]
    if reached_.empty:
        return None
    parts = []
    for (method, variant), group in reached_.groupby(["method", "variant"], sort=False):
        every = direct[(direct.method == method) & (direct.variant == variant)]
        name = method_name(group.iloc[0])
        parts.append(f"{name} on {group.signal.nunique()} of {every.signal.nunique()} signals")
    return (
        "Value regression without bit planes was verified lossless too: "
        + "; ".join(parts)
        + ". The paper compares with value regression at the published rate only."
    )


def underfunded(fits: pd.DataFrame) -> list[dict]:
    """Direct fits that got less compute than the same signal's dearest lossless bit-head fit."""
    rows = []
    fast = fits[(fits.representation == "bithead") & (fits.status == "lossless")]
    limits = fast.groupby("signal").flops.max()
    for _, fit in fits[fits.representation == "direct"].iterrows():
        stopped = fit.status == "budget_exhausted"
        if stopped and fit.signal in limits.index and fit.flops < limits[fit.signal]:
            rows.append({"signal": fit.signal, "method": fit.method})
    return rows


def summarise(fits: pd.DataFrame, whole: pd.DataFrame | None = None) -> dict:
    """Everything the first screen shows; ratios are of `whole` fits, if only some are."""
    lossless = fits[fits.status == "lossless"]
    depths = fits.drop_duplicates("signal")
    ran = fits[fits.ended.notna()]
    return {
        "fits": len(fits),
        "signals": int(fits.signal.nunique()),
        "lossless": len(lossless),
        "verified": int(lossless.verified.fillna(False).sum()),
        "unverified": lossless[~lossless.verified.fillna(False)].to_dict("records"),
        "diverged": int((fits.status == "diverged").sum()),
        "failed": int((fits.status == "failed").sum()),
        "reached": reached(fits),
        "speedups": (sooner := speedups(fits if whole is None else whole)),
        "cards": [
            row
            for row in sooner
            if row["full"] and row["representation"] == "bithead" and row["recipe"] == "fast"
        ][:MOST_CARDS],
        "direct_remark": direct_remark(fits),
        "underfunded": underfunded(fits),
        "depths": depths.groupby(["kind", "depth"], sort=False).size().reset_index(name="count"),
        "machines": sorted(set(ran.processor.dropna()))
        + ([] if set(ran.device.dropna()) <= {"cpu"} else ["CUDA"]),
        "threads": sorted({int(t) for t in ran.threads.dropna()}),
        "exclusive": bool(ran.exclusive.fillna(False).all()),
        "commits": sorted({(c or "unknown")[:10] for c in ran.commit}),
        "dates": sorted({str(d)[:10] for d in ran.ended}),
    }
