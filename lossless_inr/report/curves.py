"""Curves as the report needs them: their summaries from one file, whole ones a few at a time."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from lossless_inr.errors import UserError
from lossless_inr.fitting import packs

LISTS = ("fall_at", "fall_wrong", "plane_means")


@dataclass(frozen=True)
class BestSoFar:
    """Smallest bit-error rate after 0, 1, 2, ... updates, kept as the places where it falls.

    Attributes
    ----------
    at : ndarray of int, (k,)
        Updates after which it fell, ascending from 0.
    ber : ndarray of float, (k,)
    length : int
        Updates of the whole curve, and 1.

    Examples
    --------
    >>> best = BestSoFar(np.array([0, 2]), np.array([0.5, 0.25]), 4)
    >>> [best[k] for k in range(4)], best[-1], len(best)
    ([0.5, 0.5, 0.25, 0.25], 0.25, 4)
    """

    at: np.ndarray
    ber: np.ndarray
    length: int

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, updates: int) -> float:
        last = updates + self.length if updates < 0 else updates
        return float(self.ber[np.searchsorted(self.at, last, side="right") - 1])


class Curves:
    """Curves of a scale's fits. Called with a row of the table of fits, it reads the whole curve.

    Parameters
    ----------
    results : Path
        `results/<scale>`. `curves.parquet` there has the summaries; a fit that is not in it, as
        of results of before there was one, is summarised from its curve.
    """

    def __init__(self, results: Path):
        self.results = Path(results)
        self.places: dict[str, int] = {}
        path = self.results / "curves.parquet"
        if path.is_file():
            columns = ["spec_digest", "length", "fall_at", "fall_wrong", "plane_means"]
            self.table = pq.read_table(path, columns=columns).combine_chunks()
            named = self.table.column("spec_digest").to_pylist()
            self.places = {digest: place for place, digest in enumerate(named)}
        self._read = functools.lru_cache(maxsize=16)(self._whole)
        self._own = functools.lru_cache(maxsize=16)(self._summarised)
        self._rows: dict[str, pd.Series] = {}

    def __call__(self, fit: pd.Series) -> pd.DataFrame:
        """The whole curve; a few are kept, as all of a scale may be gigabytes."""
        self._rows = {fit.spec_digest: fit}
        return self._read(fit.spec_digest)

    def _whole(self, digest: str) -> pd.DataFrame:
        fit = self._rows[digest]
        try:
            return packs.curve_of(self.results, fit)
        except FileNotFoundError:
            raise UserError(
                f"{self.results / fit.folder}: the fit's curve is gone; delete this folder and the "
                f"files in {self.results / 'shards'}, then run again"
            ) from None

    def _summarised(self, digest: str) -> dict:
        return packs.summary(self._read(digest))

    def _summary(self, fit: pd.Series) -> dict:
        place = self.places.get(fit.spec_digest)
        if place is not None:
            found = {name: self.table.column(name)[place].values for name in LISTS}
            if len(found["fall_at"]):
                arrays = {name: value.to_numpy() for name, value in found.items()}
                return arrays | {"length": self.table.column("length")[place].as_py()}
        self._rows = {fit.spec_digest: fit}
        own = self._own(fit.spec_digest)
        return own | {name: np.array(own[name]) for name in LISTS}

    def best(self, fit: pd.Series) -> BestSoFar:
        """Smallest bit-error rate so far."""
        found = self._summary(fit)
        ber = found["fall_wrong"] / (fit.samples * fit.bits)
        return BestSoFar(found["fall_at"], ber, found["length"])

    def plane_errors(self, fit: pd.Series) -> pd.Series:
        """Mean BER of each plane over the curve, least significant first."""
        return pd.Series(self._summary(fit)["plane_means"] / fit.samples)
