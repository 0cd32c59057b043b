"""The dataset table as it is, rows for many signals, and the command that fetches a set."""

import csv
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import skimage
import soundfile
from PIL import Image
from server import Server
from test_store import MIRROR, png, project, row, sha256

from lossless_inr.datasets.catalog import Catalog
from lossless_inr.datasets.store import Store
from lossless_inr.datasets.table import COLUMNS
from lossless_inr.errors import UserError
from lossless_inr.signals import Signal

ROOT = Path(__file__).resolve().parents[2]
CATALOG = Catalog(ROOT / "config/datasets.tsv", ROOT)
# FSDD has 300 recordings, ten of them as float32 too (Table 9).
SETS = {
    **{"kodak": 24, "div2k": 100, "testimages": 40, "librispeech": 12, "mnist": 10_000},
    **{"fashion_mnist": 10_000, "fsdd": 310, "rgb16": 15, "synthetic": 22},
}


def test_the_sets_of_the_paper_are_there_with_all_their_signals():
    for name, count in SETS.items():
        entries = CATALOG.of_set(name)
        assert len(entries) == len({entry.name for entry in entries}) == count, name
    assert "fivek" in CATALOG.unlisted and len(CATALOG.lists["fivek"]) == 2
    assert list(SETS) and {"skimage", "pydicom", "chime"} <= set(CATALOG.sets())


def test_every_row_has_what_its_fetching_needs():
    rows = [*CATALOG.rows(), *CATALOG.unlisted.values(), *CATALOG.lists["fivek"]]
    for entry in rows:
        where = f"{entry.set}/{entry.name}"
        assert entry.licence, where
        assert bool(entry.addresses) == entry.fetched, where
        assert entry.sizes or entry.kind == "list", where
        unsure = all(address.status == "unverified" for address in entry.addresses)
        known = entry.digests.sha256 or entry.digests.md5
        assert known or unsure, f"{where}: seen, but with no checksum to have seen"
    for name in ("div2k", "testimages", "fivek"):
        entries = [entry for entry in rows if entry.set == name and entry.kind != "list"]
        assert all(entry.terms for entry in entries), name


def test_every_archive_is_described_once():
    described = {}
    for entry in CATALOG.rows():
        if entry.fetched:
            facts = (entry.addresses, entry.digests)
            assert described.setdefault((entry.set, entry.download), facts) == facts


def test_pins_are_of_signals_of_the_table():
    assert len(CATALOG.pins) > 100
    for name in CATALOG.pins:
        CATALOG.find(name)
    for size in ("256x256", "64x64", "32x32"):
        assert sum(f"kodak/{size}/" in signal for signal in CATALOG.pins) == 24


OFFLINE = [s for s in CATALOG.pins if not CATALOG.find(s)[0].fetched]


@pytest.mark.parametrize("signal", OFFLINE)
def test_offline_signals_are_the_pinned_ones(signal):
    assert CATALOG.prepare(signal).sha256 == CATALOG.pins[signal]


@pytest.mark.skipif(not MIRROR.is_dir(), reason="no mirror of the real files beside this checkout")
@pytest.mark.parametrize("name", ["rgb16", "fsdd", "mnist", "librispeech"])
def test_real_files_of_the_mirror_prepare(tmp_path, name):
    (tmp_path / "config").mkdir()
    for file in ("datasets.tsv", "prepared.tsv"):
        (tmp_path / "config" / file).write_bytes((ROOT / "config" / file).read_bytes())
    catalog = Catalog(tmp_path / "config/datasets.tsv", tmp_path)
    entries = catalog.of_set(name)
    if name == "librispeech":  # of its archive, the mirror has two files of this set
        entries = [e for e in entries if e.name.startswith("2412-153948")]
        assert len(entries) == 6
    Store(catalog, MIRROR).obtain(entries)
    for entry in entries[:60]:
        for size in entry.sizes:
            signal = f"{name}/{size}/{entry.name}"
            prepared = catalog.prepare(signal)
            assert prepared.bits == entry.bits and prepared.sha256
            assert name in ("fsdd", "mnist") or signal in catalog.pins
            if entry.bits == 16:
                assert prepared.metadata()["informative_planes"] > 8


