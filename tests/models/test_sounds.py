"""Sounds of every kind through `fit` and `decode`, and those that are refused."""

import struct

import numpy as np
import pytest
import soundfile
import tifffile
from test_commands import DECODE, OPTIONS, refusal

from lossless_inr.models import command, files

RATE = 11_025


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch):
    monkeypatch.setattr(command, "in_fresh_process", lambda f, *arguments: f(*arguments))


def wave(samples=60, channels=1):
    time = np.arange(samples * channels).reshape(samples, channels)
    noise = np.random.default_rng(0).normal(0, 0.05, time.shape)
    return 0.6 * np.sin(time / 3) + noise


def odd_floats(kind):
    """Floats that arithmetic, or a comparison of values, would not bring back."""
    values = wave()[:, 0].astype(kind)
    tiny = np.finfo(kind).smallest_subnormal
    values[:6] = [-0.0, np.inf, -np.inf, tiny, -tiny, np.nan]
    words = values.view(f"u{values.itemsize}")
    words[6] = words[5] ^ 5  # another payload
    words[7] = (words[5] >> 1) & words[5] | 3  # a signalling one, whatever its sign
    return values[:, None]


SOUNDS = {
    "u8.wav": ("PCM_U8", wave()),
    "s8.flac": ("PCM_S8", wave()),
    "i16.wav": ("PCM_16", wave()),
    "i24.flac": ("PCM_24", wave(40, 2)),
    "i32.wav": ("PCM_32", wave()),
    "five.wav": ("PCM_16", wave(20, 5)),
    "float.wav": ("FLOAT", odd_floats(np.float32)),
    "double.wav": ("DOUBLE", odd_floats(np.float64)),
    "silence.wav": ("PCM_16", np.zeros((80, 1))),
    "dc.wav": ("PCM_24", np.full((80, 1), 0.25)),
    "square.wav": ("PCM_16", np.where(np.arange(80)[:, None] // 9 % 2, 1.0, -1.0)),
    "one.wav": ("PCM_16", np.full((1, 1), 0.3)),
}


@pytest.mark.parametrize("name", SOUNDS)
def test_a_sound_comes_back_with_its_subtype_rate_and_channels(tmp_path, name):
    subtype, values = SOUNDS[name]
    source, again = tmp_path / name, tmp_path / f"again-{name}"
    soundfile.write(source, values, RATE, subtype=subtype)
    command.fit(source, tmp_path / "x.linr", **OPTIONS)
    command.decode(tmp_path / "x.linr", again, **DECODE)
    first, second = soundfile.info(source), soundfile.info(again)
    for fact in ("subtype", "samplerate", "channels", "frames", "format"):
        assert getattr(first, fact) == getattr(second, fact)
    for path in (source, again):
        assert command.verify(tmp_path / "x.linr", path)[0]
    given, back = files.read_source(source), files.read_source(again)
    np.testing.assert_array_equal(given.samples, back.samples)
    if subtype in ("FLOAT", "DOUBLE"):
        # What the file holds are these words, and not only what the reader made of them.
        np.testing.assert_array_equal(given.samples, files.words(values))
        assert command.info(tmp_path / "x.linr")["encoding"] == values.dtype.name


def test_another_payload_or_sign_of_zero_is_another_sound(tmp_path):
    values = odd_floats(np.float32)
    soundfile.write(tmp_path / "a.wav", values, RATE, subtype="FLOAT")
    command.fit(tmp_path / "a.wav", tmp_path / "a.linr", **OPTIONS)
    for place in (0, 6):
        other = values.copy()
        other.view(np.uint32)[place] ^= np.uint32(2**31 if place == 0 else 1)
        soundfile.write(tmp_path / "b.wav", other, RATE, subtype="FLOAT")
        same, line = command.verify(tmp_path / "a.linr", tmp_path / "b.wav")
        assert not same and line == "differs: 1 of 60 samples"
    soundfile.write(tmp_path / "c.wav", wave(), RATE, subtype="PCM_32")
    same, line = command.verify(tmp_path / "a.linr", tmp_path / "c.wav")
    assert not same and "holds 60 samples x 1 at 11025 Hz, float32" in line and "32 bit" in line


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("half.npy", np.float16([[0.1, -0.0], [np.nan, 7.0]])),
        ("double.npy", np.array([[0.1, -1e300]])),
        ("numbers.npy", np.array([[-(2**31), 2**31 - 1, 0]], np.int32)),
        ("map.tif", np.float32([[0.1, np.inf], [-3.0, 2.5]])),
    ],
)
def test_arrays_of_floats_and_of_32_bits_come_back(tmp_path, name, array):
    source = tmp_path / name
    if name.endswith("tif"):
        tifffile.imwrite(source, array)
    else:
        np.save(source, array)
    command.fit(source, tmp_path / "x.linr", **OPTIONS)
    command.decode(tmp_path / "x.linr", again := source.with_stem("again"), **DECODE)
    back = tifffile.imread(again) if name.endswith("tif") else np.load(again)[..., 0]
    assert back.dtype == array.dtype and back.tobytes() == array.tobytes()
    assert command.verify(tmp_path / "x.linr", source)[0]


