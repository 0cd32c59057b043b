"""Sets from a mirror or over the network: order, faults, locks, trust on first use."""

import hashlib
import io
import logging
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from server import Server

from lossless_inr.datasets.catalog import Catalog
from lossless_inr.datasets.prepare import obtain_set, prepare_all
from lossless_inr.datasets.prepared import of_workflow
from lossless_inr.datasets.store import Store
from lossless_inr.datasets.table import COLUMNS
from lossless_inr.errors import UserError
from lossless_inr.signals import Signal

ROOT = Path(__file__).resolve().parents[2]
MIRROR = ROOT.parent / "shared/mirror"
NOBODY = 65534


def png(seed=0, side=20):
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "png")
    return out.getvalue()


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def row(**changes):
    known = {
        **{"set": "pictures", "name": "one", "title": "One", "kind": "photo", "bits": "8"},
        **{"source_bits": "8", "source_shape": "20x20x3", "source": "fetched:one.png"},
        **{"prepare": "resize", "sizes": "10x10", "licence": "none"},
    }
    return {column: "" for column in COLUMNS} | known | {k: str(v) for k, v in changes.items()}


def project(folder, *rows):
    """A project folder with this dataset table."""
    (folder / "config").mkdir(parents=True, exist_ok=True)
    lines = ["\t".join(COLUMNS), *("\t".join(r[c] for c in COLUMNS) for r in rows)]
    (folder / "config/datasets.tsv").write_text("\n".join(lines) + "\n")
    return Catalog(folder / "config/datasets.tsv", folder)


@pytest.fixture
def serve():
    servers = []

    def start(content):
        servers.append(Server(content))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


def test_a_file_is_fetched_checked_and_then_never_again(tmp_path, serve):
    server = serve(png())
    catalog = project(
        tmp_path,
        row(sha256=sha256(png()), address=f"seen={server.address('plain')}", bytes=len(png())),
    )
    assert server.requests == []  # a plan touches no network
    store = Store(catalog)
    store.obtain(catalog.of_set("pictures"))
    assert (tmp_path / "data/raw/pictures/one.png").read_bytes() == png()
    store.obtain(catalog.of_set("pictures"))
    assert len(server.requests) == 1
    assert not (tmp_path / "config/datasets.lock").exists()
    prepared = catalog.prepare("pictures/10x10/one")
    assert prepared.samples.shape == (10, 10, 3)


def test_a_fetched_file_that_was_damaged_since_is_kept_aside_and_fetched_again(
    tmp_path, serve, caplog
):
    server = serve(png())
    address = f"seen={server.address('plain')}"
    catalog = project(
        tmp_path,
        row(sha256=sha256(png()), address=address),
        row(set="own", source="data/own.png", sha256=sha256(b"another")),
    )
    (tmp_path / "data").mkdir()
    (tmp_path / "data/own.png").write_bytes(png())
    store, entries = Store(catalog), [*catalog.of_set("pictures"), *catalog.of_set("own")]
    store.set_aside_damaged(entries)  # not here yet
    store.obtain(entries)
    store.set_aside_damaged(entries)
    assert len(server.requests) == 1 and caplog.text == ""
    path = tmp_path / "data/raw/pictures/one.png"
    os.truncate(path, 50)
    store.set_aside_damaged(entries)
    store.obtain(entries)
    assert path.read_bytes() == png() and len(server.requests) == 2
    assert path.with_name("one.png.damaged").stat().st_size == 50
    assert "one.png" in caplog.text and "fetched again" in caplog.text
    assert (tmp_path / "data/own.png").read_bytes() == png()  # is the user's


def test_a_damaged_prepared_signal_is_removed_for_the_next_run(tmp_path):
    path = tmp_path / "mine/8x8/a.npz"
    with pytest.raises(UserError, match="no such prepared signal"):
        of_workflow("mine/8x8/a", tmp_path)
    samples = np.zeros((8, 8, 3), np.uint8)
    Signal(name="mine/8x8/a", samples=samples, bits=8, kind="photo", title="A").save(path)
    assert of_workflow("mine/8x8/a", tmp_path).samples.shape == (8, 8, 3)
    os.truncate(path, 100)
    with pytest.raises(UserError, match="damaged, and removed; the same command"):
        of_workflow("mine/8x8/a", tmp_path)
    assert not path.exists()