# --- rows for many ------------------------------------------------------------------------


def test_a_row_that_counts(tmp_path):
    (tmp_path / "digits-idx3-ubyte").write_bytes(b"")
    catalog = project(
        tmp_path,
        row(
            **{"name": "{007..011}", "title": "Number {}", "source": "fetched:all.zip!in/{}.png"},
            address="seen=https://example.org/all.zip",
        ),
    )
    names = [entry.name for entry in catalog.of_set("pictures")]
    assert names == ["007", "008", "009", "010", "011"]
    entry = catalog.find("pictures/10x10/010")[0]
    assert (entry.title, entry.member, entry.download) == ("Number 010", "in/010.png", "all.zip")
    for unknown in ("012", "006", "7", "0007"):
        with pytest.raises(UserError, match="unknown signal"):
            catalog.find(f"pictures/10x10/{unknown}")


def test_a_row_for_a_folder_of_ones_own(tmp_path):
    for name, seed in (("a", 0), ("b c", 1), ("deep/d", 2)):
        path = tmp_path / f"my/{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(seed))
    (tmp_path / "my/e.txt").write_text("no picture")
    changes = {"name": "{*}", "title": "My {}", "source": "file:my/{}.png"}
    catalog = project(tmp_path, row(**changes, source_shape="?x?x3"))
    assert [entry.name for entry in catalog.of_set("pictures")] == ["a", "b_c"]
    assert catalog.prepare("pictures/10x10/b_c").title == "My b c"
    for source in ("file:my/a.png", "file:/my/{}.png"):
        with pytest.raises(UserError, match="write source"):
            project(tmp_path, row(**changes | {"source": source}, source_shape="?x?x3"))
    # An empty folder is told when its set is asked for; other sets are none the worse.
    empty = row(**changes | {"source": "file:no/{}.png", "set": "mine"}, source_shape="?x?x3")
    catalog = project(tmp_path, empty, row(name="b", source="file:my/a.png"))
    assert catalog.sets() == ["pictures"]
    for action in (lambda: catalog.of_set("mine"), lambda: catalog.find("mine/10x10/a")):
        with pytest.raises(UserError, match="no file matches no/"):
            action()


def test_file_names_of_all_sorts_are_signals(tmp_path):
    names = ["shot#1", "ä", "ö", "a b", "a_b", "wow!", "x" * 150]
    (tmp_path / "my").mkdir()
    for k, name in enumerate(names):
        (tmp_path / f"my/{name}.png").write_bytes(png(k))
    (tmp_path / "my/.hidden.png").write_bytes(png())
    (tmp_path / "my/folder.png").mkdir()
    (tmp_path / "my/gone.png").symlink_to("nowhere.png")
    changes = {"name": "{*}", "title": "{}", "source": "file:my/{}.png", "source_shape": "?x?x3"}
    catalog = project(tmp_path, row(**changes))
    entries = {entry.title: entry.name for entry in catalog.of_set("pictures")}
    assert set(entries) == set(names) and len(set(entries.values())) == len(names)
    assert (entries["a_b"], entries["shot#1"], entries["wow!"]) == ("a_b", "shot_1", "wow_")
    for name in entries.values():
        assert catalog.prepare(f"pictures/native/{name}").samples.shape == (20, 20, 3)


def test_a_table_from_a_spreadsheet_is_read(tmp_path):
    catalog = project(tmp_path, row(source="file:a.png"))
    path = tmp_path / "config/datasets.tsv"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert Catalog(path, tmp_path).of_set("pictures") == catalog.of_set("pictures")


