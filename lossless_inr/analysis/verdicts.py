"""The paper's claims, each held against the measured fits of one scale.

A verdict is `holds`, `does not hold` or `not decided`, with the fits that it rests on. A fit whose
budget ended first says only "longer than its budget", and what follows from it follows for that
budget. Every comparison is between fits of one signal.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import pandas as pd

from lossless_inr.analysis.spectrum import LEVEL, Trend, crossings, patches, trend
from lossless_inr.signals.codes import FLOAT_CODES

HOLDS, FAILS, OPEN = "holds", "does not hold", "not decided"
# The baselines' iterations in Table 1, by bit depth.
PAPER_BUDGET = {8: 1000, 16: 5000}
# Mean iterations to lossless that the paper prints for Kodak and TESTIMAGES, by bit depth. A fit
# that may take less than twice as many says nothing when it ends without a zero.
PAPER_ITERATIONS = {8: 790, 16: 3450}
FORM_NAMES = {"bitplane": "Bit planes", "bithead": "Bit head (no bit axis)"}
# Updates over which the recipe `fast` decays (config/recipes/fast.yaml).
FAST_BASE, FAST_PER_BIT = 40, 5
OTHERS = ("instant_ngp", "diner", "gauss", "finer")


@dataclass(frozen=True)
class Verdict:
    """One claim and what the fits say of it.

    Attributes
    ----------
    key, claim, where : str
        Letter, the claim in a sentence, and where the paper makes it.
    result : {"holds", "does not hold", "not decided"}
    signals : int
        Signals that the verdict rests on.
    why : str
        The numbers that decide it.
    evidence : list of str
        Specification digests of the fits.
    """

    key: str
    claim: str
    where: str
    result: str
    signals: int
    why: str
    evidence: list[str] = field(default_factory=list)


def _of(fits: pd.DataFrame, **values) -> pd.DataFrame:
    """Rows with these values; a tuple lists several."""
    for column, value in values.items():
        wanted = value if isinstance(value, tuple) else (value,)
        fits = fits[fits[column].isin(wanted)]
    return fits


def _pictures(fits: pd.DataFrame) -> pd.DataFrame:
    return fits[(fits.kind == "photo") & ~fits.status.isin(["failed"])]


def _published_planes(fits: pd.DataFrame) -> pd.DataFrame:
    """The paper's method: SIREN, bit coordinate, cross-entropy, published recipe, run to zero."""
    chosen = _of(fits, network="siren", representation="bitplane", recipe="published", variant="")
    # Fits that were stopped early on purpose (Figures 5 and 7) have longer twins.
    longest = chosen.groupby(["signal", "width"]).budget.transform("max")
    return chosen[chosen.budget == longest]


def times(fits: pd.DataFrame) -> pd.Series:
    """Iterations to lossless by signal: the median over seeds, infinite where censored."""
    reached = fits.iterations.where(fits.status == "lossless", math.inf).astype(float)
    return reached.groupby(fits.signal).median()


def _count(done: pd.DataFrame, of: pd.DataFrame) -> str:
    return f"{done.signal.nunique()} of {of.signal.nunique()} signals"


def _verdict(key, claim, where, result, fits, why) -> Verdict:
    evidence = list(dict.fromkeys(fits.spec_digest)) if len(fits) else []
    signals = fits.signal.nunique() if len(fits) else 0
    return Verdict(key, claim, where, result, signals, why, evidence)


def planes_reach_zero(fits: pd.DataFrame) -> Verdict:
    """(a) Of the paper's method."""
    every = _published_planes(_pictures(fits))
    needed = 2 * every.bits.map(PAPER_ITERATIONS).fillna(0)
    chosen = every[every.budget >= needed]
    text = ("a", "Bit planes reach BER 0 on every image", "Table 1")
    if chosen.empty:
        return _verdict(*text, OPEN, chosen, "no such fit at this scale")
    done = chosen[chosen.status == "lossless"]
    verified = int(done.verified.fillna(False).sum())
    result = HOLDS if len(done) == len(chosen) == verified else OPEN
    longest = f"{chosen.iterations.max():,}"
    why = f"{len(done)} of {len(chosen)} fits, {verified} verified; the longest {longest} updates"
    if len(chosen) < len(every):
        why += (
            f"; {len(every) - len(chosen)} fits with budgets of less than twice the paper's mean "
            "iterations are left out, whatever came of them"
        )
    return _verdict(*text, result, chosen, why)