def test_the_next_address_is_used_and_each_fault_named(tmp_path, serve, caplog):
    server = serve(png())
    faults = [f"seen={server.address(f)}" for f in ("404", "wrong", "plain")]
    catalog = project(tmp_path, row(sha256=sha256(png()), address=" ".join(faults)))
    with caplog.at_level(logging.WARNING):
        Store(catalog).obtain(catalog.of_set("pictures"))
    assert "404" in caplog.text and "sha256" in caplog.text
    assert (tmp_path / "data/raw/pictures/one.png").read_bytes() == png()


def test_without_any_good_address_the_line_says_where_to_put_the_file(tmp_path, serve):
    server = serve(png())
    faults = [f"unverified={server.address(f)}" for f in ("404", "wrong")]
    catalog = project(tmp_path, row(sha256=sha256(png()), address=" ".join(faults)))
    with pytest.raises(UserError) as told:
        Store(catalog).obtain(catalog.of_set("pictures"))
    line = str(told.value)
    assert "data/raw/pictures/one.png" in line and "404" in line and "MIRROR" in line
    assert "\n" not in line and not (tmp_path / "data/raw/pictures/one.png").exists()


@pytest.mark.parametrize("place", ["pictures/one.png", "one.png"])
def test_a_mirror_is_tried_first(tmp_path, serve, place):
    server = serve(png())
    mirror = tmp_path / "mirror"
    (mirror / place).parent.mkdir(parents=True)
    (mirror / place).write_bytes(png())
    catalog = project(
        tmp_path / "p", row(sha256=sha256(png()), address=f"seen={server.address('plain')}")
    )
    Store(catalog, mirror).obtain(catalog.of_set("pictures"))
    assert server.requests == []
    assert (tmp_path / "p/data/raw/pictures/one.png").read_bytes() == png()


def test_a_corrupt_file_of_the_mirror_is_named_and_the_address_used(tmp_path, serve, caplog):
    server = serve(png())
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror/one.png").write_bytes(png()[:-5] + b"wrong")
    catalog = project(
        tmp_path / "p", row(sha256=sha256(png()), address=f"seen={server.address('plain')}")
    )
    with caplog.at_level(logging.WARNING):
        Store(catalog, tmp_path / "mirror").obtain(catalog.of_set("pictures"))
    assert "mirror/one.png" in caplog.text and "sha256" in caplog.text
    assert (tmp_path / "p/data/raw/pictures/one.png").read_bytes() == png()


def test_a_mirror_that_is_no_folder_is_refused(tmp_path, monkeypatch):
    catalog = project(tmp_path, row())
    with pytest.raises(UserError, match="no such folder"):
        Store(catalog, tmp_path / "nowhere")
    monkeypatch.setenv("LOSSLESS_INR_MIRROR", str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match="no such folder"):
        Store(catalog)


# --- trust on first use -------------------------------------------------------------------


def test_a_file_without_a_checksum_is_trusted_once(tmp_path, serve, caplog):
    server = serve(png())
    catalog = project(tmp_path, row(address=f"unverified={server.address('plain')}"))
    with caplog.at_level(logging.WARNING):
        Store(catalog).obtain(catalog.of_set("pictures"))
    assert sha256(png()) in caplog.text
    assert sha256(png()) in (tmp_path / "config/datasets.lock").read_text()
    (tmp_path / "data/raw/pictures/one.png").unlink()
    server.content = png(seed=1)  # the publisher has changed it
    with pytest.raises(UserError, match=r"sha256|bytes"):
        Store(catalog).obtain(catalog.of_set("pictures"))


def test_a_file_trusted_once_is_checked_whenever_it_is_read(tmp_path, serve):
    server = serve(png())
    catalog = project(tmp_path, row(address=f"unverified={server.address('plain')}"))
    Store(catalog).obtain(catalog.of_set("pictures"))
    catalog.prepare("pictures/10x10/one")
    (tmp_path / "data/raw/pictures/one.png").write_bytes(png(seed=1))
    with pytest.raises(UserError, match=r"datasets\.lock \(from its first use\)"):
        catalog.prepare("pictures/10x10/one")


def test_a_file_put_there_by_hand_is_locked_when_first_read(tmp_path):
    catalog = project(tmp_path, row())
    place = tmp_path / "data/raw/pictures/one.png"
    place.parent.mkdir(parents=True)
    place.write_bytes(png())
    catalog.prepare("pictures/10x10/one")
    assert (
        f"{sha256(png())}\t{len(png())}\tby hand" in (tmp_path / "config/datasets.lock").read_text()
    )
    place.write_bytes(png(seed=1))
    with pytest.raises(UserError, match=r"datasets\.lock"):
        catalog.prepare("pictures/10x10/one")


