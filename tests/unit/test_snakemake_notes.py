"""Snakemake's own notes: where they lie, and what a damaged one is worth."""

import json

import pytest
from snakemake.persistence import MetadataRecord
from snakemake.persistence.file import FilePersistence

from lossless_inr.snakemake_notes import in_folders

NAME = "results/smoke/shards/shard000.json"


@pytest.fixture
def notes(tmp_path, monkeypatch):
    """Snakemake's own store of notes, in a folder of its own."""
    for name in ("_record_path", "_io_read"):
        monkeypatch.setattr(FilePersistence, name, getattr(FilePersistence, name))
    in_folders()
    in_folders()  # as the Snakefile may be read twice
    return FilePersistence(path=tmp_path / ".snakemake")


def written(notes):
    return [path for path in (notes.path / "metadata").rglob("*") if path.is_file()]


def test_notes_of_outputs_are_spread_and_those_of_unfinished_ones_are_not(notes):
    for number in range(600):
        notes._write_record(f"out/{number}", MetadataRecord(rule="fit"))
        notes._mark_incomplete(f"out/{number}", None)
    assert len(written(notes)) == 600
    assert len(list((notes.path / "metadata").iterdir())) <= 256
    assert all(path.is_file() for path in (notes.path / "incomplete").iterdir())
    assert notes._read_record("out/7").rule == "fit"
    assert notes._filter_incomplete_keys(["out/7", "out/700"]) == {"out/7"}
    assert notes._delete_record("out/7") and len(written(notes)) == 599


def test_the_longest_names_are_spread_as_well(notes):
    name = "x" * 1500
    notes._write_record(name, MetadataRecord(rule="fit"))
    assert notes._read_record(name).rule == "fit"


def test_a_damaged_note_is_none(notes):
    notes._write_record(NAME, MetadataRecord(rule="fit", params=["1"]))
    (path,) = written(notes)
    whole = path.read_bytes()
    wrong = json.dumps({**json.loads(whole), "params": 7}).encode()
    for content in (b"", whole[:9], b"\xff" + whole[1:], b"[1]", b"3", wrong):
        path.write_bytes(content)
        notes._clear_cache()
        assert notes._read_record(NAME) is None, content
    path.write_bytes(whole)
    notes._clear_cache()
    assert notes._read_record(NAME).params == ["1"]