@pytest.mark.parametrize("file", ["datasets.tsv", "prepared.tsv"])
def test_a_table_that_is_no_text_is_told(tmp_path, file):
    project(tmp_path, row(source="file:a.png"))
    (tmp_path / "config" / file).write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(UserError, match=f"{file}: cannot be read, or is not UTF-8"):
        Catalog(tmp_path / "config/datasets.tsv", tmp_path)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"address": "https://example.org/x.png"}, "status=address"),
        ({"address": "sen=https://example.org/x.png"}, "seen=https"),
        ({"address": "seen=ftp://example.org/x.png"}, "seen=https"),
        ({"digest": "sha1:00"}, "sha256:<hex>"),
        ({"digest": "sha256:xyz"}, "sha256:<hex>"),
        ({"bytes": "1e6"}, "bytes='1e6'"),
        ({"bytes": "²"}, "bytes='²'"),
        ({"name": "{9..3}"}, "counts none"),
        ({"name": "{0..999999999}"}, "more than 1,000,000"),
        ({"sha256": "ABC"}, "64 hexadecimal"),
        ({"source": "fetched:../x.png"}, "no plain relative path"),
        ({"source": "fetched:/etc/x.png"}, "no plain relative path"),
        ({"source": "fetched:a.zip!../x.png"}, "no plain relative path"),
        ({"source": "file:x.png", "address": "seen=https://example.org/x.png"}, "belong to"),
        ({"sizes": "10x10 99x99"}, "larger than its source"),
        ({"name": "{list:a1..a9}"}, "no row of kind 'list'"),
        ({"bits": "float8"}, "bits='float8'"),
        ({"bits": "float64"}, "only sounds of integers"),
        ({"prepare": "halve"}, "halve is for sounds"),
        ({"prepare": "make"}, "make is for synthetic sources"),
        ({"bits": 25, "source_bits": 25}, "bits='25'"),
        ({"bits": "float32"}, "only sounds of integers"),
        ({"source_bits": "float32"}, "only sounds of integers"),
        ({"bits": "float32", "source_bits": "float32"}, "cropped, never resized"),
    ],
)
def test_a_bad_cell_is_told_with_its_line(tmp_path, changes, told):
    with pytest.raises(UserError) as caught:
        project(tmp_path, row(**changes))
    assert told in str(caught.value) and "\n" not in str(caught.value)
    if "sizes" not in changes:
        assert "datasets.tsv, line 2" in str(caught.value)


# --- what a file must not be ----------------------------------------------------------------


def write(path, samples, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".wav":
        soundfile.write(path, samples, 8000, **options)
    elif samples.dtype == np.uint16:
        import imagecodecs

        path.write_bytes(imagecodecs.png_encode(samples))
    else:
        image = Image.fromarray(samples)
        (image.quantize(16) if options.get("palette") else image).save(path)


RGB = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)
DEEP = np.random.default_rng(0).integers(0, 65_536, (20, 20, 3), dtype=np.uint16)
SOUND = {"kind": "audio", "source_shape": "?x1", "prepare": "crop", "sizes": "8"} | dict.fromkeys(
    ("bits", "source_bits"), 16
)
SIXTEEN = {"bits": 16, "source_bits": 16}
FLOATS = SOUND | {"bits": "float32", "source_bits": "float32"}


@pytest.mark.parametrize(
    ("changes", "samples", "options", "told"),
    [
        ({}, RGB[..., :3], {"palette": True}, "20x20x1"),
        ({"source_shape": "20x20x1"}, RGB[..., :3], {"palette": True}, "set prepare to crop"),
        ({}, RGB[..., 0], {}, "20x20x1"),
        ({}, np.dstack([RGB, RGB[..., :1]]), {}, "20x20x4"),
        ({}, DEEP, {}, "set source_bits to 16"),
        (SIXTEEN, RGB, {}, "set source_bits to 8"),
        (SIXTEEN, (RGB.astype(np.uint16) << 8), {}, "set bits to 8"),
        (SIXTEEN, RGB.astype(np.uint16) * 257, {}, "repeats the high byte"),
        ({"source_shape": "?x?x3"}, RGB[:5], {}, None),
        (SOUND, np.linspace(-1, 1, 99, dtype=np.float32), {"subtype": "FLOAT"}, "floating-point"),
        (SOUND, np.linspace(-1, 1, 99), {"subtype": "PCM_24"}, "set source_bits to 24"),
        (SOUND, np.zeros((99, 2), np.int16), {}, "99x2"),
        (SOUND | {"bits": 8}, np.arange(99, dtype=np.int16), {}, "bits=8 is less"),
        (FLOATS, np.arange(99, dtype=np.int16), {}, "set source_bits to 16"),
    ],
)
def test_a_file_that_contradicts_its_row(tmp_path, changes, samples, options, told):
    name = "one.wav" if changes.get("kind") == "audio" else "one.png"
    size = "8" if changes.get("kind") == "audio" else "10x10"
    catalog = project(tmp_path, row(**{"source": f"fetched:{name}"} | changes))
    write(tmp_path / "data/raw/pictures" / name, samples, **options)
    with pytest.raises(UserError) as caught:
        catalog.prepare(f"pictures/{size}/one")
    line = str(caught.value)
    assert "\n" not in line and "pictures/" in line
    assert (told or "larger than its source (5x5)") in line


