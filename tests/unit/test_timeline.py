"""Spans, waiting and overhead out of the times in records."""

import pandas as pd
import pytest

from lossless_inr.analysis.timeline import timeline


def at(second: float) -> str:
    return (pd.Timestamp("2026-01-01", tz="UTC") + pd.Timedelta(seconds=second)).isoformat()


def fits(*rows: tuple) -> pd.DataFrame:
    names = ["shard", "started", "ended", "seconds", "verify_started", "verify_ended"]
    table = pd.DataFrame(rows, columns=names)
    for name in ("started", "ended", "verify_started", "verify_ended"):
        table[name] = [at(value) for value in table[name]]
    return table.assign(seconds_evaluation=1.0, seconds_saving=0.5, seconds_startup=4.0)


TWO = fits(
    ("shard000", 4, 24, 18.0, 70, 80),
    ("shard000", 24, 44, 18.0, 70, 80),
    ("shard001", 4, 64, 58.0, 64, 70),
)


def test_every_second_of_the_processes_is_in_one_part():
    found = timeline(TWO, {"started": at(80), "ended": at(82)})
    assert found.parts == {
        **{"loop": 94.0, "evaluation": 3.0, "saving": 1.5, "start": 8.0},
        **{"between": 1.5, "verification": 16.0},
    }
    assert sum(found.parts.values()) == 44 + 64 + 16
    assert found.overhead() == pytest.approx(27 / 124)
    assert found.per_fit == pytest.approx(1.0) and found.per_shard == pytest.approx(12.0)
    assert found.at_paper_scale(900) == pytest.approx(1.8 / 61.8)
    assert [span.kind for span in found.spans] == ["fit", "fit", "verify", "verify", "collect"]


def test_waiting_is_what_the_other_worker_did_not_do():
    found = timeline(TWO)
    assert found.workers == 2 and found.elapsed == 80 and found.pauses == 0
    # One of two from 44 to 80.
    assert found.waiting == 36


def test_a_run_that_was_killed_and_resumed_is_two_sessions_and_the_pause_is_no_work():
    later = fits(("shard000", 4, 24, 18.0, 5000, 5010), ("shard000", 4024, 4044, 18.0, 5000, 5010))
    found = timeline(later)
    assert [span.fits for span in found.spans if span.kind == "fit"] == [1, 1]
    assert found.pauses == pytest.approx(4020 - 24 + 5000 - 4044)
    assert found.elapsed == pytest.approx(24 + 24 + 10)


def test_records_without_times_are_counted_and_left_out():
    missing = TWO.copy()
    missing.loc[2, "started"] = None
    assert timeline(missing).untimed == 1
    assert timeline(TWO.drop(columns="shard")) is None
    missing["ended"] = "<script>"
    assert timeline(missing) is None
