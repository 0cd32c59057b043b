"""What a partial set says of itself."""

import pandas as pd

from lossless_inr.report.planned import Planned


def planned(digest, **changes):
    row = {
        **{"digest": digest, "signal": "a", "kind": "photo", "bits": 8, "network": "siren"},
        **{"representation": "direct", "variant": "", "recipe": "published", "width": 8},
        **{"shape": "8x8x3", "budget": 1000, "cell": None},
        "printed_set": "kodak",
    }
    return row | changes


FITS = {
    "table": [
        planned("1", cell="siren"),
        planned("2", signal="b", cell="siren"),
        planned("3", seed=1),
    ],
    "figure": [planned("4", budget=400), planned("5", signal="b", budget=400)],
}


def run(*digests):
    return pd.DataFrame({"spec_digest": list(digests)})


def test_counts_are_of_what_is_planned():
    plan = Planned(run("1", "3"), {"other": 4}, FITS)
    assert plan.shortfall("table", 2) == "2 of 3 fits run"
    assert plan.shortfall("table", 3) == ""
    assert plan.digests("table") == ["1", "3"]
    assert plan.not_begun(["table", "figure"]) == [{"name": "other", "planned": 4}]
    assert plan.signals_not_run("table") == ["b"]
    assert plan.cell_signals("table", "kodak", "siren") == 2


def test_without_a_plan_nothing_is_missing():
    plan = Planned(run("1"))
    assert plan.shortfall("table", 1) == "" and plan.not_begun([]) == []
    assert plan.cell_signals("table", "kodak", "siren") is None
    assert plan.rows("table", ["a"]).empty and plan.cut_short() == set()


def test_rows_are_those_of_the_signals_shown():
    plan = Planned(run("1"), None, FITS)
    rows = plan.rows("table", ["a"])
    assert next(zip(rows.cell, rows.planned, strict=True)) == ("siren", 1)
    assert len(rows) == 2  # with a printed row, and without one


def test_a_short_fit_stands_in_only_until_the_long_one_is_run():
    assert Planned(run("1", "2", "4", "5"), None, FITS).cut_short() == set()
    assert Planned(run("1", "4", "5"), None, FITS).cut_short() == {"5"}
    assert Planned(run("4", "5"), None, FITS).cut_short() == {"4", "5"}