def test_a_login_page_is_not_trusted(tmp_path, serve):
    server = serve(png())
    addresses = " ".join(f"unverified={server.address(fault)}" for fault in ("login", "plain"))
    catalog = project(tmp_path, row(address=addresses))
    Store(catalog).obtain(catalog.of_set("pictures"))
    assert (tmp_path / "data/raw/pictures/one.png").read_bytes() == png()
    assert sha256(png()) in (tmp_path / "config/datasets.lock").read_text()


def test_a_login_page_in_the_place_of_an_archive_is_not_trusted(tmp_path, serve):
    server = serve(tar_of(MEMBERS))
    for fault in ("login", "plain"):
        address = f"unverified={server.address(fault, 'pack.tar.gz')}"
        unknown = {"digest": "", "bytes": "", "address": address}
        rows = [one | unknown for one in archive_rows(server, b"", MEMBERS)]
        catalog = project(tmp_path, *rows)
        if fault == "login":
            with pytest.raises(UserError, match="damaged archive"):
                Store(catalog).obtain(catalog.of_set("pictures"))
            assert not (tmp_path / "config/datasets.lock").exists()
    Store(catalog).obtain(catalog.of_set("pictures"))
    assert sha256(tar_of(MEMBERS)) in (tmp_path / "config/datasets.lock").read_text()


def test_a_publisher_that_changes_its_file_is_told_with_the_row_to_delete(tmp_path, serve):
    server = serve(png())
    catalog = project(tmp_path, row(address=f"unverified={server.address('plain')}"))
    Store(catalog).obtain(catalog.of_set("pictures"))
    (tmp_path / "data/raw/pictures/one.png").unlink()
    server.content = png(seed=1)
    with pytest.raises(UserError, match=r"delete the row pictures one\.png of .*datasets\.lock"):
        Store(catalog).obtain(catalog.of_set("pictures"))


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfe\x00",
        b"set\tfile\tsha256\tbytes\tfrom\twhen\npictures\tone.png\tabc\t1\tx\ty\n",
        b"set\tfile\tsha256\tbytes\tfrom\twhen\npictures\tone.png\t" + b"0" * 64 + b"\tx\tx\ty\n",
    ],
)
def test_a_lock_file_with_anything_else_in_it_is_named(tmp_path, serve, content):
    server = serve(png())
    catalog = project(tmp_path, row(address=f"unverified={server.address('plain')}"))
    (tmp_path / "config/datasets.lock").write_bytes(content)
    with pytest.raises(UserError, match=r"datasets\.lock: damaged"):
        Store(catalog).obtain(catalog.of_set("pictures"))


def test_an_md5_is_checked_and_the_sha256_recorded(tmp_path, serve):
    server = serve(png())
    md5 = hashlib.md5(png()).hexdigest()
    catalog = project(tmp_path, row(digest=f"md5:{md5}", address=f"seen={server.address('plain')}"))
    Store(catalog).obtain(catalog.of_set("pictures"))
    assert sha256(png()) in (tmp_path / "config/datasets.lock").read_text()


def test_a_damaged_lock_file_is_named(tmp_path, serve):
    server = serve(png())
    catalog = project(tmp_path, row(address=f"unverified={server.address('plain')}"))
    (tmp_path / "config/datasets.lock").write_text("what\tis this\n1\t2\n")
    with pytest.raises(UserError, match=r"datasets\.lock: damaged"):
        Store(catalog).obtain(catalog.of_set("pictures"))


def test_terms_are_told_before_the_first_fetch_only(tmp_path, serve, caplog):
    server = serve(png())
    catalog = project(
        tmp_path,
        row(sha256=sha256(png()), address=f"seen={server.address('plain')}", terms="research only"),
    )
    with caplog.at_level(logging.WARNING):
        Store(catalog).obtain(catalog.of_set("pictures"))
        assert caplog.text.count("research only") == 1
        Store(catalog).obtain(catalog.of_set("pictures"))
    assert caplog.text.count("research only") == 1


# --- archives -----------------------------------------------------------------------------


def tar_of(members):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as file:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return out.getvalue()