def baselines_do_not(fits: pd.DataFrame) -> Verdict:
    """(b) Within the paper's budgets, at the published rate."""
    chosen = _of(_pictures(fits), representation="direct", recipe="published", variant="")
    chosen = chosen[chosen.budget == chosen.bits.map(PAPER_BUDGET)]
    text = ("b", "The direct baselines do not, within the paper's budgets", "Table 1")
    if chosen.empty:
        return _verdict(*text, OPEN, chosen, "no such fit at this scale")
    done = chosen[chosen.status == "lossless"]
    why = f"{len(done)} of {len(chosen)} baseline fits are lossless"
    if len(done):
        why += f" ({', '.join(sorted(set(done.label)))})"
    return _verdict(*text, FAILS if len(done) else HOLDS, chosen, why)


def baselines_do_not_at_equal_flops(fits: pd.DataFrame) -> Verdict:
    """(c) With as much compute as the bit-plane fit of the same signal took, at any rate."""
    pictures = _pictures(fits)
    planes = _published_planes(pictures)
    cost = planes[planes.status == "lossless"].groupby("signal").flops.median()
    direct = _of(pictures, representation="direct", variant="")
    allowed = direct.signal.map(cost).astype(float)
    spent = direct.flops.astype(float)
    done = direct[(direct.status == "lossless") & (spent <= allowed)]
    tried = direct[(direct.status == "lossless") | (spent >= 0.95 * allowed)]
    tried = tried[tried.signal.isin(cost.index)]
    text = ("c", "Nor with the same compute, nor with their best rate", "implied by Table 1")
    if tried.empty:
        return _verdict(*text, OPEN, tried, "no baseline had as many FLOPs at this scale")
    parts = []
    for recipe, group in tried.groupby("recipe"):
        sooner = done[done.recipe == recipe]
        parts.append(f"{recipe} rate: lossless for fewer FLOPs on {_count(sooner, group)}")
    ratio = (done.flops.astype(float) / done.signal.map(cost).astype(float)).groupby(done.signal)
    if len(done):
        parts.append(f"at best {ratio.min().median():.2g} of the bit-plane fit's FLOPs (median)")
    return _verdict(*text, FAILS if len(done) else HOLDS, tried, "; ".join(parts))


def grow_with_digits(fits: pd.DataFrame) -> Verdict:
    """(d) Monotone over the size of the digit; a censored fit counts as later than its budget."""
    text = ("d", "Iterations grow with the digits' size n", "Table 3, Figure 8")
    pictures = _of(_pictures(fits), network="siren", recipe="published", bits=8)
    digits = pictures[(pictures.representation == "digits") & (pictures.width == _widest(pictures))]
    groups = {1: digits[digits.variant == ""]}
    groups |= {n: digits[digits.variant == f"digit_bits={n}"] for n in (2, 4)}
    direct = _of(pictures, representation="direct", variant="")
    groups[8] = direct[direct.budget >= 5000]
    if any(group.empty for group in groups.values()):
        return _verdict(*text, OPEN, digits, "not every digit size was run at this scale")
    by_size = pd.DataFrame({n: times(group) for n, group in groups.items()}).dropna()
    rising = by_size.apply(lambda row: row.is_monotonic_increasing, axis=1)
    ratios = by_size[2] / by_size[1]
    shown = "; ".join(
        f"n={n}: {'> budget' if math.isinf(by_size[n].median()) else f'{by_size[n].median():,.0f}'}"
        for n in by_size
    )
    why = (
        f"medians {shown}; rising on {int(rising.sum())} of {len(rising)} images. Not in "
        "proportion to the bound: from n=1 to n=2 it grows 81-fold, the iterations "
        f"{ratios.median():.2f}-fold"
    )
    result = HOLDS if rising.all() else FAILS
    rests_on = pd.concat(groups.values())
    return _verdict(*text, result, rests_on[rests_on.signal.isin(by_size.index)], why)


def _widest(fits: pd.DataFrame) -> int:
    """Width of the first reading of "the same number of parameters": each network as wide."""
    return int(fits.width.max()) if len(fits) else 0


