"""Curves and records of a shard in one file."""

import io

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made import signals, spec, write_fit

from lossless_inr.analysis.comparisons import best_so_far
from lossless_inr.errors import UserError
from lossless_inr.experiments.tables import collect
from lossless_inr.files import LATENCY
from lossless_inr.fitting import packs, reuse
from lossless_inr.fitting.kept import damage
from lossless_inr.fitting.record import Record
from lossless_inr.report.curves import Curves


@pytest.fixture
def shard(tmp_path, monkeypatch):
    """A scale of one shard with three fits, not packed yet: its folder, stamp and curves."""
    monkeypatch.setenv(LATENCY, "0")
    results = tmp_path / "results/tiny"
    found = signals()
    stamp = []
    for name, one in found.items():
        one.save(tmp_path / f"prepared/{name}.npz")
        entry = write_fit(spec(one), one, results, 20)
        record = entry["verdict"]["record_digest"]
        stamp.append(entry | {"status": "lossless", "record_digest": record})
    curves = {e["folder"]: (results / e["folder"] / "curve.parquet").read_bytes() for e in stamp}
    return results, stamp, curves


def row(entry: dict, pack: str | None) -> pd.Series:
    return pd.Series({key: entry[key] for key in ("spec_digest", "folder")} | {"pack": pack})


def test_a_curve_comes_back_byte_for_byte_once_the_fits_own_file_is_gone(shard):
    results, stamp, curves = shard
    name = packs.write(results, "shard000", stamp)
    assert name.startswith("packs/shard000-")
    packs.clear(results, stamp)
    for entry in stamp:
        files = {path.name for path in (results / entry["folder"]).iterdir()}
        assert files <= {"record.json", "weights.safetensors", "decoded.npz"}
        whole = pd.read_parquet(io.BytesIO(curves[entry["folder"]]))
        pd.testing.assert_frame_equal(packs.curve_of(results, row(entry, name)), whole)
        assert packs.find(results, entry) == curves[entry["folder"]]
    # Written again from itself, as when verification runs once more, it is the same.
    before = (results / name).read_bytes()
    assert packs.write(results, "shard000", stamp) == name
    assert (results / name).read_bytes() == before


def test_a_pack_holds_the_records_word_for_word(shard):
    results, stamp, _ = shard
    table = pd.read_parquet(results / packs.write(results, "shard000", stamp))
    for entry, text in zip(stamp, table.record, strict=True):
        assert (results / entry["folder"] / "record.json").read_text() == text


def test_fits_that_are_cut_into_other_shards_keep_their_curves(shard):
    results, stamp, curves = shard
    old = packs.write(results, "shard000", stamp)
    packs.clear(results, stamp)
    new = [packs.write(results, f"shard00{k}", [entry]) for k, entry in enumerate(stamp)]
    assert [p.name for p in packs.sweep(results, new)] == [old.removeprefix("packs/")]
    for name, entry in zip(new, stamp, strict=True):
        whole = pd.read_parquet(io.BytesIO(curves[entry["folder"]]))
        pd.testing.assert_frame_equal(packs.curve_of(results, row(entry, name)), whole)
    # A stamp of before names a pack that is gone; its fits are found where they are now.
    found = packs.located(results, [entry | {"pack": old} for entry in stamp])
    assert [entry["pack"] for entry in found] == new


def test_a_pack_with_a_fit_of_its_own_is_kept(shard):
    results, stamp, _ = shard
    old = packs.write(results, "shard000", stamp)
    new = packs.write(results, "shard001", stamp[:2])
    assert packs.sweep(results, [new]) == [] and (results / old).is_file()


def test_a_pack_that_is_nowhere_is_told_as_none(shard):
    results, stamp, _ = shard
    found = packs.located(results, [stamp[0] | {"pack": "packs/gone.parquet"}])
    assert found[0]["pack"] is None


def test_a_damaged_curve_is_named(shard):
    results, stamp, _ = shard
    path = results / stamp[1]["folder"] / "curve.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UserError, match=r"curve\.parquet: damaged"):
        packs.write(results, "shard000", stamp)
    assert not list((results / "packs").glob("*")) and path.is_file()


def test_a_pack_whose_curve_was_changed_is_removed_and_its_fits_fitted_again(shard):
    results, stamp, _ = shard
    pack = results / packs.write(results, "shard000", stamp)
    packs.clear(results, stamp)
    table = pq.read_table(pack)
    rows = table.to_pylist()
    rows[1]["curve"] = rows[1]["curve"][:-1] + b"?"
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), pack, row_group_size=1)
    assert packs.find(results, stamp[1]) is None and pack.exists()
    record = Record.load(results / stamp[1]["folder"] / "record.json")
    # Its digest alone says that the pack has it; so another scale would have taken it over.
    assert damage(results / stamp[1]["folder"], record) is None
    elsewhere = results.parent / "other"
    assert reuse.take_over(elsewhere, record.spec, record.signal_sha256) is None
    with pytest.raises(UserError, match="in no pack; the next run fits it again"):
        packs.write(results, "shard001", stamp)
    assert not pack.exists()
    assert "curve.parquet: is missing" in damage(results / stamp[1]["folder"], record)


def test_a_packed_curve_of_another_record_is_not_taken(shard):
    results, stamp, _ = shard
    packs.write(results, "shard000", stamp)
    assert packs.find(results, stamp[0] | {"record_digest": "0" * 64}) is None


def test_summaries_say_what_the_whole_curves_say(shard):
    results, stamp, _ = shard
    name = packs.write(results, "shard000", stamp)
    fits = collect([e | {"pack": name} for e in stamp], results, results.parents[1] / "prepared")
    times = {"started": "2026-01-01T00:00:00+00:00", "ended": "2026-01-01T00:00:01+00:00"}
    whole = Curves(results)
    packs.gather(results, [name], set(fits.spec_digest), results / "curves.parquet", times)
    packs.clear(results, stamp)
    short = Curves(results)
    assert len(short.places) == len(stamp) and not whole.places
    for _, fit in fits.iterrows():
        curve = packs.curve_of(results, fit)
        expected = best_so_far(curve, fit.samples, fit.bits)
        for curves in (short, whole):
            best = curves.best(fit)
            assert [best[k] for k in range(len(best))] == expected.tolist()
            planes = [f"plane_{k}" for k in range(fit.bits)]
            means = (curve[planes].mean() / fit.samples).tolist()
            assert curves.plane_errors(fit).tolist() == means


def test_a_fit_of_another_scale_is_taken_over_with_its_packed_curve(shard, monkeypatch):
    results, stamp, curves = shard
    packs.write(results, "shard000", stamp)
    packs.clear(results, stamp)
    monkeypatch.setattr(Record, "is_current", lambda self, *_: True)
    record = Record.load(results / stamp[0]["folder"] / "record.json")
    other = results.with_name("other")
    assert reuse.take_over(other, record.spec, record.signal_sha256) == record
    assert (other / record.spec.folder / "curve.parquet").read_bytes() == curves[record.spec.folder]