def archive_rows(server, archive, members, **changes):
    return [
        row(
            name=f"p{k}",
            source=f"fetched:all.tar.gz!{name}",
            sha256=sha256(content),
            digest=f"sha256:{sha256(archive)}",
            address=f"seen={server.address('plain')}",
            **changes,
        )
        for k, (name, content) in enumerate(members.items())
    ]


MEMBERS = {"in/0.png": png(0), "in/1.png": png(1), "in/2.png": png(2)}


def test_an_archive_is_fetched_once_and_only_what_is_asked_for_unpacked(tmp_path, serve):
    archive = tar_of(MEMBERS)
    server = serve(archive)
    catalog = project(tmp_path, *archive_rows(server, archive, MEMBERS))
    wanted = [catalog.find(f"pictures/10x10/p{k}")[0] for k in (0, 2)]
    Store(catalog).obtain(wanted)
    raw = tmp_path / "data/raw/pictures"
    assert sorted(os.listdir(raw / "in")) == ["0.png", "2.png"]
    Store(catalog).obtain(catalog.of_set("pictures"))
    assert sorted(os.listdir(raw / "in")) == ["0.png", "1.png", "2.png"]
    assert len(server.requests) == 1


@pytest.mark.parametrize("holds", ["archive", "members"])
def test_a_mirror_may_hold_the_archive_or_its_members(tmp_path, serve, holds):
    archive = tar_of(MEMBERS)
    server = serve(archive)
    mirror = tmp_path / "mirror/pictures"
    for name, content in ({"all.tar.gz": archive} if holds == "archive" else MEMBERS).items():
        (mirror / name).parent.mkdir(parents=True, exist_ok=True)
        (mirror / name).write_bytes(content)
    catalog = project(tmp_path / "p", *archive_rows(server, archive, MEMBERS))
    Store(catalog, tmp_path / "mirror").obtain(catalog.of_set("pictures"))
    assert server.requests == []
    assert (tmp_path / "p/data/raw/pictures/in/1.png").read_bytes() == png(1)


def test_a_corrupt_member_of_a_mirror_is_taken_from_the_archive(tmp_path, serve, caplog):
    archive = tar_of(MEMBERS)
    server = serve(archive)
    (tmp_path / "mirror/in").mkdir(parents=True)
    (tmp_path / "mirror/in/1.png").write_bytes(b"not this")
    catalog = project(tmp_path / "p", *archive_rows(server, archive, MEMBERS))
    with caplog.at_level(logging.WARNING):
        Store(catalog, tmp_path / "mirror").obtain(catalog.of_set("pictures"))
    assert "mirror/in/1.png" in caplog.text
    assert (tmp_path / "p/data/raw/pictures/in/1.png").read_bytes() == png(1)


def test_a_member_that_differs_from_its_row_is_not_taken(tmp_path, serve):
    archive = tar_of(MEMBERS | {"in/1.png": png(7)})
    server = serve(archive)
    catalog = project(tmp_path, *archive_rows(server, archive, MEMBERS))
    with pytest.raises(UserError, match=r"in/1\.png"):
        Store(catalog).obtain(catalog.of_set("pictures"))
    assert not (tmp_path / "data/raw/pictures/in/1.png").exists()


def test_one_missing_member_does_not_cost_the_others(tmp_path, serve):
    archive = tar_of(MEMBERS)
    server = serve(archive)
    rows = archive_rows(server, archive, {"in/lost.png": png(9)} | MEMBERS)
    catalog = project(tmp_path, *rows)
    with pytest.raises(UserError, match=r"no member in/lost\.png"):
        Store(catalog).obtain(catalog.of_set("pictures"))
    have = sorted(p.name for p in (tmp_path / "data/raw/pictures/in").iterdir())
    assert have == ["0.png", "1.png", "2.png"]


def test_a_corrupt_picture_inside_a_good_archive_is_told(tmp_path, serve):
    members = {"in/0.png": png(0), "in/1.png": png(1)[:200]}
    archive = tar_of(members)
    server = serve(archive)
    catalog = project(tmp_path, *archive_rows(server, archive, members))
    Store(catalog).obtain(catalog.of_set("pictures"))
    signals = [f"pictures/10x10/p{k}" for k in range(2)]
    faults = prepare_all(catalog, signals, tmp_path / "data/prepared", workers=1)
    assert len(faults) == 1 and "1.png" in faults[0] and "damaged" in faults[0]
    assert Signal.load(tmp_path / "data/prepared/pictures/10x10/p0.npz").bits == 8