def biased_towards_high_bits(
    fits: pd.DataFrame, plane_errors: Callable[[pd.Series], pd.Series]
) -> Verdict:
    """(e) Mean BER of each plane over the fit, against the plane's place."""
    text = ("e", "Bit bias: BER rises towards the least significant bit", "Figure 6")
    chosen = _of(_pictures(fits), representation=("direct", "bitplane"), recipe="published")
    chosen = chosen[(chosen.iterations >= 100) & (chosen.variant == "") & (chosen.seed == 0)]
    if chosen.empty:
        return _verdict(*text, OPEN, chosen, "no such fit at this scale")
    ratios = []
    for _, fit in chosen.iterrows():
        errors = plane_errors(fit)
        # Halves, because the lowest planes of a slow fit all read 0.5, in any order.
        half = len(errors) // 2
        ratios.append(errors[:half].mean() / max(errors[-half:].mean(), 1e-12))
    ratios = pd.Series(ratios, index=chosen.label + " " + chosen.representation)
    rising = ratios > 1
    forms = ratios.groupby(list(chosen.representation)).median()
    shown = ", ".join(f"{form} {ratio:.1f}" for form, ratio in forms.items())
    why = (
        f"the lower half of the planes has the higher BER in {int(rising.sum())} of {len(rising)} "
        f"fits; BER of the lower half over the upper (median): {shown}; least {ratios.idxmin()}, "
        f"{ratios.min():.2f}"
    )
    return _verdict(*text, HOLDS if rising.all() else FAILS, chosen, why)


def losses_in_order(fits: pd.DataFrame) -> Verdict:
    """(f) BCE, MSE, MAE of the bits' probabilities."""
    text = ("f", "BCE is lossless before MSE, MSE before MAE", "Figure 11")
    chosen = _of(_pictures(fits), network="siren", representation="bitplane", recipe="published")
    groups = {name: chosen[chosen.variant == f"loss={name}"] for name in ("mse", "mae")}
    signals = set(groups["mse"].signal) & set(groups["mae"].signal)
    bce = chosen[(chosen.variant == "") & chosen.signal.isin(signals)]
    groups = {"bce": bce[bce.budget >= groups["mse"].budget.max()], **groups}
    if any(group.empty for group in groups.values()):
        return _verdict(*text, OPEN, bce, "not every loss was run at this scale")
    when = pd.DataFrame({name: times(group) for name, group in groups.items()})
    wrong = {name: int(group.best_wrong_bits.median()) for name, group in groups.items()}
    reached = {n: "not" if math.isinf(t) else f"{t:,.0f}" for n, t in when.median().items()}
    ordered = (when.bce < when.mse) & (when.mse < when.mae)
    reverse = (when.bce > when.mse) | (when.mse > when.mae)
    # Two that both ran out of budget are not in order: their wrong bits only hint at it.
    result = HOLDS if ordered.all() else FAILS if reverse.any() else OPEN
    why = ", ".join(f"{n} {reached[n]} ({wrong[n]:,} wrong bits at best)" for n in groups)
    return _verdict(*text, result, pd.concat(groups.values()), f"iterations: {why}")


def channel_costs(fits: pd.DataFrame) -> Verdict:
    """(g) The channel as a fourth coordinate."""
    text = ("g", "A fourth coordinate (the channel) costs iterations", "Table 8")
    chosen = _of(_pictures(fits), representation="bitchannel", recipe="published", variant="")
    three = _published_planes(_pictures(fits))
    three = three[three.signal.isin(chosen.signal)]
    if chosen.empty or three.empty:
        return _verdict(*text, OPEN, chosen, "not run at this scale")
    ratio = (times(chosen) / times(three)).dropna()
    more, less = int((ratio > 1).sum()), int((ratio < 1).sum())
    why = (
        f"{ratio.median():.2f} times the iterations (median); +{more} -{less} by sign; printed 1.82"
    )
    result = HOLDS if less == 0 and more else FAILS if more == 0 else OPEN
    both = pd.concat([chosen[chosen.signal.isin(three.signal)], three])
    return _verdict(*text, result, both, why)


