"""Which fits a report of very many shows."""

import pandas as pd
import pytest

from lossless_inr.report.sampling import sample


def table(methods: dict[str, int], **odd: str) -> pd.DataFrame:
    rows = [
        {"network": name, "representation": "bithead", "variant": "", "recipe": "fast", "width": 8}
        | {"bits": 8, "status": "lossless", "verified": True, "signal": f"s{k}"}
        for name, count in methods.items()
        for k in range(count)
    ]
    found = pd.DataFrame(rows).astype({"verified": "boolean"})
    for place, status in odd.items():
        found.loc[int(place[1:]), "status"] = status
    return found


def test_all_are_shown_where_there_is_room():
    fits = table({"a": 30, "b": 20})
    assert sample(fits, most=50, size=10) is fits


def test_a_sample_has_its_size_and_every_method_from_its_first_signal_to_its_last():
    fits = table({"a": 300, "b": 300, "rare": 3})
    found = sample(fits, most=100, size=43)
    assert len(found) == 43 and found.index.is_monotonic_increasing
    assert found.network.value_counts().to_dict() == {"a": 20, "b": 20, "rare": 3}
    for name in ("a", "b"):
        chosen = list(found.signal[found.network == name])
        assert chosen[0] == "s0" and chosen[-1] == "s299"


def test_what_needs_a_look_comes_first_up_to_half():
    fits = table({"a": 300, "b": 300}, _7="failed", _8="diverged")
    fits.loc[9, "verified"] = False
    found = sample(fits, most=100, size=10)
    assert {7, 8, 9} <= set(found.index) and len(found) == 10
    fits.loc[fits.network == "a", "status"] = "failed"
    found = sample(fits, most=100, size=10)
    assert (found.status == "failed").sum() == 5 and (found.network == "b").sum() == 5


@pytest.mark.parametrize("status", ["lossless", "budget_exhausted"])
def test_a_fit_that_has_nothing_to_verify_is_not_odd(status):
    fits = table({"a": 300})
    fits["status"], fits["verified"] = status, status == "lossless" or pd.NA
    assert list(sample(fits, most=100, size=2).index) == [0, 299]
