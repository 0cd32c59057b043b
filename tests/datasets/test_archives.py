"""Members of archives, and archives that mean harm."""

import io
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from lossless_inr.datasets import archives
from lossless_inr.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
KINDS = ["a.zip", "a.tar", "a.tar.gz", "a.tar.bz2", "a.tar.xz", "a.tgz"]


def packed(path, members, links=()):
    """An archive of `members` (name -> bytes) and `links` (name -> where it points)."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            for name, content in members.items():
                file.writestr(name, content)
            for name, where in links:
                info = zipfile.ZipInfo(name)
                info.external_attr = 0o120777 << 16
                file.writestr(info, where)
        return path
    mode = "w:" + {".gz": "gz", ".tgz": "gz", ".bz2": "bz2", ".xz": "xz"}.get(path.suffix, "")
    with tarfile.open(path, mode) as file:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
        for name, where in links:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, where
            file.addfile(info)
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_members_asked_for_are_written(tmp_path, kind):
    members = {f"folder/{k}": bytes([k]) * 70_000 for k in range(5)}
    archive = packed(tmp_path / kind, members)
    out = tmp_path / "out"
    archives.extract(archive, {"folder/1": out / "x/one", "folder/3": out / "three"})
    assert (out / "x/one").read_bytes() == members["folder/1"]
    assert (out / "three").read_bytes() == members["folder/3"]
    assert sorted(p.name for p in out.rglob("*") if p.is_file()) == ["one", "three"]
    assert archives.is_archive(kind)


@pytest.mark.parametrize("kind", KINDS)
def test_a_member_that_is_not_there_is_named(tmp_path, kind):
    archive = packed(tmp_path / kind, {"a": b"1"})
    with pytest.raises(UserError, match="no member b"):
        archives.extract(archive, {"a": tmp_path / "a1", "b": tmp_path / "b1"})
    assert (tmp_path / "a1").read_bytes() == b"1"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("member", ["../out", "/etc/passwd", "a/../../b", "..", "a\\..\\b", ""])
def test_paths_that_leave_the_folder_are_refused(tmp_path, kind, member):
    archive = packed(tmp_path / kind, {"../out": b"evil", "/etc/passwd": b"evil"})
    with pytest.raises(UserError, match="refused"):
        archives.extract(archive, {member: tmp_path / "file"})
    assert sorted(os.listdir(tmp_path)) == [kind]


@pytest.mark.parametrize("kind", KINDS)
def test_evil_members_that_nobody_asked_for_do_nothing(tmp_path, kind):
    inside = tmp_path / "inside"
    inside.mkdir()
    members = {"../evil": b"evil", "/tmp/evil-of-a-test": b"evil", "good": b"good"}
    archive = packed(inside / kind, members)
    archives.extract(archive, {"good": inside / "good"})
    assert not (tmp_path / "evil").exists() and not Path("/tmp/evil-of-a-test").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_links_are_refused(tmp_path, kind):
    archive = packed(tmp_path / kind, {"a": b"1"}, links=[("b", "/etc/passwd")])
    with pytest.raises(UserError, match="link"):
        archives.extract(archive, {"b": tmp_path / "b"})
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("kind", ["a.zip", "a.tar.gz", "a.tar.bz2"])
def test_a_bomb_is_refused(tmp_path, kind, monkeypatch):
    monkeypatch.setattr(archives, "LARGEST_MEMBER", 1_000_000)
    archive = packed(tmp_path / kind, {"zeros": bytes(5_000_000)})
    with pytest.raises(UserError, match="refused"):
        archives.extract(archive, {"zeros": tmp_path / "zeros"})
    assert os.listdir(tmp_path) == [kind]


def test_a_bomb_before_the_member_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "LARGEST_MEMBER", 100_000)
    archive = packed(tmp_path / "a.tar.gz", {"zeros": bytes(50_000_000), "good": b"good"})
    with pytest.raises(UserError, match="unpacks to more"):
        archives.extract(archive, {"good": tmp_path / "good"})


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", ["cut", "zeros", "text"])
def test_a_damaged_archive_is_told_in_one_line(tmp_path, kind, damage):
    import numpy as np

    noise = np.random.default_rng(0).integers(0, 256, 200_000, dtype=np.uint8).tobytes()
    archive = packed(tmp_path / kind, {"a": noise, "b": noise[::-1]})
    whole = archive.read_bytes()
    half = len(whole) // 2
    broken = {"cut": whole[:half], "zeros": whole[: half - 500] + bytes(1000), "text": b"<html>"}
    archive.write_bytes(broken[damage] + (whole[half + 500 :] if damage == "zeros" else b""))
    if damage == "zeros" and kind == "a.tar":
        pytest.skip("plain tar has no checksum of its data; the file's sha256 finds this")
    with pytest.raises(UserError) as told:
        archives.extract(archive, {"b": tmp_path / "b", "a": tmp_path / "a"})
    assert "\n" not in str(told.value) and kind in str(told.value)


def test_a_name_that_is_there_twice_counts_once(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as file:
        for content in (b"first", b"second"):
            info = tarfile.TarInfo("a")
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
        info = tarfile.TarInfo("b")
        file.addfile(info, io.BytesIO(b""))
    archives.extract(tmp_path / "a.tar", {"a": tmp_path / "one", "b": tmp_path / "two"})
    assert (tmp_path / "one").read_bytes() == b"first"


def test_memory_is_constant(tmp_path):
    """A member of 200 MB goes through a process that may not grow by 100 MB."""
    packed(tmp_path / "a.tar.gz", {"big": bytes(200_000_000)})
    script = """
import resource, sys
from pathlib import Path
from lossless_inr.datasets import archives
import psutil
archives.LARGEST_RATIO = 10_000
used = psutil.Process().memory_info().vms
resource.setrlimit(resource.RLIMIT_AS, (used + 100_000_000,) * 2)
archives.extract(Path(sys.argv[1]), {"big": Path(sys.argv[2])})
"""
    arguments = [str(tmp_path / "a.tar.gz"), str(tmp_path / "big")]
    subprocess.run([sys.executable, "-c", script, *arguments], check=True, cwd=ROOT, timeout=120)
    assert (tmp_path / "big").stat().st_size == 200_000_000