def bits_help_others(fits: pd.DataFrame) -> Verdict:
    """(h) Lossless with bits where the same network alone is not, within the printed budgets."""
    text = ("h", "Adding bits makes Instant-NGP, DINER, Gauss and FINER lossless", "Table 2")
    pictures = _of(_pictures(fits), recipe="published", variant="", network=OTHERS)
    chosen = pictures[pictures.representation.isin(["direct", "bitplane"])]
    parts, helped, lost = [], [], []
    for network in OTHERS:
        both = chosen[chosen.network == network]
        signals = set(both[both.representation == "bitplane"].signal)
        both = both[both.signal.isin(signals & set(both[both.representation == "direct"].signal))]
        if both.empty:
            continue
        planes = both[both.representation == "bitplane"]
        direct = both[both.representation == "direct"]
        done = planes[planes.status == "lossless"]
        alone = direct[direct.status == "lossless"]
        (helped if len(done) == len(planes) and alone.empty else lost).append(network)
        bits = f"{_count(done, planes)} with bits, {_count(alone, direct)} alone"
        parts.append(f"{both.label.iloc[0]}: lossless on {bits}")
    if not parts:
        return _verdict(*text, OPEN, chosen.iloc[:0], "not run at this scale")
    result = HOLDS if len(helped) == len(OTHERS) else OPEN
    return _verdict(*text, result, chosen, "; ".join(parts))


def factors(fits: pd.DataFrame) -> Verdict:
    """(i) Share of the gain by target and form, loss and rate, at equal FLOPs."""
    text = ("i", "The gain is that of bit planes", "section 4 (target, loss, form, rate)")
    chosen = _of(_pictures(fits), network="siren", recipe=("published", "decayed"))
    forms = ("direct", "bitplane", "bithead")
    chosen = chosen[chosen.representation.isin(forms)]
    loss = chosen.variant.str.extract(r"^(?:loss=(mse|bce))?$", expand=False)
    natural = chosen.representation.map(lambda form: "mse" if form == "direct" else "bce")
    chosen = chosen.assign(loss=loss.where(loss.notna(), natural.where(chosen.variant == "")))
    signals = set(chosen[chosen.recipe == "decayed"].signal)
    chosen = chosen[chosen.signal.isin(signals) & chosen.loss.notna()]
    longest = chosen.groupby(["signal", "representation", "recipe", "loss"]).budget.transform("max")
    chosen = chosen[chosen.budget == longest]
    if chosen.empty:
        return _verdict(*text, OPEN, chosen, "not run at this scale")
    work = chosen.flops.astype(float).where(chosen.status == "lossless", math.inf)
    table = work.groupby([chosen.representation, chosen.loss, chosen.recipe]).median() / 1e9
    parts = [
        f"{form} {loss} {recipe} {'not' if math.isinf(value) else f'{value:,.0f}'}"
        for (form, loss, recipe), value in table.items()
    ]
    best = {form: table[form].min() for form in forms if form in table}
    alone = best.get("direct", math.inf) < best.get("bitplane", math.inf)
    result = OPEN if all(map(math.isinf, best.values())) else FAILS if alone else HOLDS
    why = "median GFLOP to lossless: " + ", ".join(parts)
    return _verdict(*text, result, chosen, why)


def ternary_reaches_zero(fits: pd.DataFrame) -> Verdict:
    """(l) Weights in {-1, 0, 1}, decoded from their packed form."""
    text = ("l", "Weights in {-1, 0, 1} reach BER 0", "Table 4")
    every = _of(_few_bits(fits), network="ternary", weight_bits=1.58)
    fast = _of(every, recipe="fast-ternary", representation="bithead")
    if fast.empty:
        return _verdict(*text, OPEN, fast, "not run at this scale")
    sure = fast[(fast.status == "lossless") & fast.verified.fillna(False).astype(bool)]
    why = f"fast recipe, bit head: {len(sure)} of {len(fast)} fits, verified from packed weights"
    for (form, recipe), group in every.groupby(["representation", "recipe"], sort=False):
        if (form, recipe) == ("bithead", "fast-ternary"):
            continue
        zero = int((group.status == "lossless").sum())
        why += (
            f"; {form}, {recipe}: {zero} of {len(group)} within {group.budget.max():,} updates, "
            f"best BER {group.ber.median():.2g}"
        )
    return _verdict(*text, HOLDS if len(sure) else OPEN, every, why)