def test_a_byte_that_is_always_zero_may_be_left_out(tmp_path):
    """As in 50 of FSDD's recordings: 8 bits in a 16-bit file. Nothing is lost."""
    changes = SOUND | {"bits": 8, "source": "fetched:one.wav", "sizes": "60"}
    catalog = project(tmp_path, row(**changes))
    pcm = np.random.default_rng(0).integers(-128, 128, 60).astype(np.int16)
    write(tmp_path / "data/raw/pictures/one.wav", pcm * 256)
    prepared = catalog.prepare("pictures/60/one")
    assert prepared.samples.dtype == np.uint8
    np.testing.assert_array_equal(prepared.samples[:, 0].astype(int) - 128, pcm)


# --- floats and 24 bits -------------------------------------------------------------------


def test_floats_keep_every_word(tmp_path):
    words = np.array([0, 1 << 31, 0x7F800000, 0x7FC12345, 0xFF812345, 1, 0x3F800001, 42], "<u4")
    catalog = project(tmp_path, row(**FLOATS | {"source": "fetched:one.npy"}))
    path = tmp_path / "data/raw/pictures/one.npy"
    path.parent.mkdir(parents=True)
    np.save(path, words.view("<f4")[:, None])
    catalog.prepare("pictures/8/one").save(tmp_path / "one.npz")
    prepared = Signal.load(tmp_path / "one.npz")
    assert (prepared.encoding, prepared.bits, prepared.samples.dtype) == ("float32", 32, np.uint32)
    np.testing.assert_array_equal(prepared.samples[:, 0], words)


def test_integers_as_floats_are_what_libsndfile_makes_of_them(tmp_path):
    """The reading of LibriSpeech in the paper: `float32` with full scale 1."""
    pcm = np.array([-32768, -32767, -1, 0, 1, 32767, 12345, -54], np.int16)
    changes = SOUND | {"bits": "float32", "source": "fetched:one.wav"}
    catalog = project(tmp_path, row(**changes))
    path = tmp_path / "data/raw/pictures/one.wav"
    write(path, pcm)
    prepared = catalog.prepare("pictures/8/one")
    published, _ = soundfile.read(path, dtype="float32", always_2d=True)
    np.testing.assert_array_equal(prepared.samples, published.view("<u4"))


def test_24_bits_are_prepared_as_they_are(tmp_path):
    changes = SOUND | {"bits": 24, "source_bits": 24, "source": "fetched:one.wav"}
    catalog = project(tmp_path, row(**changes))
    pcm = np.random.default_rng(0).integers(-(2**23), 2**23, 8).astype(np.int32)
    write(tmp_path / "data/raw/pictures/one.wav", pcm * 256, subtype="PCM_24")
    prepared = catalog.prepare("pictures/8/one")
    np.testing.assert_array_equal(prepared.samples[:, 0].astype(int) - 2**23, pcm)


# --- the command ----------------------------------------------------------------------------


def run(folder, *words, **environment):
    command = [sys.executable, "-m", "lossless_inr.cli", *words]
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80", **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture
def here(tmp_path):
    """A project with one fetched picture, its mirror, and a config."""
    project(tmp_path, row(sha256=sha256(png()), address="seen=http://127.0.0.1:9/one.png"))
    (tmp_path / "config/config.yaml").write_text("scale: quick\n")
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror/one.png").write_bytes(png())
    return tmp_path


