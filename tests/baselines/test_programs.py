"""The programs that come with the suite, run as the workflow runs them."""

import itertools
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lossless_inr.baselines.handover import hand_over
from lossless_inr.baselines.rate import weights_size
from lossless_inr.codecs import image_codecs, sound_codecs
from lossless_inr.signals import Signal
from lossless_inr.signals.signal import sample_dtype

PROGRAMS = Path(__file__).resolve().parents[2] / "workflow/baselines"


def made(shape, bits, kind="photo", noise=True) -> Signal:
    size = int(np.prod(shape))
    values = np.random.default_rng(1).integers(0, 2**bits, size) if noise else np.arange(size)
    samples = (values % 2**bits).reshape(shape).astype(np.uint8 if bits <= 8 else np.uint16)
    return Signal(name="mine/x/made", samples=samples, bits=bits, kind=kind)


def given(folder, signal):
    hand_over(signal, folder / "samples.raw", folder / "facts.json")
    return folder / "samples.raw", folder / "facts.json"


def test_what_is_handed_over_can_be_read_with_nothing_but_the_facts(tmp_path):
    signal = made((4, 5, 3), 16)
    raw, told = given(tmp_path, signal)
    facts = json.loads(told.read_text())
    content = raw.read_bytes()
    width = facts["bytes_per_sample"]
    values = [
        int.from_bytes(content[at : at + width], "little") for at in range(0, len(content), width)
    ]
    assert values == signal.samples.reshape(-1).tolist()
    assert facts["shape"] == [4, 5, 3] and facts["bits"] == 16 and facts["kind"] == "photo"


@pytest.fixture(scope="module")
def med_rice(tmp_path_factory):
    if shutil.which("cc") is None:
        pytest.skip("no C compiler")
    program = tmp_path_factory.mktemp("c") / "med_rice"
    source = PROGRAMS / "med_rice.c"
    command = ["cc", "-std=c99", "-Wall", "-Wextra", "-Werror", "-O2", "-o", program, source]
    subprocess.run(command, check=True)
    return program


@pytest.mark.parametrize("noise", [True, False])
@pytest.mark.parametrize(
    ("shape", "bits"),
    [((1, 1, 1), 8), ((13, 17, 3), 8), ((9, 5, 1), 16), ((40, 40, 3), 12), ((7, 1, 4), 1)],
)
def test_the_c_program_gives_back_what_it_was_given(tmp_path, med_rice, shape, bits, noise):
    raw, told = given(tmp_path, made(shape, bits, noise=noise))
    code, back = tmp_path / "code", tmp_path / "back"
    subprocess.run([med_rice, "encode", raw, told, code], check=True)
    subprocess.run([med_rice, "decode", code, back], check=True)
    assert back.read_bytes() == raw.read_bytes()


def test_the_c_program_makes_smooth_sounds_smaller_and_refuses_half_a_code(tmp_path, med_rice):
    time = np.arange(5000)
    sine = (32768 + 20000 * np.sin(time / 50)).astype(np.uint16)[:, None]
    raw, told = given(tmp_path, Signal(name="a/b/c", samples=sine, bits=16, kind="audio"))
    code, back = tmp_path / "code", tmp_path / "back"
    subprocess.run([med_rice, "encode", raw, told, code], check=True)
    assert code.stat().st_size < 0.75 * raw.stat().st_size
    code.write_bytes(code.read_bytes()[:999])
    done = subprocess.run([med_rice, "decode", code, back], capture_output=True, text=True)
    assert done.returncode == 1 and "ends too early" in done.stderr


@pytest.mark.parametrize(
    ("shape", "bits"), [((12, 9, 3), 8), ((12, 9, 1), 16), ((9, 8, 4), 8), ((12, 9, 3), 12)]
)
def test_image_codecs_are_lossless_and_know_their_limits(shape, bits):
    signal = made(shape, bits)
    found = image_codecs(shape, bits)
    assert {"PNG", "JPEG XL"} <= set(found)
    assert ("WebP" in found) == (bits == 8 and shape[-1] == 3)
    for name, codec in found.items():
        decoded = codec.decode(codec.encode(signal.samples))
        assert np.array_equal(decoded, signal.samples), name
    assert image_codecs((4, 4, 3), 24) == {}


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(
    ("bits", "encoding", "names"),
    [
        (8, "integer", {"FLAC", "WavPack"}),
        (16, "integer", {"FLAC", "WavPack", "ALAC"}),
        (24, "integer", {"FLAC", "WavPack", "ALAC"}),
        (32, "integer", {"WavPack"}),
        (32, "float32", {"WavPack"}),
        (64, "float64", set()),
        (12, "integer", set()),
    ],
)
def test_sound_codecs_are_lossless_over_their_range_and_know_their_limits(
    channels, bits, encoding, names
):
    random = np.random.default_rng(0)
    if encoding == "float32":
        values = random.normal(0, 0.3, 9000).astype(np.float32)
        values[:4] = [-0.0, 1.5, -3e-40, 1e30]
        samples = values.view(np.uint32)
    else:
        samples = random.integers(0, 2**bits, 9000, dtype=np.uint64, endpoint=False)
        samples[:4] = [0, 1, 2 ** (bits - 1), 2**bits - 1]
    samples = samples.astype(sample_dtype(bits)).reshape(-1, channels)
    found = sound_codecs(samples.shape, bits, encoding)
    assert set(found) == names
    for name, codec in found.items():
        decoded = codec.decode(codec.encode(samples))
        assert np.array_equal(decoded, samples), name
    assert "WavPack" not in sound_codecs((99, 3), bits, encoding)


def test_coin_learns_and_its_code_is_its_weights_in_half_precision(tmp_path):
    x = np.linspace(0, 255, 16)
    smooth = np.stack([np.add.outer(x, x) / 2] * 3, -1).astype(np.uint8)
    signal = Signal(name="mine/x/smooth", samples=smooth, bits=8, kind="photo")
    raw, told = given(tmp_path, signal)
    code, back = tmp_path / "code", tmp_path / "back"
    program, errors = [sys.executable, PROGRAMS / "coin.py"], []
    for iterations in (1, 200):
        subprocess.run([*program, "encode", raw, told, code, str(iterations)], check=True)
        subprocess.run([*program, "decode", code, told, back], check=True)
        decoded = np.fromfile(back, np.uint8).astype(float)
        errors.append(np.mean((decoded - smooth.reshape(-1)) ** 2))
    assert errors[1] < errors[0] / 4
    layers = [2, 20, 20, 20, 20, 20, 3]
    weights = sum((a + 1) * b for a, b in itertools.pairwise(layers))
    assert code.stat().st_size == 2 * weights


def test_weights_are_counted_without_the_header_of_their_file(tmp_path):
    from safetensors.numpy import save_file

    save_file({"a": np.zeros((10, 7), np.float32), "b": np.ones(3, np.float32)}, tmp_path / "w")
    raw, coded = weights_size(tmp_path / "w")
    assert raw == 4 * 73 and coded < 100
    assert weights_size(tmp_path / "none") is None