def periodic_collapses(fits: pd.DataFrame) -> Verdict:
    """(m) Sine networks with weights of few bits."""
    text = ("m", "Periodic activations collapse under ternary weights", "section 4.4, Figure 10")
    fits = _of(_few_bits(fits), representation="bithead")
    # Each with the recipe that suits it.
    sines = _of(fits, network="low_bit_siren", recipe="fast")
    chosen = pd.concat([_of(fits, network="ternary", recipe="fast-ternary"), sines])
    chosen = chosen[chosen.signal.isin(sines.signal)]
    low = chosen[chosen.weight_bits == chosen.weight_bits.min()]
    sine, other = _of(low, network="low_bit_siren"), _of(low, network="ternary")
    if sine.empty or other.empty:
        return _verdict(*text, OPEN, chosen, "not run at this scale")
    why = []
    for bits, group in _of(chosen, network="low_bit_siren").groupby("weight_bits"):
        zero = int((group.status == "lossless").sum())
        why.append(f"{bits:g} bits {group.ber.median():.2g} ({zero} of {len(group)})")
    # A sine network of float32 weights that fails as well says nothing about the weights.
    whole = _of(chosen, network="low_bit_siren", weight_bits=32.0)
    able = len(whole) and (whole.status == "lossless").all()
    worse = sine.ber.median() > 10 * max(other.ber.median(), 1e-6)
    same = sine.ber.median() <= other.ber.median()
    result = FAILS if same else HOLDS if able and worse else OPEN
    said = f"best BER of sines (lossless): {', '.join(why)}"
    said += f"; of the other network {other.ber.median():.2g}"
    return _verdict(*text, result, chosen, said)


def _few_bits(fits: pd.DataFrame) -> pd.DataFrame:
    """Fits that tell the bits of their weights; tables of before did not."""
    if "weight_bits" not in fits:
        return fits.iloc[:0].assign(weight_bits=32.0)
    return fits[fits.status != "failed"]


def _words_come_back(text: tuple[str, str, str], fits: pd.DataFrame) -> Verdict:
    """Of the bit forms with the fast recipe: whether every fit is lossless and verified."""
    chosen = fits[fits.representation.isin(["bitplane", "bithead"]) & (fits.status != "failed")]
    fast = _of(chosen, recipe="fast", variant="")
    # Table 9 stops some on purpose, before the rate has come down.
    fast = fast[fast.budget >= FAST_BASE + FAST_PER_BIT * fast.bits]
    if fast.empty:
        return _verdict(*text, OPEN, fast, "no such fit at this scale")
    done = fast[fast.status == "lossless"]
    verified = int(done.verified.fillna(False).sum())
    why = f"fast recipe: {len(done)} of {len(fast)} fits, {verified} verified"
    if len(done):
        low, middle, high = done.iterations.quantile([0, 0.5, 1])
        why += f"; {low:,.0f} to {high:,.0f} updates, median {middle:,.0f}"
    if len(done) == verified == len(fast):
        why += f"; a fit fails with at most {1 - 0.05 ** (1 / len(fast)):.1%} (95 %)"
    for form, group in chosen[chosen.recipe == "published"].groupby("representation"):
        zero = group[group.status == "lossless"]
        why += f"; published recipe, {form}: {len(zero)} of {len(group)}"
    values = _of(fits, representation="direct", variant="")
    if len(values):
        zero = int((values.status == "lossless").sum())
        why += f"; value regression: {zero} of {len(values)}"
    return _verdict(*text, HOLDS if len(done) == verified == len(fast) else OPEN, fast, why)


def sounds_reach_zero(fits: pd.DataFrame) -> Verdict:
    """(j) 16-bit sounds."""
    text = ("j", "16-bit audio reaches BER 0", "section 5")
    return _words_come_back(text, fits[(fits.kind == "audio") & (fits.bits == 16) & ~_float(fits)])


def floats_come_back(fits: pd.DataFrame) -> Verdict:
    """(k) float32, word for word."""
    text = ("k", "float32 signals reach identical words", "Figure 12, Table 9")
    return _words_come_back(text, fits[_float(fits) & (fits.bits == 32)])


def _float(fits: pd.DataFrame) -> pd.Series:
    """Fits of floats; tables of before had none."""
    code = fits["code"] if "code" in fits else pd.Series("offset", fits.index)
    return code.isin(FLOAT_CODES)


