"""Rows of codecs: every one gives back what it takes, and the printed rates come back."""

import gzip
import io
import os
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import tifffile

from lossless_inr.codecs import Row, image_rows, mosaic, sizes, sound_rows
from lossless_inr.published import load_published

ROOT = Path(__file__).resolve().parents[2]
MIRROR = Path(os.environ.get("LOSSLESS_INR_MIRROR") or ROOT.parent / "shared/mirror")
DIGITS = MIRROR / "mnist/t10k-images-idx3-ubyte.gz"
ROWS = {row.name: row for row in image_rows()}
# Settings that made the rows of Table 6.
PRINTED = {
    "PNG, level 1, RLE (OpenCV's default)": "png",
    "JPEG 2000, box (Pillow)": "jpeg2000",
    "WebP lossless (Pillow's default)": "webp",
    "TIFF, LZW and predictor (OpenCV's default)": "tiff",
}


def photograph(channels, bits):
    colour = skimage.data.astronaut()[100:148, 100:160]
    grey = skimage.data.camera()[100:148, 100:160, None]
    found = np.concatenate([colour, grey], axis=2)[..., :channels] if channels > 2 else colour
    found = found[..., :channels]
    if bits <= 8:
        return np.ascontiguousarray(found >> (8 - bits))
    low = np.random.default_rng(1).integers(0, 2 ** (bits - 8), found.shape)
    return (found.astype(np.uint16) * 2 ** (bits - 8) + low).astype(np.uint16)


def pictures(channels, bits):
    """What codecs trip over: one pixel, one line, one colour, noise, nothing seen."""
    generator = np.random.default_rng(0)
    kind, top = np.uint8 if bits <= 8 else np.uint16, 2**bits - 1

    def noise(height, width):
        return generator.integers(0, top + 1, (height, width, channels)).astype(kind)

    yield "photograph", photograph(channels, bits)
    for height, width in ((17, 13), (1, 1), (1, 9), (9, 1), (28, 28)):
        yield f"noise {height}x{width}", noise(height, width)
    yield "all 0", np.zeros((28, 28, channels), kind)
    yield "all top", np.full((28, 28, channels), top, kind)
    hidden = noise(20, 20)
    hidden[..., -1] = 0  # colours under a transparent alpha
    yield "transparent", hidden
    opaque = noise(20, 20)
    opaque[..., -1] = np.iinfo(kind).max if bits in (8, 16) else top
    yield "opaque", opaque
    yield "not contiguous", noise(20, 40)[:, ::2]