@pytest.mark.parametrize(
    ("subtype", "out", "words"),
    [
        ("FLOAT", "x.flac", "cannot hold float32 samples; write .wav"),
        ("PCM_32", "x.flac", "cannot hold 32-bit samples; write .wav"),
        ("FLOAT", "x.png", "cannot hold an sound"),
    ],
)
def test_a_format_that_cannot_hold_it_is_named_with_one_that_can(tmp_path, subtype, out, words):
    soundfile.write(tmp_path / "a.wav", wave(9), RATE, subtype=subtype)
    command.fit(tmp_path / "a.wav", tmp_path / "a.linr", **OPTIONS)
    assert words in refusal(command.decode, tmp_path / "a.linr", tmp_path / out, **DECODE)


def damaged(folder):
    """Sounds that cannot be read, and what must be said of each."""
    for subtype in ("ULAW", "PCM_16"):
        soundfile.write(folder / f"{subtype}.wav", wave(), RATE, subtype=subtype)
    soundfile.write(folder / "none.wav", np.zeros((0, 1)), RATE, subtype="PCM_16")
    soundfile.write(folder / "good.flac", wave(), RATE, subtype="PCM_16")
    whole = (folder / "PCM_16.wav").read_bytes()
    rate, length = whole.index(b"fmt ") + 12, whole.index(b"data") + 4

    def patched(place, value):
        return whole[:place] + struct.pack("<I", value) + whole[place + 4 :]

    flac = bytearray((folder / "good.flac").read_bytes())
    flac[30] ^= 1  # of the MD5 in its header
    contents = {
        "rate0.wav": patched(rate, 0),
        "long.wav": patched(length, 200),
        "less.wav": patched(length, 10),
        "cut.wav": whole[:-20],
        "head.wav": whole[:12],
        "empty.wav": b"",
        "md5.flac": flac,
        "lies.flac": whole,
        "lies.wav": (folder / "good.flac").read_bytes(),
        "picture.wav": b"\x89PNG\r\n\x1a\n" + bytes(100),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return {
        "ULAW.wav": "ULAW audio, which is not linear",
        "none.wav": "it is empty",
        "rate0.wav": "a sampling rate of 0 Hz",
        "long.wav": "truncated (120 of 200 bytes of sound)",
        "less.wav": "is the length in its header wrong?",
        "cut.wav": "truncated (100 of 120 bytes of sound)",
        "head.wav": "no sound in it",
        "empty.wav": "truncated or damaged",
        "md5.flac": "do not match its MD5",
        "lies.flac": "its content is no FLAC",
        "lies.wav": "its content is no WAV",
        "picture.wav": "its content is no WAV",
    }


def test_a_damaged_sound_is_one_line_and_leaves_nothing(tmp_path):
    for name, words in damaged(tmp_path).items():
        line = refusal(command.fit, tmp_path / name, tmp_path / "x.linr", **OPTIONS)
        assert name in line and words in line, line
    assert not list(tmp_path.glob("x.linr*"))