def test_data_fetches_prepares_and_lists(here):
    first = run(here, "data", "pictures", "--mirror", "mirror")
    assert first.returncode == 0, first.stderr
    with open(here / "data/prepared/pictures/10x10/index.tsv", newline="") as file:
        index = list(csv.DictReader(file, delimiter="\t"))
    assert [entry["signal"] for entry in index] == ["pictures/10x10/one"]
    path = here / "data/prepared/pictures/10x10/one.npz"
    before = path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest()
    again = run(here, "data", "pictures")  # complete: needs no mirror and no network
    assert again.returncode == 0
    assert (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest()) == before
    listed = run(here, "list", "datasets", "--json")
    assert "1 of 1 files here" in json.loads(listed.stdout)["pictures"]
    assert "addresses: seen" in listed.stdout


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["picture"], "did you mean 'pictures'"),
        (["pictures", "--size", "99x99"], "larger than its source"),
        (["pictures", "--size", "big"], "does not suit"),
        (["pictures", "--only", "on"], "did you mean 'one'"),
        (["pictures", "--mirror", "nowhere"], "no such folder"),
    ],
)
def test_bad_input_is_one_line(here, words, told):
    mirror = [] if "--mirror" in words else ["--mirror", "mirror"]
    result = run(here, "data", *words, *mirror)
    assert result.returncode == 2
    error = [line for line in result.stderr.splitlines() if line.strip()]
    assert len(error) == 1 and error[0].startswith("error: ") and told in error[0]


def test_a_set_that_cannot_be_had_is_an_error_of_one_line(here):
    result = run(here, "data", "pictures")
    assert result.returncode == 2 and "Traceback" not in result.stderr
    assert re.search(r"^error: pictures: cannot fetch one\.png .*data/raw", result.stderr, re.M)


def test_columns_are_documented():
    text = (ROOT / "config/README.md").read_text()
    assert all(f"`{column}`" in text for column in COLUMNS)


# --- prepared files and their index ---------------------------------------------------------


def index_of(folder, size="10x10"):
    with open(folder / f"data/prepared/pictures/{size}/index.tsv", newline="") as file:
        return [
            entry["signal"].rpartition("/")[2] for entry in csv.DictReader(file, delimiter="\t")
        ]


@pytest.fixture
def own(tmp_path):
    """A project with 12 pictures of the user's own."""
    (tmp_path / "my").mkdir()
    for k in range(12):
        (tmp_path / f"my/n{k:02d}.png").write_bytes(png(k))
    project(tmp_path, row(name="{*}", source="file:my/{}.png", source_shape="?x?x3"))
    (tmp_path / "config/config.yaml").write_text("scale: quick\n")
    return tmp_path


