"""`lossless-inr fit`, `decode`, `verify`, `info` and `compare` on a user's files."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import imagecodecs
import numpy as np
import psutil
import pytest
import soundfile
import tifffile
import torch
from noise import picture
from PIL import Image

import lossless_inr
from lossless_inr.errors import UserError
from lossless_inr.models import command, files
from lossless_inr.models import model as models
from lossless_inr.models.model import Model

OPTIONS = {
    **{"recipe": "fast", "size": "native", "tile": "auto", "margin": 1.0, "device": "cpu"},
    **{"smallest": False},
    **{"seed": 0, "budget": "", "workers": 1, "force": False},
}
DECODE = {"region": "", "times": "", "planes": "", "device": "cpu", "force": False}


def tool(folder, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "lossless_inr.cli", *map(str, arguments)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )


def refusal(action, *arguments, **options):
    with pytest.raises(UserError) as caught:
        action(*arguments, **options)
    line = str(caught.value)
    assert "\n" not in line
    return line


def write(path, samples):
    """A file of these samples, by the library that is usual for it."""
    flat = samples[..., 0] if samples.shape[-1] == 1 else samples
    if path.suffix == ".png":
        path.write_bytes(imagecodecs.png_encode(flat))
    elif path.suffix == ".tif":
        tifffile.imwrite(path, flat, photometric="rgb" if samples.shape[-1] > 2 else "minisblack")
    elif path.suffix == ".npy":
        np.save(path, flat)
    else:
        bits = 8 * samples.dtype.itemsize if samples.dtype != np.uint32 else 24
        upper = (samples.astype(np.int64) - 2 ** (bits - 1)) << (32 - bits)
        soundfile.write(path, upper.astype(np.int32), 11_025, subtype=f"PCM_{bits}")
    return path


def test_signed_numbers_come_back_signed_in_an_array(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "in_fresh_process", lambda f, *arguments: f(*arguments))
    samples = picture((5, 6, 1), bits=16)[..., 0].astype(np.int64) - 2**15
    np.save(tmp_path / "ct.npy", samples.astype(np.int16))
    command.fit(tmp_path / "ct.npy", tmp_path / "ct.linr", **OPTIONS)
    command.decode(tmp_path / "ct.linr", tmp_path / "again.npy", **DECODE)
    again = np.load(tmp_path / "again.npy")
    assert again.dtype == np.int16
    np.testing.assert_array_equal(again[..., 0], samples)
    for name in ("ct.npy", "again.npy"):
        assert command.verify(tmp_path / "ct.linr", tmp_path / name)[0]


def test_a_scan_in_dicom_comes_back(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "in_fresh_process", lambda f, *arguments: f(*arguments))
    from pydicom.data import get_testdata_file

    source = Path(get_testdata_file("CT_small.dcm", download=False))
    given = files.read_source(source)
    assert (given.bits, given.signed, given.samples.shape) == (16, True, (128, 128, 1))
    part = given.samples[60:70, 50:64]
    np.save(tmp_path / "part.npy", files.numbers(part, given))
    command.fit(tmp_path / "part.npy", tmp_path / "part.linr", **OPTIONS)
    command.decode(tmp_path / "part.linr", tmp_path / "part.png", **DECODE)
    np.testing.assert_array_equal(files.read_source(tmp_path / "part.png").samples, part)


@pytest.mark.parametrize(("bits", "shape"), [(16, (40, 2)), (24, (30, 1))])
def test_a_sound_in_an_array_is_the_same_sound(tmp_path, bits, shape):
    samples = picture(shape, bits=bits)
    model = lossless_inr.fit(
        samples, bits=bits, kind="sound", signed=True, sample_rate=8000, workers=1
    )
    model.save(tmp_path / "s.linr")
    command.decode(tmp_path / "s.linr", tmp_path / "s.npy", **DECODE)
    numbers = np.load(tmp_path / "s.npy")
    np.testing.assert_array_equal(numbers, samples.astype(np.int64) - 2 ** (bits - 1))
    assert command.verify(tmp_path / "s.linr", tmp_path / "s.npy")[0]
    numbers[3] += 1
    np.save(tmp_path / "t.npy", numbers)
    assert "differs: " in command.verify(tmp_path / "s.linr", tmp_path / "t.npy")[1]
    np.save(tmp_path / "t.npy", numbers[1:])
    assert "an array of int" in command.verify(tmp_path / "s.linr", tmp_path / "t.npy")[1]


FILES = [
    ("grey.png", (7, 9, 1), 8, "grey.tif"),
    ("alpha.png", (6, 8, 2), 8, "again.png"),
    ("rgba.png", (6, 8, 4), 16, "rgba.tif"),
    ("rgb.png", (9, 6, 3), 16, "rgb.npy"),
    ("rgb.tif", (6, 9, 3), 8, "rgb.png"),
    ("grey.tif", (6, 9, 1), 16, "grey.png"),
    ("flat.npy", (5, 6, 1), 8, "flat.png"),
    ("mono.wav", (90, 1), 16, "mono.flac"),
    ("stereo.flac", (60, 2), 16, "stereo.wav"),
    ("deep.wav", (70, 1), 24, "deep.flac"),
    ("deep.flac", (40, 2), 24, "deep.wav"),
]


@pytest.mark.parametrize(("name", "shape", "bits", "out"), FILES, ids=[f[0] for f in FILES])
def test_a_file_comes_back_with_its_samples_depth_channels_and_rate(
    tmp_path, monkeypatch, name, shape, bits, out
):
    # Its own process is tried by the tests of the whole tool below.
    monkeypatch.setattr(command, "in_fresh_process", lambda f, *arguments: f(*arguments))
    samples = picture(shape, bits=bits)
    source, model = write(tmp_path / name, samples), tmp_path / "x.linr"
    line = command.fit(source, model, **OPTIONS)
    assert line.startswith("lossless, verified: ") and "x the raw samples (" in line
    assert command.verify(model, source) == (True, f"equal: all {samples.size:,} samples")
    command.decode(model, tmp_path / out, **DECODE | {"force": True})
    back = files.read_source(tmp_path / out)
    first = files.read_source(source)
    np.testing.assert_array_equal(back.samples, samples)
    assert (back.bits, back.kind, back.sample_rate) == (
        (bits, first.kind, None if out.endswith("npy") else first.sample_rate)
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted({name, "x.linr", out})


def test_a_part_of_an_image_and_of_a_sound(tmp_path, small):
    samples, model = small
    model.save(tmp_path / "x.linr")
    command.decode(tmp_path / "x.linr", tmp_path / "p.png", **DECODE | {"region": "2:9,5:8"})
    part = files.read_source(tmp_path / "p.png").samples
    np.testing.assert_array_equal(part, samples[5:8, 2:9])
    command.decode(tmp_path / "x.linr", tmp_path / "h.npy", **DECODE | {"planes": "7:5"})
    np.testing.assert_array_equal(np.load(tmp_path / "h.npy"), samples & 0b11100000)
    sound = picture((100, 1), bits=16)
    lossless_inr.fit(sound, kind="sound", sample_rate=50, signed=True, workers=1).save(
        tmp_path / "s.linr"
    )
    command.decode(tmp_path / "s.linr", tmp_path / "s.wav", **DECODE | {"times": "0.5:1"})
    np.testing.assert_array_equal(files.read_source(tmp_path / "s.wav").samples, sound[25:50])


def test_a_smaller_size_is_the_benchmarks(tmp_path):
    from lossless_inr.signals.resample import centre_square, downsample

    samples = picture((20, 30, 3))
    given = files.read_source(write(tmp_path / "a.png", samples))
    small = files.resized(given, "10x10").samples
    wanted = downsample(centre_square(samples), 10, 10, from_bits=8, to_bits=8)
    np.testing.assert_array_equal(small, wanted)
    assert files.resized(given, "15x8").samples.shape == (8, 15, 3)


def unusual(folder):
    """Files that cannot be fitted, and what must be said of each."""
    (folder / "folder.png").mkdir()
    (folder / "text.txt").write_text("a")
    (folder / "text.png").write_text("no picture")
    good = write(folder / "good.png", picture((16, 16, 3)))
    (folder / "half.png").write_bytes(good.read_bytes()[:300])
    Image.fromarray(picture((4, 4))[..., 0]).convert("P").save(folder / "palette.png")
    soundfile.write(folder / "empty.wav", np.zeros(0), 8000, subtype="PCM_16")
    np.save(folder / "many.npy", np.zeros((2, 2, 2, 2), np.uint8))
    np.save(folder / "wide.npy", np.zeros((2, 2), np.int64))
    np.save(folder / "complex.npy", np.zeros((2, 2), np.complex64))
    np.savez(folder / "several.npz", a=np.zeros(3, np.uint8))
    (folder / "several.npz").rename(folder / "several.npy")
    (folder / "nothing.npy").write_bytes(b"")
    (folder / "zip.npy").write_bytes(b"PK\x03\x04 no zip")
    return {
        "nothing.png": "no such file",
        "folder.png": "a folder",
        "text.txt": "unknown file type",
        "text.png": "not a PNG",
        "half.png": "damaged",
        "palette.png": "palette",
        "empty.wav": "empty",
        "many.npy": "4 axes",
        "wide.npy": "int64",
        "complex.npy": "complex64",
        "several.npy": "no array",
        "nothing.npy": "no array",
        "zip.npy": "no array",
    }


def test_no_damage_of_an_array_ends_in_more_than_a_line(tmp_path):
    np.save(tmp_path / "a.npy", picture((3, 3)))
    content = (tmp_path / "a.npy").read_bytes()
    random = np.random.default_rng(0)
    for _ in range(300):
        damaged = bytearray(content)
        for place in random.integers(0, 128, 3):
            damaged[place] = random.integers(256)
        (tmp_path / "b.npy").write_bytes(damaged)
        try:
            files.read_source(tmp_path / "b.npy")
        except UserError as error:
            assert "\n" not in str(error)


def test_a_file_that_cannot_be_fitted_is_refused_before_anything_is_written(tmp_path):
    for name, words in unusual(tmp_path).items():
        line = refusal(command.fit, tmp_path / name, tmp_path / "x.linr", **OPTIONS)
        assert name in line and words in line, line
    assert not list(tmp_path.glob("x.linr*"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"size": "64x64"}, "larger than the image (16x16)"),
        ({"size": "64"}, "write e.g. 256x256"),
        ({"tile": "big"}, "write a number, or auto"),
        ({"tile": "0"}, "tile: 0"),
        ({"tile": "\u00b2"}, "write a number, or auto"),
        ({"margin": float("nan")}, "outside 0 to 100"),
        ({"budget": "soon"}, "write e.g. 90s"),
        ({"budget": "0s"}, "write e.g. 90s"),
        ({"recipe": "fats"}, "did you mean 'fast'?"),
        ({"device": "tpu"}, "none of auto, cpu, cuda"),
    ],
    ids=lambda value: "",
)
def test_an_option_that_means_nothing_is_refused(tmp_path, changes, words):
    source = write(tmp_path / "a.png", picture((16, 16, 3)))
    line = refusal(command.fit, source, tmp_path / "x.linr", **OPTIONS | changes)
    assert words in line, line
    assert list(tmp_path.iterdir()) == [source]


def test_nothing_is_written_over_unless_asked_for(tmp_path, small):
    small[1].save(tmp_path / "x.linr")
    source = write(tmp_path / "a.png", picture())
    before = (tmp_path / "x.linr").read_bytes()
    assert "--force" in refusal(command.fit, source, tmp_path / "x.linr", **OPTIONS)
    assert "--force" in refusal(command.decode, tmp_path / "x.linr", source, **DECODE)
    assert "no such folder" in refusal(command.fit, source, tmp_path / "no/x.linr", **OPTIONS)
    assert (tmp_path / "x.linr").read_bytes() == before


@pytest.mark.parametrize(
    ("out", "changes", "words"),
    [
        ("x.jpg", {}, "known: .png"),
        ("x.wav", {}, ".wav cannot hold an image"),
        ("x.png", {"region": "0:4"}, "write x0:x1,y0:y1"),
        ("x.png", {"region": "0:99,0:2"}, "0:99 is not inside 0:10"),
        ("x.png", {"times": "0:1"}, "this is an image"),
        ("missing/x.png", {}, "no such folder"),
        ("x.png", {"planes": "6:0"}, "write 7:k"),
    ],
    ids=lambda value: "",
)
def test_a_decoding_that_cannot_be_is_refused(tmp_path, small, out, changes, words):
    small[1].save(tmp_path / "x.linr")
    assert words in refusal(command.decode, tmp_path / "x.linr", tmp_path / out, **DECODE | changes)
    assert not (tmp_path / out).exists()


def test_verify_says_how_many_samples_differ(tmp_path, small):
    samples, model = small
    model.save(tmp_path / "x.linr")
    other = samples.copy()
    other[0, 0, 0] ^= 1
    other[3, 3, 1] ^= 128
    equal, line = command.verify(tmp_path / "x.linr", write(tmp_path / "a.png", other))
    assert not equal and line == "differs: 2 of 360 samples"
    equal, line = command.verify(tmp_path / "x.linr", write(tmp_path / "b.png", samples[:5]))
    assert not equal and "10x5x3" in line


def test_info_and_compare_tell_bits_per_sample(tmp_path, small):
    samples, model = small
    model.save(tmp_path / "a.linr")
    facts = command.info(tmp_path / "a.linr")
    assert facts["bits_per_sample"] == 8 * model.weight_bytes / samples.size
    assert facts["parameters"] == model.parameters and facts["tiles"] == 4
    assert sum(facts["tiles_by_storage"].values()) == 4
    assert 0 < facts["bits_per_sample_zstd"] < 1.2 * facts["bits_per_sample"]
    json.dumps(facts)
    rows = command.compare([write(tmp_path / "a.png", samples)])
    coders = {row["coder"]: row["bits_per_sample"] for row in rows}
    assert coders["INR (seconds: decoding)"] == facts["bits_per_sample"]
    assert {"PNG", "WebP", "JPEG XL"} < set(coders) and 7 < coders["JPEG XL"] < 12
    sound = write(tmp_path / "s.wav", picture((300, 1), bits=16))
    assert {row["coder"] for row in command.compare([sound])} == {"FLAC", "ALAC", "WavPack"}


def test_the_tool_from_file_to_file(tmp_path):
    samples = picture((9, 7, 3))
    write(tmp_path / "a.png", samples)
    done = tool(tmp_path, "fit", "a.png", "-o", "a.linr")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("lossless, verified: 7x9x3, 8 bit; ")
    assert tool(tmp_path, "decode", "a.linr", "-o", "b.png").returncode == 0
    assert tool(tmp_path, "verify", "a.linr", "b.png").returncode == 0
    write(tmp_path / "c.png", samples ^ 1)
    done = tool(tmp_path, "verify", "a.linr", "c.png")
    assert done.returncode == 1 and done.stdout.strip() == "differs: 189 of 189 samples"
    done = tool(tmp_path, "info", "a.linr", "--json")
    assert json.loads(done.stdout)["shape"] == [9, 7, 3]
    (tmp_path / "a.linr").write_bytes((tmp_path / "a.linr").read_bytes()[:-1])
    done = tool(tmp_path, "verify", "a.linr", "b.png")
    assert done.returncode == 2 and done.stderr.startswith("error: a.linr: ")
    assert "Traceback" not in done.stderr


def test_the_end_of_a_budget_has_an_exit_code_of_its_own_and_keeps_what_is_done(tmp_path):
    write(tmp_path / "a.png", picture((900, 900, 3)))  # more than a minute on a fast machine
    done = tool(tmp_path, "fit", "a.png", "-o", "a.linr", "--budget", "8s", "--workers", "2")
    assert done.returncode == 3, done.stderr
    assert "stopped after 8s" in done.stderr and "the same command goes on" in done.stderr
    assert not (tmp_path / "a.linr").exists()
    assert list(tmp_path.glob("a.linr.state/*/*.tiles"))


def test_decoding_in_a_model_file_is_the_same_as_in_the_one_that_was_fitted(tmp_path, small):
    _, model = small
    model.save(tmp_path / "x.linr")
    fault = command.check_model(tmp_path / "x.linr", model.header.samples_sha256)
    assert fault == ""
    assert "decodes to other samples" in command.check_model(tmp_path / "x.linr", "0" * 64)
    assert Model.load(tmp_path / "x.linr").header.source == "noise.png"


def start(folder, *arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "lossless_inr.cli", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


@pytest.mark.parametrize("word", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_in_words_and_one_fit_at_a_time_writes_an_output(tmp_path, word):
    write(tmp_path / "a.png", picture((600, 600, 3)))
    command_line = ("fit", "a.png", "-o", "a.linr", "--workers", "2")
    process = start(tmp_path, *command_line)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("a.linr.state/*/*.tiles")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    other = tool(tmp_path, *command_line)
    assert other.returncode == 2 and "another process is fitting it" in other.stderr
    os.killpg(process.pid, word) if word == signal.SIGINT else process.terminate()
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    *progress, last = output.splitlines()
    assert last == "interrupted; the same command goes on from here"
    assert all("tiles; iteration" in line for line in progress), output


def test_ctrl_c_while_workers_start_is_as_quiet(tmp_path):
    write(tmp_path / "a.png", picture((600, 600, 3)))
    process = start(tmp_path, "fit", "a.png", "-o", "a.linr", "--workers", "2")
    deadline = time.monotonic() + 120
    while len(psutil.Process(process.pid).children()) < 2:  # tracker and first worker
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    *progress, last = output.splitlines()
    assert last == "interrupted; the same command goes on from here"
    assert all("tiles; iteration" in line for line in progress), output


def test_workers_end_when_their_parent_alone_is_killed(tmp_path):
    write(tmp_path / "a.png", picture((600, 600, 3)))
    process = start(tmp_path, "fit", "a.png", "-o", "a.linr", "--workers", "2")
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("a.linr.state/*/*.tiles")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    family = psutil.Process(process.pid).children(recursive=True)
    assert len(family) >= 2
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(family, timeout=30)
    assert not alive


def test_a_script_without_a_main_guard_fits_on_several_processes(tmp_path):
    script = """