def test_an_archive_put_there_by_hand_is_checked(tmp_path, serve):
    archive = tar_of(MEMBERS)
    server = serve(archive)
    catalog = project(tmp_path, *archive_rows(server, archive, MEMBERS))
    place = tmp_path / "data/raw/pictures/all.tar.gz"
    place.parent.mkdir(parents=True)
    place.write_bytes(tar_of(MEMBERS | {"in/9.png": png(9)}))  # its members are right, it is not
    with pytest.raises(UserError, match=r"all\.tar\.gz: its? .*delete it"):
        Store(catalog).obtain(catalog.of_set("pictures"))
    place.write_bytes(archive)
    Store(catalog).obtain(catalog.of_set("pictures"))
    assert server.requests == []


def test_a_file_put_there_by_hand_is_checked_by_md5_too(tmp_path):
    md5 = hashlib.md5(png()).hexdigest()
    catalog = project(tmp_path, row(digest=f"md5:{md5}", address="unverified=http://127.0.0.1:9/x"))
    place = tmp_path / "data/raw/pictures/one.png"
    place.parent.mkdir(parents=True)
    place.write_bytes(png(seed=5))
    with pytest.raises(UserError, match="md5"):
        catalog.prepare("pictures/10x10/one")
    place.write_bytes(png())
    assert catalog.prepare("pictures/10x10/one").bits == 8


# --- names that come in a list --------------------------------------------------------------


def test_names_of_a_list_are_fetched_first_and_locked(tmp_path, serve):
    names = b"a0001-early\na0002-my picture\na0003-late\n"
    lists, pictures = serve(names), serve(png())
    base = f"http://127.0.0.1:{pictures.server_port}/plain/"
    catalog = project(
        tmp_path,
        row(
            **{"name": "names", "kind": "list", "source": "fetched:names.txt", "sizes": ""},
            address=f"seen={lists.address('plain')}",
        ),
        row(
            **{"name": "{list:a0002..a0003}", "title": "{}", "source": "fetched:tif/{}.png"},
            address=f"unverified={base}{{}}.png",
        ),
    )
    with pytest.raises(UserError, match="make data DATASET=pictures"):
        catalog.find("pictures/10x10/a0002-my_picture")
    catalog, entries = obtain_set(catalog, Store(catalog), "pictures")
    assert [e.name for e in entries] == ["a0002-my_picture", "a0003-late"]
    assert [p for p, _ in pictures.requests if "my%20picture" in p]
    locked = (tmp_path / "config/datasets.lock").read_text()
    assert sha256(names) in locked and "tif/a0003-late.png" in locked
    assert catalog.prepare("pictures/10x10/a0002-my_picture").samples.shape == (10, 10, 3)


# --- at the same time ----------------------------------------------------------------------

# Prints what the user is told.
OBTAIN = """
import encodings.utf_8_sig
import os
import sys
from pathlib import Path
from lossless_inr.datasets.catalog import Catalog
from lossless_inr.datasets.store import Store
root = Path(sys.argv[1])
if len(sys.argv) > 2:  # after the imports, which only root may be able to read
    os.setuid(int(sys.argv[2]))
catalog = Catalog(root / "config/datasets.tsv", root)
Store(catalog).obtain(catalog.of_set("pictures"))
"""


@pytest.mark.parametrize("processes", [2, 8])
def test_processes_that_want_the_same_files(tmp_path, serve, processes):
    archive = tar_of(MEMBERS)
    server = serve(archive)
    rows = archive_rows(server, archive, MEMBERS)
    slow = server.address("slow")
    rows = [r | {"address": f"seen={slow}"} for r in rows]
    catalog = project(tmp_path, *rows)
    command = [sys.executable, "-c", OBTAIN, str(tmp_path)]
    running = [subprocess.Popen(command, cwd=ROOT) for _ in range(processes)]
    assert [process.wait(60) for process in running] == [0] * processes
    assert len(server.requests) == 1
    for entry in catalog.of_set("pictures"):
        assert catalog.source_path(entry).exists()


def as_nobody(tmp_path) -> list[str]:
    """Further words for OBTAIN where root runs it, whom no permission stops: be somebody else."""
    if os.geteuid() != 0:
        return []
    for folder in [tmp_path, *tmp_path.parents][:4]:
        folder.chmod(folder.stat().st_mode | 0o055)
    return [str(NOBODY)]