def spectral_bias(fits: pd.DataFrame) -> Verdict:
    """(n) Flat patches by the frequency of their bits, and the same with shuffled planes."""
    text = ("n", "DC and low frequencies along the bit axis are fitted sooner", "Figure 9")
    every = _of(patches(fits), network="siren", variant="", representation=("bitplane", "bithead"))
    every = every[every.recipe.isin(["published", "fast"])]
    chosen = _of(every, representation="bitplane", recipe="published")
    found = _trends(chosen)
    if chosen.empty or found["periodic"].images < 5 or found["shuffled"].images < 4:
        return _verdict(*text, OPEN, chosen, "not every frequency and its control was run")
    when = times(chosen[~chosen.shuffled])
    changes = chosen.groupby("signal").plane_changes.first()[when.index]
    shown = ", ".join(
        f"{int(changes[name])}: {'not' if math.isinf(when[name]) else f'{when[name]:,.0f}'}"
        for name in changes.sort_values().index
    )
    why = f"median iterations by changes from plane to plane: {shown}"
    crossed = crossings(chosen[~chosen.shuffled])
    for high, low in crossed:
        why += f"; {high:g} changes take fewer than {low:g} with every seed"
    why += f"; {_trends_text(chosen)}"
    for (form, recipe), group in every.groupby(["representation", "recipe"], sort=False):
        if (form, recipe) != ("bitplane", "published"):
            why += f". {FORM_NAMES[form]}, {recipe}: {_trends_text(group)}"
    periodic, control = found["periodic"], found["shuffled"]
    first = when[changes == 0].max() < when[changes > 0].min()
    if crossed or min(periodic.reverse, control.reverse) <= LEVEL:
        result = FAILS
    else:
        result = HOLDS if first and max(periodic.p, control.p) <= LEVEL else OPEN
    return _verdict(*text, result, every, why)


def _trends(fits: pd.DataFrame) -> dict[str, Trend]:
    """Times of `patches` against the frequency of each image, and of it before its shuffle."""
    found = {}
    for name, group, column in (
        ("periodic", fits[~fits.shuffled.astype(bool)], "plane_changes"),
        ("shuffled", fits[fits.shuffled.astype(bool)], "plane_changes"),
        ("before", fits[fits.shuffled.astype(bool)], "usual_changes"),
    ):
        frequency = group.groupby("signal")[column].first()
        found[name] = trend(frequency, times(group)[frequency.index])
    return found


def _trends_text(fits: pd.DataFrame) -> str:
    found, when = _trends(fits), times(fits)
    first = fits.groupby("signal").agg({"image": "first", "shuffled": "first"}).loc[when.index]
    moved = first.shuffled.astype(bool)
    before = first.image[moved].map(when[~moved].set_axis(first.image[~moved]))
    # The same ones at other places: where they are is all that differs.
    ratio = when[moved] / before
    text = (
        f"rank correlation {found['periodic'].text()}; with shuffled planes "
        f"{found['shuffled'].text()} by their own changes, {found['before'].rho:+.2f} by those of "
        "the values before"
    )
    if ratio.notna().any():  # else neither was ever lossless
        text += (
            f", and {ratio.median():.2f} times the iterations of the same value before (median; "
            f"more on {int((ratio > 1).sum())} of {len(ratio)})"
        )
    return text


def verdicts(fits: pd.DataFrame, plane_errors: Callable[[pd.Series], pd.Series]) -> list[Verdict]:
    """Every claim held against the fits of one scale.

    Parameters
    ----------
    fits : DataFrame
        The table of fits, a row each (see `experiments.tables.row_of`).
    plane_errors : callable
        A row of `fits` -> mean BER of each plane over the fit, least significant first.
    """
    return [
        planes_reach_zero(fits),
        baselines_do_not(fits),
        baselines_do_not_at_equal_flops(fits),
        grow_with_digits(fits),
        biased_towards_high_bits(fits, plane_errors),
        losses_in_order(fits),
        channel_costs(fits),
        bits_help_others(fits),
        factors(fits),
        sounds_reach_zero(fits),
        floats_come_back(fits),
        ternary_reaches_zero(fits),
        periodic_collapses(fits),
        spectral_bias(fits),
    ]