import numpy, lossless_inr
samples = numpy.random.default_rng(0).integers(0, 256, (112, 112, 3)).astype(numpy.uint8)
model = lossless_inr.fit(samples, tile=8, workers=2)
print("equal", bool((model.decode() == samples).all()), model.tiling.tiles)
"""
    (tmp_path / "mine.py").write_text(script)
    done = subprocess.run(
        [sys.executable, "mine.py"], cwd=tmp_path, capture_output=True, text=True, timeout=200
    )
    assert (done.stdout, done.stderr) == ("equal True 196\n", "")


def test_a_disk_that_fills_up_is_told_and_nothing_is_lost(tmp_path):
    write(tmp_path / "a.png", picture((12, 12, 3)))
    limited = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (900, 900))\n"
        "import sys; sys.argv = ['lossless-inr', 'fit', 'a.png', '-o', 'a.linr']\n"
        "from lossless_inr.cli import main; main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", limited], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 2, done.stderr
    assert "no space left" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "a.linr").exists()
    assert not [p for p in tmp_path.rglob("*.partial")]
    assert tool(tmp_path, "fit", "a.png", "-o", "a.linr").returncode == 0


@pytest.mark.parametrize("tiles_at_once", [1, 3])
@pytest.mark.parametrize("rows", [7, 10**6])
def test_slices_do_not_change_what_is_decoded(small, monkeypatch, tiles_at_once, rows):
    samples, model = small
    monkeypatch.setattr(models, "TILES_AT_ONCE", tiles_at_once)
    monkeypatch.setattr(models, "SLICE_ROWS", rows)
    for threads in (1, 2):
        torch.set_num_threads(threads)
        np.testing.assert_array_equal(model.decode(), samples)
