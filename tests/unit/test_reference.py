"""Committed records: what is kept, what replaces what, and what is refused."""

import json

import pandas as pd
import pytest
from tiny import entry_of, noise_signal, refusal, spec_of

from lossless_inr.experiments import reference

SPECS = [spec_of(noise_signal(), seed=seed) for seed in range(3)]


def test_what_is_merged_is_read_back_and_of_one_fit_the_new_record_counts(tmp_path):
    reference.merge([entry_of(SPECS[1]), entry_of(SPECS[0], seconds=2.0)], tmp_path)
    now = reference.merge([entry_of(SPECS[0], seconds=3.0), entry_of(SPECS[2])], tmp_path)
    assert now == reference.read(tmp_path / "records.jsonl")
    assert [(e.record.spec.seed, e.record.timing.fit) for e in now] == [(0, 3), (1, 1), (2, 1)]
    table = pd.read_csv(tmp_path / "summary.csv")
    assert list(table.seed) == [0, 1, 2] and list(table.seconds) == [3, 1, 1]
    before = (tmp_path / "records.jsonl").read_bytes()
    reference.merge([], tmp_path)
    assert (tmp_path / "records.jsonl").read_bytes() == before


def test_the_same_fit_on_another_kind_of_device_is_another_record(tmp_path):
    found = reference.merge([entry_of(SPECS[0]), entry_of(SPECS[0], device="cuda")], tmp_path)
    assert [entry.key[1] for entry in found] == ["cpu", "cuda"]


def test_only_a_lossless_fit_has_been_verified(tmp_path):
    table = reference.summary([entry_of(SPECS[0]), entry_of(SPECS[1], status="lossless")])
    assert list(table.verified) == [None, True]


def test_no_file_is_no_record(tmp_path):
    assert reference.read(tmp_path / "records.jsonl") == []


def version(data):
    data["record"]["schema_version"] = 7


def verdict(data):
    data["record"]["iterations"] += 1


def key(data):
    data["record"]["iteration"] = 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (version, "schema version 7, expected 1"),
        (verdict, "the verdict is about another record"),
        (key, "iteration"),
    ],
)
def test_a_line_that_cannot_be_trusted_is_refused(tmp_path, change, words):
    data = json.loads(entry_of(SPECS[1]).line)
    change(data)
    path = tmp_path / "records.jsonl"
    path.write_text(entry_of(SPECS[0]).line + json.dumps(data) + "\n")
    line = refusal(reference.read, path)
    assert "records.jsonl, line 2" in line and words in line


def test_a_damaged_line_and_a_second_record_of_a_fit_are_refused(tmp_path):
    path = tmp_path / "records.jsonl"
    path.write_text(entry_of(SPECS[0]).line[:-9])
    assert "line 1: damaged" in refusal(reference.read, path)
    path.write_text(entry_of(SPECS[0]).line + entry_of(SPECS[0], seconds=2.0).line)
    line = refusal(reference.read, path)
    assert "line 2: a second record" in line and "the first is line 1" in line


def test_a_scale_that_was_not_run_cannot_be_kept(tmp_path):
    line = refusal(reference.keep, tmp_path / "results/smoke", tmp_path / "reference")
    assert "run the scale first" in line and not (tmp_path / "reference").exists()


def test_every_committed_record_can_be_read(root):
    """A field that is added to records must leave those of before with their digest."""
    files = sorted((root / "results/reference").glob("*/records.jsonl"))
    assert files and all(reference.read(path) for path in files)