@pytest.mark.parametrize("way", ["a file in its place", "permissions"])
def test_a_read_only_folder_is_told(tmp_path, serve, way):
    server = serve(png())
    project(tmp_path, row(sha256=sha256(png()), address=f"seen={server.address('plain')}"))
    command = [sys.executable, "-c", OBTAIN, str(tmp_path)]
    if way == "permissions":
        (tmp_path / "data").mkdir(mode=0o555)
        command += as_nobody(tmp_path)
    else:
        (tmp_path / "data").write_text("")
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 1 and not server.requests
    assert "UserError" in run.stderr and f"{tmp_path}/data" in run.stderr
    assert "Permission" not in run.stderr or way == "permissions"


def test_a_mirrors_file_that_cannot_be_read_is_passed_over(tmp_path, serve):
    server = serve(png())
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror/one.png").write_bytes(png())
    (tmp_path / "mirror/one.png").chmod(0)
    address = f"seen={server.address('plain')}"
    project(tmp_path / "p", row(sha256=sha256(png()), address=address))
    for folder in (tmp_path / "p", tmp_path / "p/config"):
        folder.chmod(0o777)
    command = [sys.executable, "-c", OBTAIN, str(tmp_path / "p"), *as_nobody(tmp_path)]
    environment = os.environ | {"LOSSLESS_INR_MIRROR": str(tmp_path / "mirror")}
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "mirror/one.png: the mirror's file is not used" in run.stderr
    assert (tmp_path / "p/data/raw/pictures/one.png").read_bytes() == png()


def test_a_server_that_is_not_there_is_asked_once(tmp_path, serve, caplog):
    server = serve(png())
    address = f"seen={server.address('plain')}"
    server.stop()
    rows = [row(name=f"n{k}", source=f"fetched:{k}.png", address=address) for k in range(30)]
    catalog = project(tmp_path, *(r | {"digest": "md5:" + "0" * 32} for r in rows))
    with caplog.at_level(logging.WARNING), pytest.raises(UserError, match="and 29 more"):
        Store(catalog).obtain(catalog.of_set("pictures"))
    assert caplog.text.count("not asked again") <= 4  # as many as were on their way at once


# --- the real files --------------------------------------------------------------------------


@pytest.mark.skipif(not MIRROR.is_dir(), reason="no mirror of the real files beside this checkout")
@pytest.mark.parametrize("way", ["mirror", "server"])
def test_real_kodak_images_become_the_pinned_samples(tmp_path, serve, way):
    """The real files, from the mirror, or over a connection with no mirror at all."""
    source = (ROOT / "config/datasets.tsv").read_text()
    (tmp_path / "config").mkdir()
    (tmp_path / "config/prepared.tsv").write_bytes((ROOT / "config/prepared.tsv").read_bytes())
    if way == "server":
        server = serve(b"")
        server.RequestHandlerClass = files_of(MIRROR)
        at = f"http://127.0.0.1:{server.server_port}/"
        source = source.replace("https://r0k.us/graphics/kodak/", at)
    (tmp_path / "config/datasets.tsv").write_text(source)
    catalog = Catalog(tmp_path / "config/datasets.tsv", tmp_path)
    catalog, entries = obtain_set(
        catalog, Store(catalog, MIRROR if way == "mirror" else None), "kodak"
    )
    assert len(entries) == 24
    signals = [f"kodak/{size}/{e.name}" for e in entries for size in e.sizes]
    assert all(signal in catalog.pins for signal in signals)
    assert prepare_all(catalog, signals, tmp_path / "data/prepared") == []


def files_of(folder):
    """A handler that serves a folder's files."""
    from functools import partial
    from http.server import SimpleHTTPRequestHandler

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    return partial(Quiet, directory=str(folder))


def test_prepared_samples_that_are_not_the_pinned_ones_are_told(tmp_path):
    catalog = project(tmp_path, row(sha256=sha256(png())))
    (tmp_path / "data/raw/pictures").mkdir(parents=True)
    (tmp_path / "data/raw/pictures/one.png").write_bytes(png())
    digest = catalog.prepare("pictures/10x10/one").sha256
    pins = tmp_path / "config/prepared.tsv"
    for pinned, good in ((digest, True), ("0" * 64, False)):
        pins.write_text(f"signal\tsha256\npictures/10x10/one\t{pinned}\n")
        again = Catalog(catalog.path, tmp_path)
        if good:
            assert again.prepare("pictures/10x10/one").sha256 == digest
        else:
            with pytest.raises(UserError, match="pinned"):
                again.prepare("pictures/10x10/one")