@pytest.mark.parametrize("bits", [1, 8, 12, 16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("name", list(ROWS))
def test_what_a_row_takes_comes_back_exactly(name, channels, bits):
    row = ROWS[name]
    if not row.takes((20, 20, channels), bits):
        # Pillow has no 16-bit colours; WebP and AVIF hold 8 bits; JPEG-LS and WebP no grey + alpha.
        assert bits > 8 or channels == 2
        return
    for what, samples in pictures(channels, bits):
        found = row.decode(row.encode(samples), samples.shape)
        assert found.dtype == samples.dtype, what
        np.testing.assert_array_equal(found, samples, err_msg=what)


def test_every_picture_has_its_rows():
    count = {
        (channels, bits): sum(row.takes((9, 9, channels), bits) for row in ROWS.values())
        for channels in (1, 3) for bits in (8, 16)
    }  # fmt: skip
    assert count == {(1, 8): 21, (3, 8): 21, (1, 16): 17, (3, 16): 10}
    assert not any(row.takes((9, 9, 1), 17) or row.takes((9, 9, 5), 8) for row in ROWS.values())
    large = (20_000, 2, 3)
    assert not ROWS["WebP lossless, level 100"].takes(large, 8)
    assert ROWS["PNG, level 9"].takes(large, 8) and ROWS["raw samples, zstd 22"].takes(large, 8)


@pytest.mark.parametrize("row", [*image_rows(), *sound_rows(16)], ids=lambda row: row.name)
def test_a_row_says_what_made_it(row):
    outer, _, inner = row.version.partition(" (")
    assert all(part.isdigit() for part in outer.split(".")[:2])
    assert any(character.isdigit() for character in inner) and inner.endswith(")")
    assert row.settings and row.library in ("imagecodecs", "pillow", "tifffile", "soundfile")


def test_names_are_unique():
    assert len(ROWS) == len(image_rows())


@pytest.mark.parametrize(("channels", "rows"), [(1, 136), (3, 45)])
def test_tiff_is_laid_out_as_opencv_does(channels, rows):
    samples = np.zeros((300, 60, channels), np.uint8)
    code = ROWS["TIFF, LZW and predictor (OpenCV's default)"].encode(samples)
    with tifffile.TiffFile(io.BytesIO(code)) as file:
        tags = file.pages[0].tags
        assert {tag.code for tag in tags.values()} == {
            256, 257, 258, 259, 262, 273, 277, 278, 279, 284, 317, 339
        }  # fmt: skip
        # cv2.imencode wrote these: strips of whole rows of at most 8192 bytes.
        assert (tags[278].value, tags[259].value, tags[317].value) == (rows, 5, 2)


@pytest.mark.parametrize("bits", [8, 16, 24])
@pytest.mark.parametrize("channels", [1, 2, 8])
def test_sounds_come_back_and_the_strongest_level_is_no_longer(channels, bits):
    time = np.arange(6000)[:, None] + np.arange(channels) * 7
    wave = 0.5 * np.sin(time / 31) + 0.2 * np.sin(time / 7.3)
    noise = np.random.default_rng(0).normal(0, 0.01, wave.shape)
    kind = np.uint8 if bits == 8 else np.uint16 if bits == 16 else np.uint32
    samples = ((0.5 + 0.5 * (wave + noise).clip(-1, 1)) * (2**bits - 1)).astype(kind)
    usual, strongest = sound_rows(bits)
    lengths = []
    for row in (usual, strongest):
        assert row.takes(samples.shape, bits) and not row.takes((9, 9), bits)
        for one in (samples, samples[:1], np.zeros_like(samples)):
            found = row.decode(row.encode(one), one.shape)
            assert found.dtype == one.dtype
            np.testing.assert_array_equal(found, one)
        lengths.append(len(row.encode(samples)))
    assert lengths[1] <= lengths[0] < samples.size * bits / 8
    assert sound_rows(12) == []


# --- many signals -----------------------------------------------------------------------------


def test_a_mosaic_holds_every_image_once_in_a_near_square():
    images = [np.full((2, 6, 3), k, np.uint8) for k in range(1, 11)]
    found = mosaic(images)
    assert found.shape == (10, 12, 3)
    blocks = found.reshape(5, 2, 2, 6, 3).swapaxes(1, 2).reshape(10, 2, 6, 3)
    np.testing.assert_array_equal(blocks, images)
    assert mosaic(images[:1]).shape == (2, 6, 3)
    assert mosaic([np.zeros((28, 28, 1), np.uint8)] * 10_000).shape == (2800, 2800, 1)


@pytest.mark.parametrize("name", ["PNG, level 9", "raw samples, zstd 22", "JPEG XL, effort 7"])
def test_sizes_count_files_payload_and_one_stream(name):
    row, generator = ROWS[name], np.random.default_rng(0)
    images = [generator.integers(0, 8, (12, 12, 1)).astype(np.uint8) for _ in range(6)]
    images.append(np.zeros((12, 12, 1), np.uint8))
    found = sizes(row, images)
    assert found.files.tolist() == [len(row.encode(image)) for image in images]
    assert found.payload.tolist() == (found.files - found.files[-1]).tolist()
    assert found.payload[-1] == 0 and found.exact == 7 and found.together_exact
    whole = np.concatenate(images) if "raw" in name else mosaic(images)
    assert found.together == len(row.encode(whole)) < found.files.sum()
    assert found.how == ("concatenated" if "raw" in name else "1 mosaic")


def test_sizes_of_unlike_shapes_take_a_mosaic_each_and_sounds_stand_in_a_row():
    images = [np.zeros(shape, np.uint8) for shape in ((8, 4, 3), (4, 8, 3), (8, 4, 3))]
    found = sizes(ROWS["PNG, level 9"], images)
    assert found.how == "2 mosaics" and found.exact == 3
    assert sizes(ROWS["raw samples, zstd 22"], images).together_exact
    usual, _ = sound_rows(16)
    sounds = [np.full((k, 1), 40_000, np.uint16) for k in (500, 900)]
    found = sizes(usual, sounds, 16)
    assert found.how == "concatenated" and found.exact == 2 and found.together_exact


def test_a_mosaic_stays_below_the_largest_side():
    row = ROWS["PNG, level 9"]
    narrow = Row(**{**vars(row), "most_side": 40})
    found = sizes(narrow, [np.zeros((8, 8, 1), np.uint8)] * 30)
    assert found.how == "2 mosaics" and found.exact == 30


def test_a_codec_that_is_not_exact_is_counted_as_such():
    row = ROWS["PNG, level 9"]
    wrong = Row(**{**vars(row), "decode": lambda code, shape: row.decode(code, shape) ^ 1})
    found = sizes(wrong, [np.zeros((4, 4, 1), np.uint8)] * 2)
    assert found.exact == 0 and not found.together_exact


def test_what_a_row_does_not_take_is_refused():
    with pytest.raises(ValueError, match=r"WebP.* does not take \(4, 4, 1\) at 16 bits"):
        sizes(ROWS["WebP lossless, level 100"], [np.zeros((4, 4, 1), np.uint16)], 16)


# --- printed rates ----------------------------------------------------------------------------


@pytest.mark.skipif(not DIGITS.is_file(), reason="MNIST's test digits are not in the mirror")
@pytest.mark.parametrize("name", list(PRINTED))
def test_the_settings_that_made_table_6_give_its_rates(name):
    content = gzip.decompress(DIGITS.read_bytes())
    digits = np.frombuffer(content, np.uint8, offset=16).reshape(-1, 28, 28, 1)[::10]
    rates = 8 * np.array([len(ROWS[name].encode(digit)) for digit in digits]) / 784
    error = rates.std(ddof=1) / np.sqrt(len(rates))  # one digit in ten: all are within 0.05
    printed = load_published()["table6"]["mnist"][PRINTED[name]]
    assert abs(rates.mean() - printed) <= 0.05 + 2 * error < 0.11