def test_two_runs_may_prepare_one_set_at_once(own):
    command = [sys.executable, "-m", "lossless_inr.cli", "data", "pictures"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    running = [
        subprocess.Popen(command, cwd=own, env=environment, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for process in running:
        _, told = process.communicate(timeout=120)
        assert process.returncode == 0, told
    assert len(index_of(own)) == 12
    assert not list((own / "data").rglob("*.partial"))


def test_a_size_named_twice_is_prepared_once(own):
    done = run(own, "data", "pictures", "--size", "10x10", "--size", "10x10", "--only", "n00")
    assert done.returncode == 0, done.stderr
    assert index_of(own) == ["n00"]


def test_the_index_keeps_what_is_there_and_drops_what_is_gone(own):
    assert run(own, "data", "pictures").returncode == 0
    (own / "data/prepared/pictures/10x10/n03.npz").unlink()
    assert run(own, "data", "pictures", "--only", "n00").returncode == 0
    assert index_of(own) == [f"n{k:02d}" for k in range(12) if k != 3]


def test_a_damaged_prepared_file_is_prepared_again(own):
    assert run(own, "data", "pictures", "--only", "n00").returncode == 0
    path = own / "data/prepared/pictures/10x10/n00.npz"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert run(own, "data", "pictures", "--only", "n00").returncode == 0
    assert Signal.load(path).samples.shape == (10, 10, 3)


@pytest.mark.parametrize("place", ["data", "data/prepared", "data/prepared/pictures"])
def test_a_file_in_the_place_of_a_folder_is_told_in_one_line(own, place):
    (own / place).parent.mkdir(parents=True, exist_ok=True)
    (own / place).write_text("")
    done = run(own, "data", "pictures", "--only", "n00")
    assert done.returncode == 2
    assert "a file stands where a folder should be" in done.stderr
    assert "Traceback" not in done.stderr


def test_no_space_is_told_in_one_line_and_leaves_nothing(own):
    limited = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300)); "
    limited += "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
    limited += (
        "from lossless_inr.cli import main; sys.argv = ['lossless-inr', *sys.argv[1:]]; main()"
    )
    command = [sys.executable, "-c", limited, "data", "pictures", "--only", "n00"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=own, env=environment, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert "no space left" in done.stderr and "Traceback" not in done.stderr
    assert not list((own / "data").rglob("*.npz")) + list((own / "data").rglob("*.partial"))


def test_ctrl_c_ends_a_fetch_at_once_with_a_word(here):
    server = Server(png() * 4000)
    try:
        project(here, row(digest="md5:" + "0" * 32, address=f"seen={server.address('drips')}"))
        process = subprocess.Popen(
            [sys.executable, "-m", "lossless_inr.cli", "data", "pictures"],
            cwd=here,
            env=os.environ | {"PYTHONPATH": str(ROOT), "http_proxy": "", "no_proxy": "*"},
            stderr=subprocess.PIPE,
            text=True,
            # A shell's background jobs ignore SIGINT, and their children would inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        for _ in range(600):
            if server.requests:
                break
            time.sleep(0.05)
        begun = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
        assert time.monotonic() - begun < 20
        assert process.returncode == 130
        assert "the same command goes on from here" in told and "Traceback" not in told
    finally:
        server.stop()


def test_a_disparity_map_keeps_the_words_of_its_file():
    prepared = CATALOG.prepare("skimage/32x32/motorcycle_disp")
    with np.load(Path(skimage.__file__).parent / "data/motorcycle_disp.npz") as archive:
        (whole,) = archive.values()
    window = whole[240:272, 300:332, None]
    assert prepared.encoding == "float32" and prepared.samples.dtype == np.uint32
    assert np.array_equal(prepared.samples, window.view(np.uint32))


def test_half_the_rate_uses_planes_that_pcm_leaves_empty():
    """Read as floats, 16-bit sound has words with half of their mantissa empty."""
    pcm = CATALOG.prepare("chime/1024/warning_float32").metadata()
    half = CATALOG.prepare("chime/1024/warning_half").metadata()
    assert pcm["informative_planes"] <= 20 < half["informative_planes"]
    assert CATALOG.find("chime/native/warning_half")[0].prepared_shape("native") == (34302, 1)
    assert len(CATALOG.prepare("chime/native/warning_half").samples) == 34302


@pytest.mark.parametrize("encoding", ["float16", "float32", "float64"])
def test_floats_of_every_length_are_prepared_word_for_word(tmp_path, encoding):
    kind = np.dtype(encoding)
    words = np.arange(24).astype(f"u{kind.itemsize}").reshape(12, 2)
    words[0], words[1] = 1 << (8 * kind.itemsize - 1), np.iinfo(words.dtype).max  # -0.0, a NaN
    (tmp_path / "one.npy").parent.mkdir(exist_ok=True)
    np.save(tmp_path / "one.npy", words.view(kind))
    changes = SOUND | {"bits": encoding, "source_bits": encoding, "source": "file:one.npy"}
    changes |= {"source_shape": "12x2", "sizes": "native", "address": "", "bytes": ""}
    prepared = project(tmp_path, row(**changes)).prepare("pictures/native/one")
    assert (prepared.encoding, prepared.bits) == (encoding, 8 * kind.itemsize)
    assert prepared.samples.tolist() == words.tolist()
