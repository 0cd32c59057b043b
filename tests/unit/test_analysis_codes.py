"""The comparison of codes of integers, from prepared signals and a table of fits."""

import numpy as np
import pandas as pd
import pytest

from lossless_inr.analysis.codes import code_ratios, code_rows, flips_per_sample
from lossless_inr.signals import Signal


def test_two_s_complement_flips_as_often_as_offset_binary_and_sign_magnitude_less():
    quiet = np.random.default_rng(0).integers(2**15 - 40, 2**15 + 40, (500, 2))
    offset, twos, sign = (
        flips_per_sample(quiet, 16, code)
        for code in ("offset", "twos-complement", "sign-magnitude")
    )
    assert offset == twos
    # Half of the pairs cross zero: ten planes above the sound flip there, and one in the other.
    assert offset - sign == pytest.approx(0.5 * 9, abs=0.6)
    assert flips_per_sample(quiet[:1], 16, "offset") == 0.0


@pytest.fixture
def table(tmp_path):
    rows = []
    for k, peak in enumerate([0.5, 0.01, 0.1, 0.2, 0.3, 0.4]):
        size = int(peak * 2**15)
        samples = np.array([2**15 - size, 2**15, 2**15 + 3], np.uint16)[:, None]
        name = f"set/3/{k}"
        path = tmp_path / f"{name}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        Signal(name, samples, 16, "audio").save(path)
        for code, iterations in {"offset": 100, "sign-magnitude": 90 - k}.items():
            for seed in range(3 if code == "offset" else 2):
                row = {"signal": name, "title": f"T{k}", "code": code, "seed": seed}
                row |= {"iterations": iterations + seed, "status": "lossless", "width": 8}
                row |= {"representation": "bithead", "network": "siren", "recipe": "fast"}
                rows.append(row | {"budget": 300})
    return pd.DataFrame(rows), tmp_path


def test_rows_are_paired_by_seed_and_ordered_by_loudness(table):
    fits, prepared = table
    rows = code_rows(fits, prepared)
    assert [row.title for row in rows] == ["T1", "T2", "T3", "T4", "T5", "T0"]
    assert rows[0].peak == pytest.approx(0.01, rel=0.01)
    assert rows[-1].seeds == 2 and rows[-1].iterations == {"offset": 100.5, "sign-magnitude": 90.5}
    (ratio,) = code_ratios(rows)
    logs = [np.log((90.5 - k) / 100.5) for k in range(6)]
    assert ratio.ratio == pytest.approx(np.exp(np.mean(logs)))
    assert (ratio.sooner, ratio.signals, ratio.p) == (6, 6, pytest.approx(2 / 64))


def test_a_code_that_is_not_lossless_has_no_ratio_and_one_code_alone_no_row(table):
    fits, prepared = table
    worse = (fits.code == "sign-magnitude") & (fits.signal == "set/3/0") & (fits.seed == 1)
    fits.loc[worse, "status"] = "budget_exhausted"
    rows = code_rows(fits, prepared)
    assert np.isnan(rows[-1].iterations["sign-magnitude"])
    (ratio,) = code_ratios(rows)
    assert ratio.signals == 5 and ratio.p is None
    assert code_rows(fits[fits.code == "offset"], prepared) == []
    assert code_rows(fits, prepared / "nowhere") == []
