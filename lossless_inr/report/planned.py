"""What a scale plans, and how much of it was run: a partial set must say so everywhere."""

from __future__ import annotations

import pandas as pd

ROW = ["network", "representation", "variant", "recipe", "budget", "cell"]
_TWINS = ["signal", "network", "representation", "variant", "recipe", "width"]


class Planned:
    """Planned fits of every experiment, against the ones that were run.

    Parameters
    ----------
    fits : DataFrame
        The table of fits that were run.
    counts : dict of str to int, optional
        Experiment -> number of planned fits.
    planned_fits : dict of str to list of dict, optional
        Experiment -> its planned fits (see `experiments.plan.plain_fits`).
    """

    def __init__(
        self,
        fits: pd.DataFrame,
        counts: dict[str, int] | None = None,
        planned_fits: dict[str, list[dict]] | None = None,
    ):
        self.run = set(fits.spec_digest)
        self.fits = {name: pd.DataFrame(rows) for name, rows in (planned_fits or {}).items()}
        self.counts = {name: len(rows) for name, rows in self.fits.items()} | (counts or {})

    def digests(self, name: str, table: pd.DataFrame | None = None) -> list[str]:
        """Fits of an experiment that were run, in the order of its spec."""
        if name in self.fits:
            return [digest for digest in self.fits[name].digest if digest in self.run]
        return [] if table is None else list(table.spec_digest)

    def shortfall(self, name: str, run: int) -> str:
        """`12 of 18 fits run`, or nothing where all were (or it is not known)."""
        planned = self.counts.get(name, run)
        return f"{run} of {planned} fits run" if run < planned else ""

    def not_begun(self, shown: list[str]) -> list[dict]:
        """Experiments of the plan that have no page, as none of their fits was run."""
        return [
            {"name": name, "planned": count}
            for name, count in self.counts.items()
            if name not in shown
        ]

    def rows(self, name: str, signals: list[str]) -> pd.DataFrame:
        """Planned rows of a table about these signals: `ROW` and the number of `planned` fits."""
        fits = self.fits.get(name)
        if fits is None:
            return pd.DataFrame(columns=[*ROW, "planned"])
        chosen = fits[fits.signal.isin(signals)]
        return chosen.groupby(ROW, sort=False, dropna=False).size().reset_index(name="planned")

    def signals_not_run(self, name: str) -> list[str]:
        """Signals of an experiment of which no fit was run."""
        fits = self.fits.get(name)
        if fits is None:
            return []
        begun = set(fits.signal[fits.digest.isin(self.run)])
        return [signal for signal in dict.fromkeys(fits.signal) if signal not in begun]

    def cell_signals(self, name: str, printed_set: str, cell: str) -> int | None:
        """Signals that a printed cell is about at this scale; None if the plan is not known."""
        fits = self.fits.get(name)
        if fits is None:
            return None
        same = (fits.printed_set == printed_set) & (fits.cell == cell)
        return int(fits.signal[same].nunique())

    def cut_short(self) -> set[str]:
        """Fits that stand in for a planned one that differs in its longer budget only.

        A figure's fit of 400 iterations is not what its method does in the end: until the longer
        one has been run, it must not be taken for it.
        """
        if not self.fits:
            return set()
        every = pd.concat(self.fits.values()).drop_duplicates("digest", ignore_index=True)
        longest = every.groupby(_TWINS).budget.transform("max")
        done = every[every.digest.isin(self.run)]
        reached = done.groupby(_TWINS).budget.max().rename("reached")
        twins = done.join(reached, on=_TWINS)
        return set(done.digest[(twins.reached < longest[done.index]).to_numpy()])
