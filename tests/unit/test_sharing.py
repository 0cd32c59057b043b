import json
import zipfile

import bagit
import pandas as pd
import pytest
from made import Scale
from tiny import entry_of, noise_signal, refusal, spec_of

from lossless_inr.experiments import reference
from lossless_inr.experiments.spec import Experiment
from lossless_inr.sharing import archive
from lossless_inr.sharing.merge import entries_of, joined, merge

SPEC = spec_of(noise_signal())


@pytest.fixture(scope="module")
def payload(tmp_path_factory):
    """What an archive holds, of results written by hand."""
    root = tmp_path_factory.mktemp("made")
    scale = Scale(root)
    bag = root / "bag"
    bag.mkdir()
    (root / "prepared").rename(bag / "prepared")
    scale.results.rename(bag / "results")
    arguments = scale.arguments
    experiments = {}
    for name, one in arguments["experiments"].items():
        scales = {"smoke": {"signals": ["a/8x8/a"], "fits": [
            {"signals": "all", "network": "siren", "representation": "bithead", "recipe": "fast",
             "iterations": 1}
        ]}}  # fmt: skip
        experiments[name] = Experiment.model_validate(one | {"scales": scales})
    contents = archive.Contents(
        scale="tiny",
        experiments=experiments,
        planned=arguments["planned"],
        planned_fits=arguments["planned_fits"],
    )
    (bag / "contents.json").write_text(contents.model_dump_json())
    return bag


def packed(payload, tmp_path, change=lambda folder: None, after=lambda folder: None):
    """An archive of the payload, changed before or after its checksums are made."""
    import shutil

    folder = tmp_path / "bag"
    shutil.copytree(payload, folder)
    change(folder)
    bagit.make_bag(str(folder), checksums=["sha256"])
    after(folder)
    target = tmp_path / "a.zip"
    with zipfile.ZipFile(target, "w") as file:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                file.write(path, path.relative_to(folder))
    return target


def test_a_report_comes_out_of_an_archive(payload, tmp_path):
    archive.report_from(packed(payload, tmp_path), tmp_path / "page.html")
    assert "Table 1" in (tmp_path / "page.html").read_text(encoding="utf-8")


def edit(name, old, new):
    def change(folder):
        path = folder / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    return change


def in_table(column, value):
    def change(folder):
        path = folder / "results/fits.parquet"
        fits = pd.read_parquet(path)
        fits.loc[0, column] = value
        fits.to_parquet(path, index=False)

    return change


@pytest.mark.parametrize(
    ("words", "change"),
    [
        ("version 9; this program reads 1", edit("contents.json", '"version":1', '"version":9')),
        ("contents.json", edit("contents.json", '"scale":"tiny"', '"scale":3')),
        ("unknown key", edit("contents.json", '"scale":"tiny"', '"scale":"tiny","a":1')),
        ("leads out of the archive", in_table("folder", "../../../etc")),
        ("leads out of the archive", in_table("signal", "/etc/passwd")),
        ("cannot be built", lambda folder: (folder / "results/fits.parquet").write_bytes(b"PAR1")),
        ("missing or damaged", lambda folder: (folder / "contents.json").unlink()),
    ],
)
def test_an_archive_that_says_something_else_is_refused(payload, tmp_path, words, change):
    target = packed(payload, tmp_path, change)
    line = refusal(archive.report_from, target, tmp_path / "page.html")
    assert words in line and not (tmp_path / "page.html").exists()


@pytest.mark.parametrize(
    "after",
    [
        edit("data/contents.json", "tiny", "huge"),
        lambda folder: (folder / "data/contents.json").unlink(),
        lambda folder: (folder / "data/more.txt").write_text("x"),
        lambda folder: (folder / "manifest-sha256.txt").unlink(),
    ],
    ids=["changed", "missing", "added", "no manifest"],
)
def test_an_archive_that_was_changed_since_is_refused(payload, tmp_path, after):
    target = packed(payload, tmp_path, after=after)
    assert "does not match its checksums" in refusal(
        archive.report_from, target, tmp_path / "page.html"
    )


