"""Who worked when, and what a fit costs beside its own loop: from the times in the records."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

# A pause of a shard that is longer was a kill or another run, not work.
LONGEST_PAUSE = 120.0
# Of a fit on a GPU at paper scale, in seconds: for the share of what is not the loop.
PAPER_FIT = 60.0
PARTS = ("loop", "evaluation", "saving", "start", "between", "verification")


@dataclass(frozen=True)
class Span:
    """A process at work.

    Attributes
    ----------
    kind : {"fit", "verify", "collect"}
    shard : str
    begin, end : float
        Seconds since the first one began.
    fits : int
    """

    kind: str
    shard: str
    begin: float
    end: float
    fits: int


@dataclass(frozen=True)
class Timeline:
    """The spans of a run, and where the seconds of its processes went.

    Attributes
    ----------
    spans : list of Span
        By begin.
    parts : dict of str to float
        Process seconds by `PARTS`.
    elapsed : float
        Seconds from the first begin to the last end, pauses of the whole run left out.
    pauses : float
        Seconds in which nothing ran for longer than `LONGEST_PAUSE`.
    workers : int
        Most processes side by side.
    waiting : float
        Seconds that workers had nothing to do, all together, while others worked.
    per_fit, per_shard : float
        Seconds beside loop and evaluation that each fit, and each shard, costs.
    untimed : int
        Fits without times, e.g. of records of before; in none of the figures.
    """

    spans: list[Span]
    parts: dict[str, float]
    elapsed: float
    pauses: float
    workers: int
    waiting: float
    per_fit: float
    per_shard: float
    untimed: int

    def overhead(self) -> float:
        """Share of the processes' seconds that is neither loop nor evaluation."""
        total = sum(self.parts.values())
        useful = self.parts["loop"] + self.parts["evaluation"]
        return (total - useful) / total if total else 0.0

    def at_paper_scale(self, shard_seconds: float, fit_seconds: float = PAPER_FIT) -> float:
        """The same share for fits and shards of another length, with the costs measured here."""
        fits = max(1.0, shard_seconds / fit_seconds)
        cost = self.per_fit + self.per_shard / fits
        return cost / (fit_seconds + cost)


def _seconds(text: pd.Series) -> pd.Series:
    # `errors`: what a record of another's says of its times need not be one.
    moment = pd.to_datetime(text, utc=True, errors="coerce", format="ISO8601")
    return (moment - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(seconds=1)


def timeline(fits: pd.DataFrame, collected: dict[str, str] | None = None) -> Timeline | None:
    """The run that made a table of fits.

    Parameters
    ----------
    fits : DataFrame
        The table of fits; `started` and `ended` are to the second, so short fits say little.
    collected : dict of str to str, optional
        When the collecting process `started` and `ended`.

    Returns
    -------
    Timeline or None
        None if no fit tells its times and shard.
    """
    if "shard" not in fits or "started" not in fits:
        return None
    table = fits.assign(begin=_seconds(fits.started), end=_seconds(fits.ended))
    table = table[table.begin.notna() & table.end.notna() & table.shard.notna()]
    table = table[table.seconds.notna() & (table.end >= table.begin)]
    if table.empty:
        return None
    parts = dict.fromkeys(PARTS, 0.0)
    spans, starts, between = [], [], []
    for shard, group in table.sort_values("begin", kind="stable").groupby("shard", sort=False):
        # Fits of a batch, and short ones, share seconds: their union is what the process took.
        last = group.end.cummax().shift(fill_value=group.begin.iloc[0])
        session = ((group.begin - last) > LONGEST_PAUSE).cumsum()
        for _, part in group.groupby(session, sort=False):
            begin, end = part.begin.iloc[0], part.end.max()
            start = float(part.seconds_startup.iloc[0])
            loop, evaluation = part.seconds.sum(), part.seconds_evaluation.sum()
            saving = part.seconds_saving.sum()
            spans.append(Span("fit", str(shard), begin - start, end, len(part)))
            starts.append(start)
            # Times are to the second, so that a difference may come out below nothing.
            rest = max(0.0, end - begin - loop - evaluation - saving)
            between.append((rest + saving, len(part)))
            for name, value in zip(
                PARTS, (loop, evaluation, saving, start, rest, 0.0), strict=True
            ):
                parts[name] += float(value)
    verified = table.drop_duplicates("shard").dropna(subset=["verify_started", "verify_ended"])
    for shard, begin, end in zip(
        verified.shard,
        _seconds(verified.verify_started),
        _seconds(verified.verify_ended),
        strict=True,
    ):
        if end >= begin:
            spans.append(Span("verify", str(shard), begin, end, 0))
            parts["verification"] += end - begin
    if collected:
        begin, end = _seconds(pd.Series([collected.get("started"), collected.get("ended")]))
        if end >= begin:
            spans.append(Span("collect", "", begin, end, 0))
    zero = min(span.begin for span in spans)
    spans = sorted(
        (Span(s.kind, s.shard, s.begin - zero, s.end - zero, s.fits) for s in spans),
        key=lambda span: span.begin,
    )
    workers, waiting, pauses = _side_by_side(spans)
    fit_count = sum(count for _, count in between)
    shards = max(1, len(starts))
    return Timeline(
        spans=spans,
        parts=parts,
        elapsed=max(span.end for span in spans) - pauses,
        pauses=pauses,
        workers=workers,
        waiting=waiting,
        per_fit=sum(seconds for seconds, _ in between) / max(1, fit_count),
        per_shard=(sum(starts) + parts["verification"]) / shards,
        untimed=len(fits) - len(table),
    )


def _side_by_side(spans: list[Span]) -> tuple[int, float, float]:
    """Most spans at once, idle seconds of so many workers, and pauses of all of them."""
    moments = np.array([(s.begin, 1) for s in spans] + [(s.end, -1) for s in spans])
    # At one moment, ends come first: a worker that goes on is one worker.
    order = np.lexsort((moments[:, 1], moments[:, 0]))
    times, busy = moments[order, 0], np.cumsum(moments[order, 1])
    lengths = np.diff(times)
    level = busy[:-1]
    most = int(max(1, busy.max()))
    paused = (level == 0) & (lengths > LONGEST_PAUSE)
    waiting = float(((most - level) * lengths)[~paused].sum())
    return most, waiting, float(lengths[paused].sum())