def test_what_is_no_archive_is_refused(tmp_path, monkeypatch):
    assert "no such file" in refusal(archive.report_from, tmp_path / "a.zip", tmp_path / "p.html")
    (tmp_path / "a.zip").write_bytes(b"no zip")
    assert "damaged" in refusal(archive.report_from, tmp_path / "a.zip", tmp_path / "p.html")
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as file:
        file.writestr("a", bytes(5000))
    monkeypatch.setattr(archive, "MOST_BYTES", 4000)
    assert "are refused" in refusal(archive.report_from, tmp_path / "b.zip", tmp_path / "p.html")


def test_a_flipped_byte_is_refused(payload, tmp_path):
    target = packed(payload, tmp_path)
    content = bytearray(target.read_bytes())
    at = content.index(b'{"version"')  # of contents.json, which is stored as it is
    content[at + 2] ^= 1
    target.write_bytes(content)
    line = refusal(archive.report_from, target, tmp_path / "p.html")
    assert "damaged" in line and "contents.json" in line


@pytest.mark.parametrize("name", ["../escaped.txt", "/escaped.txt", "data/../../escaped.txt"])
def test_a_file_that_leads_out_of_an_archive_is_refused(payload, tmp_path, name):
    target = packed(payload, tmp_path)
    with zipfile.ZipFile(target, "a") as file:
        file.writestr(name, "x")
    line = refusal(archive.report_from, target, tmp_path / "p.html")
    assert "leads out of the archive" in line and not (tmp_path / "p.html").exists()


@pytest.mark.parametrize(("declared", "words"), [(2**40, "are refused"), (10, "damaged")])
def test_a_zip_that_declares_another_size_is_refused(tmp_path, declared, words):
    """Too large is refused before anything is unpacked; what is told too small ends there."""
    target = tmp_path / "a.zip"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("data/zeros", bytes(100_000))
        file.getinfo("data/zeros").file_size = declared
    assert words in refusal(archive.report_from, target, tmp_path / "p.html")


def changed(entry, **changes):
    """The same fit with another outcome, and a verdict on that."""
    from lossless_inr.fitting import digests

    record = entry.record.model_copy(update=changes)
    verdict = entry.verdict.model_copy(
        update={"record_digest": digests.of_json(record.model_dump())}
    )
    return reference.Entry(record=record, verdict=verdict)


def test_records_of_two_machines_are_joined_and_differences_named():
    one, two = entry_of(SPEC, iterations=7), entry_of(spec_of(noise_signal(), seed=1))
    other = changed(one, iterations=9)
    gpu = entry_of(SPEC, device="cuda")
    entries, notes = joined({"a": [one], "b": [one, two], "c": [other, gpu]})
    assert [e.record for e in entries] == [one.record, two.record, gpu.record]
    assert len(notes) == 1
    assert "at 7 in a, which counts" in notes[0] and "at 9 in c" in notes[0]


@pytest.mark.parametrize("key", ["code_digest", "signal_sha256"])
def test_records_of_other_code_or_samples_are_not_joined(tmp_path, key):
    one = entry_of(SPEC)
    for name, entry in (("a", one), ("b", changed(one, **{key: "other"}))):
        reference.merge([entry], tmp_path / name)
    before = (tmp_path / "a/records.jsonl").read_bytes()
    line = refusal(merge, [tmp_path / "b"], tmp_path / "a")
    assert "nothing is written" in line and SPEC.folder in line
    assert str(tmp_path / "a") in line and str(tmp_path / "b") in line
    assert (tmp_path / "a/records.jsonl").read_bytes() == before


def test_joining_again_changes_nothing(tmp_path):
    for seed in range(2):
        reference.merge([entry_of(spec_of(noise_signal(), seed=seed))], tmp_path / str(seed))
    sources = [tmp_path / "0", tmp_path / "1"]
    assert len(merge(sources, tmp_path / "out")[0]) == 2
    before = (tmp_path / "out/records.jsonl").read_bytes()
    merge(sources, tmp_path / "out")
    assert (tmp_path / "out/records.jsonl").read_bytes() == before
    assert len(json.loads(before.splitlines()[0])) == 2
    assert "no records" in refusal(entries_of, tmp_path)
