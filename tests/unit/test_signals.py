import dataclasses
import gzip
import json
import warnings
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
import soundfile
import tifffile
import torch
from PIL import Image
from tiny import ROOT, random_samples, refusal, signal_of

from lossless_inr.datasets.catalog import Catalog
from lossless_inr.signals import Signal, plane_statistics, readers, resample, samples_sha256

CATALOG = Catalog(ROOT / "config/datasets.tsv", ROOT)
QUICK_SIGNALS = {  # name: (sha256 of the prepared samples, informative planes)
    "skimage/32x32/astronaut": (
        "8a9b7b63c2b70c259a31d591ca67999df72e6df2f8c1387bea87e58c2bb3f284",
        8,
    ),
    "skimage/32x32/coffee": (
        "e2e37f0c9338dfafb769760fa2c05332509057a7b914224a9e12d7c1d8a10650",
        8,
    ),
    "skimage16/32x32/chelsea": (
        "0c5129caa31fdd52b86cd612cf721747c2d494a92297280933db0e38df55c717",
        16,
    ),
    "pydicom/32x32/ct": (
        "fbef365935d776be113f9bd83221af1ed0e2caebe91c80a6871ae11d9a8d73f9",
        12,
    ),
    "pydicom/32x32/mr": (
        "508f26dbffac19ced43e7f679b641e1cec39fff9b75c6557a6aef07255d1b6d3",
        11,
    ),
    "chime/3072/warning": (
        "f8274fcefe2b46ae8b073c55399966a7edbf89c82790cd24b0b850febc8eb2c5",
        15,
    ),
}


def torch_resized(samples, height, width):
    values = torch.as_tensor(samples.astype(np.float64)).permute(2, 0, 1)[None]
    resized = torch.nn.functional.interpolate(
        values, (height, width), mode="bilinear", align_corners=False, antialias=True
    )
    return resized[0].permute(1, 2, 0).numpy()


# --- resampling ---------------------------------------------------------------------------

SIZES = [((17, 23), (5, 7)), ((31, 9), (8, 9)), ((13, 13), (1, 1)), ((64, 40), (32, 39))]


@pytest.mark.parametrize(("old", "new"), SIZES)
def test_resized_means_equal_those_of_torch_antialiased_bilinear(old, new):
    samples = random_samples((*old, 3), 8)
    values = resample._resize_axis(samples.astype(np.float64).swapaxes(0, 1), new[1])
    values = resample._resize_axis(values.swapaxes(0, 1), new[0])
    np.testing.assert_allclose(values, torch_resized(samples, *new), rtol=0, atol=1e-9)


@pytest.mark.parametrize(("old", "new"), SIZES)
@pytest.mark.parametrize(("from_bits", "to_bits"), [(8, 8), (8, 16), (16, 8), (16, 16)])
def test_downsampled_integers_are_within_one_step_of_torch(old, new, from_bits, to_bits):
    samples = random_samples((*old, 3), from_bits)
    top = 2**to_bits - 1
    expected = np.rint(torch_resized(samples, *new) / (2**from_bits - 1) * top)
    result = resample.downsample(samples, *new, from_bits=from_bits, to_bits=to_bits)
    assert result.shape == (*new, 3)
    assert np.abs(result - expected).max() <= 1
    assert np.mean(result != expected) < 0.01  # only ties may fall to the other side
    assert result.min() >= 0 and result.max() <= top


def test_downsampling_to_the_size_at_hand_changes_nothing():
    samples = random_samples((7, 9, 3), 16)
    result = resample.downsample(samples, 7, 9, from_bits=16, to_bits=16)
    np.testing.assert_array_equal(result, samples)


@pytest.mark.parametrize(("value", "expected"), [(0, 0), (1, 257), (200, 51_400), (255, 65_535)])
def test_constant_images_stay_constant(value, expected):
    samples = np.full((17, 13, 3), value, dtype=np.uint8)
    result = resample.downsample(samples, 4, 5, from_bits=8, to_bits=16)
    np.testing.assert_array_equal(result, np.full((4, 5, 3), expected))


@pytest.mark.parametrize("size", [(9, 8), (8, 9), (100, 100)])
def test_enlarging_is_refused(size):
    samples = random_samples((8, 8, 1), 8)
    line = refusal(resample.downsample, samples, *size, from_bits=8, to_bits=8)
    assert "cannot enlarge 8x8" in line


@pytest.mark.parametrize(
    ("shape", "top", "left"),
    # Half-way offsets round to even, as in the published pipeline: 2.5 -> 2, 1.5 -> 2.
    [((4, 9), 0, 2), ((4, 7), 0, 2), ((9, 4), 2, 0), ((4, 6), 0, 1), ((5, 5), 0, 0)],
)
def test_centre_square_cuts_at_the_rounded_offset(shape, top, left):
    samples = np.arange(shape[0] * shape[1]).reshape(*shape, 1)
    side = min(shape)
    expected = samples[top : top + side, left : left + side]
    np.testing.assert_array_equal(resample.centre_square(samples), expected)


@pytest.mark.parametrize(("offset", "start"), [(None, (2, 3)), ((0, 0), (0, 0)), ((5, 6), (5, 6))])
def test_crop_cuts_at_the_offset_or_in_the_centre(offset, start):
    samples = np.arange(8 * 9).reshape(8, 9, 1)
    expected = samples[start[0] : start[0] + 3, start[1] : start[1] + 3]
    np.testing.assert_array_equal(resample.crop(samples, (3, 3), offset), expected)


def test_crop_outside_the_signal_is_refused():
    line = refusal(resample.crop, np.zeros((8, 8, 1)), (3, 3), (0, 6))
    assert "window of 3 at 6" in line


# --- plane statistics ---------------------------------------------------------------------


def test_plane_statistics_of_full_depth_noise():
    facts = plane_statistics(random_samples((64, 64, 1), 16), 16)
    assert facts["informative_planes"] == 16
    assert min(facts["plane_entropy"]) > 0.99
    assert facts["low_byte_repeats"] == pytest.approx(1 / 256, abs=0.005)


def test_plane_statistics_find_8_bit_content_padded_with_zeros():
    samples = random_samples((32, 32, 1), 8).astype(np.uint16) << 8
    facts = plane_statistics(samples, 16)
    assert facts["informative_planes"] == 8
    assert facts["plane_entropy"][:8] == [0.0] * 8
    assert min(facts["plane_entropy"][8:]) > 0.9
    assert facts["distinct_values"] == np.unique(samples).size


def test_plane_statistics_find_a_low_byte_that_repeats_the_high_byte():
    facts = plane_statistics(random_samples((32, 32, 1), 8).astype(np.uint16) * 257, 16)
    assert facts["informative_planes"] == 8
    assert facts["low_byte_repeats"] == 1.0


def test_plane_statistics_do_not_count_a_complement_of_a_higher_plane():
    high = random_samples((50, 1), 1)
    facts = plane_statistics((high << 1) | (1 - high), 2)
    assert facts["informative_planes"] == 1
    assert min(facts["plane_entropy"]) > 0


@pytest.mark.parametrize("bits", [1, 8, 15])
def test_low_byte_repeats_is_undefined_below_16_bits(bits):
    assert plane_statistics(random_samples((9, 1), bits), bits)["low_byte_repeats"] is None


# --- the signal ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"samples": np.zeros((2, 2, 1), np.int64)}, "int64"),
        ({"samples": np.zeros((2, 2, 1), np.float32)}, "float32"),
        ({"samples": np.zeros((2, 2), np.uint8)}, "(height, width, channels)"),
        ({"samples": np.zeros((2, 2, 1), np.uint8), "kind": "audio"}, "(samples, channels)"),
        ({"samples": np.zeros((0, 2, 1), np.uint8)}, "empty"),
        ({"samples": np.full((2, 2, 1), 16, np.uint8), "bits": 4}, "value 16 but bits=4"),
        ({"samples": np.full((2, 2, 1), 256, np.uint16)}, "value 256 but bits=8"),
        ({"bits": 0}, "bits=0"),
        ({"bits": 65}, "bits=65"),
        ({"encoding": "float32"}, "float32"),
        ({"encoding": "float16"}, "float16"),
        ({"kind": "video"}, "video"),
    ],
)
def test_a_contradictory_signal_is_refused_with_its_name(changes, words):
    good = {
        "name": "a/2x2/b",
        "samples": np.zeros((2, 2, 1), np.uint8),
        "bits": 8,
        "kind": "photo",
    }
    assert Signal(**good).bits == 8
    line = refusal(Signal, **good | changes)
    assert "'a/2x2/b'" in line and words in line


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1), (4, 5, 3), (7, 2)])
@pytest.mark.parametrize("bits", [1, 8, 16])
def test_constant_and_one_sample_signals_are_valid_and_hold_no_information(shape, bits):
    for value in (0, 2**bits - 1):
        samples = np.full(shape, value, np.uint8 if bits <= 8 else np.uint16)
        facts = signal_of(samples, bits).metadata()
        assert facts["informative_planes"] == 0
        assert facts["distinct_values"] == 1
        assert facts["plane_entropy"] == [0.0] * bits


def test_digest_depends_on_values_shape_and_bits_but_not_on_memory_layout():
    samples = random_samples((4, 6, 1), 8)
    digest = samples_sha256(samples, 8)
    assert samples_sha256(np.asfortranarray(samples), 8) == digest
    assert samples_sha256(samples.astype(np.int64), 8) == digest
    assert samples_sha256(samples.astype(">u2"), 8) == digest
    others = [(samples.reshape(6, 4, 1), 8), (samples, 7), (samples, 9), (samples ^ 1, 8)]
    assert len({digest, *(samples_sha256(*other) for other in others)}) == 5


@pytest.mark.parametrize(("shape", "bits"), [((3, 4, 3), 8), ((3, 4, 1), 12), ((9, 2), 16)])
def test_saved_signals_load_as_they_were(tmp_path, shape, bits):
    signal = dataclasses.replace(
        signal_of(random_samples(shape, bits), bits),
        title="Äpfel & <b>",
        source="file:a",
        licence="MIT",
        citation="a 'b' \"c\"",
    )
    signal.save(tmp_path / "set/size/name.npz")
    again = Signal.load(tmp_path / "set/size/name.npz")
    np.testing.assert_array_equal(again.samples, signal.samples)
    assert again.samples.dtype == signal.samples.dtype
    assert again.metadata() == signal.metadata()
    assert [p.name for p in (tmp_path / "set/size").iterdir()] == ["name.npz"]


def tamper(path, samples=None, drop=(), **changes):
    with np.load(path) as archive:
        stored, metadata = archive["samples"], json.loads(str(archive["metadata"]))
    metadata = {k: v for k, v in (metadata | changes).items() if k not in drop}
    samples = stored if samples is None else samples
    np.savez(path, samples=samples, metadata=json.dumps(metadata))


@pytest.mark.parametrize(
    "changes",
    [
        {"samples": random_samples((4, 4, 1), 8, seed=1)},
        {"samples": random_samples((4, 4, 1), 8).reshape(2, 8, 1)},
        {"bits": 16},
        {"sha256": "0" * 64},
        {"drop": ("sha256",)},
        {"drop": ("bits",)},
    ],
    ids=["samples", "shape", "bits", "digest", "no digest", "no bits"],
)
def test_a_tampered_prepared_signal_is_refused(tmp_path, changes):
    path = tmp_path / "a.npz"
    signal_of(random_samples((4, 4, 1), 8), 8).save(path)
    tamper(path, **changes)
    assert str(path) in refusal(Signal.load, path)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_a_truncated_prepared_signal_is_refused(tmp_path, share):
    path = tmp_path / "a.npz"
    signal_of(random_samples((40, 40, 1), 8), 8).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    line = refusal(Signal.load, path)
    assert str(path) in line and "delete it" in line


def test_a_missing_prepared_signal_is_refused(tmp_path):
    assert "no such prepared signal" in refusal(Signal.load, tmp_path / "a.npz")


# --- readers ------------------------------------------------------------------------------


def write_png(path, mode, shape=(6, 5), bits=8):
    channels = {"L": (), "RGB": (3,), "RGBA": (4,), "LA": (2,), "P": (), "I;16": ()}[mode]
    samples = random_samples((*shape, *channels), bits)
    if mode == "P":
        Image.fromarray(random_samples((*shape, 3), 8)).quantize(16).save(path)
    else:
        Image.fromarray(samples).save(path)
    return samples


def dicom_source():
    return Path(pydicom.__file__).parent / "data/test_files/CT_small.dcm"


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("LA", 2), ("RGB", 3), ("RGBA", 4)])
def test_8_bit_png_are_read_exactly(tmp_path, mode, channels):
    samples = write_png(tmp_path / "a.png", mode)
    result, bits = readers.read(tmp_path / "a.png")
    assert bits == 8
    np.testing.assert_array_equal(result, samples.reshape(6, 5, channels))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_16_bit_png_are_read_exactly(tmp_path, channels):
    samples = random_samples((6, 5, channels), 16)
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(samples.squeeze()))
    result, bits = readers.read(tmp_path / "a.png")
    assert (bits, result.dtype) == (16, np.uint16)
    np.testing.assert_array_equal(result, samples)


def test_a_palette_png_is_read_as_its_indices(tmp_path):
    write_png(tmp_path / "a.png", "P")
    result, bits = readers.read(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        palette = np.array(image.getpalette()).reshape(-1, 3)
        rgb = np.asarray(image.convert("RGB"))
    assert (bits, result.shape) == (8, (6, 5, 1))
    np.testing.assert_array_equal(palette[result[..., 0]], rgb)


def test_a_png_of_one_bit_is_refused_by_name(tmp_path):
    Image.fromarray(random_samples((6, 5), 1).astype(bool)).save(tmp_path / "a.png")
    line = refusal(readers.read, tmp_path / "a.png")
    assert "1-bit grey" in line and "a.png" in line


@pytest.mark.parametrize("compression", [None, "deflate", "lzw"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize(("bits", "channels"), [(8, 1), (8, 3), (16, 1), (16, 3), (16, 4)])
def test_tiff_is_read_exactly(tmp_path, compression, planar, bits, channels):
    samples = random_samples((6, 5, channels), bits)
    stored = np.moveaxis(samples, -1, 0) if planar == "separate" and channels > 1 else samples
    tifffile.imwrite(
        tmp_path / "a.tif",
        stored.squeeze(),
        compression=compression,
        photometric="rgb" if channels > 1 else "minisblack",
        planarconfig=planar if channels > 1 else None,
    )
    result, found = readers.read(tmp_path / "a.tif")
    assert found == bits
    np.testing.assert_array_equal(result, samples)


def test_a_tiff_of_many_pages_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", random_samples((3, 6, 5), 8), photometric="minisblack")
    assert "3 pages" in refusal(readers.read, tmp_path / "a.tif")


@pytest.mark.parametrize("packed", [True, False])
def test_one_image_of_an_idx_file(tmp_path, packed):
    images = random_samples((4, 6, 5), 8)
    head = b"\0\0\x08\x03" + b"".join(n.to_bytes(4, "big") for n in images.shape)
    content = head + images.tobytes()
    path = tmp_path / "a-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(content) if packed else content)
    result, bits = readers.read(path, 2)
    assert bits == 8
    np.testing.assert_array_equal(result[..., 0], images[2])
    assert "no image 4" in refusal(readers.read, path, 4)
    assert "#<number>" in refusal(readers.read, path)
    path.write_bytes(gzip.compress(content[:-1]))
    assert "truncated (119 of 120" in refusal(readers.read, path, 0)
    path.write_bytes(gzip.compress(b"something else"))
    assert "not an IDX file" in refusal(readers.read, path, 0)


@pytest.mark.parametrize("channels", [1, 2])
def test_16_bit_wav_is_read_as_offset_binary(tmp_path, channels):
    pcm = np.array([-32768, 32767, 0, -1, 1, 12_345], dtype=np.int16).reshape(-1, channels)
    soundfile.write(tmp_path / "a.wav", pcm, 8000, subtype="PCM_16")
    samples, bits = readers.read(tmp_path / "a.wav")
    assert bits == 16
    assert samples.ravel().tolist() == [0, 65_535, 32_768, 32_767, 32_769, 45_113]
    np.testing.assert_array_equal(samples - 2**15, pcm)


@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
@pytest.mark.parametrize("bits", [16, 24])
def test_sound_of_16_and_24_bits_is_read_exactly(tmp_path, name, bits):
    top = 2 ** (bits - 1)
    pcm = np.array([-top, top - 1, 0, -1, 1, 12_345], dtype=np.int64).reshape(-1, 2)
    stored = (pcm << (32 - bits)).astype(np.int32)
    soundfile.write(tmp_path / name, stored, 8000, subtype=f"PCM_{bits}")
    samples, found = readers.read(tmp_path / name)
    assert found == bits
    np.testing.assert_array_equal(samples - top, pcm)


def test_float_sound_is_read_bit_for_bit(tmp_path):
    values = np.array([0.1, -1.5, 1e-30, -0.0], dtype=np.float32)
    soundfile.write(tmp_path / "a.wav", values, 8000, subtype="FLOAT")
    samples, bits = readers.read(tmp_path / "a.wav")
    assert (bits, samples.dtype, samples.shape) == (32, np.float32, (4, 1))
    np.testing.assert_array_equal(samples.view(np.uint32)[:, 0], values.view(np.uint32))


def test_truncated_flac_is_refused(tmp_path):
    noise = random_samples((20_000, 1), 16).astype(np.int16)
    soundfile.write(tmp_path / "a.flac", noise, 8000, subtype="PCM_16")
    whole = (tmp_path / "a.flac").read_bytes()
    (tmp_path / "a.flac").write_bytes(whole[: len(whole) // 2])
    assert "a.flac" in refusal(readers.read, tmp_path / "a.flac")


@pytest.mark.parametrize("subtype", ["ULAW", "ALAW", "IMA_ADPCM"])
def test_other_wav_kinds_are_refused_by_name(tmp_path, subtype):
    soundfile.write(tmp_path / "a.wav", np.zeros(9), 8000, subtype=subtype)
    assert subtype in refusal(readers.read, tmp_path / "a.wav")


def test_signed_dicom_is_read_as_offset_binary():
    samples, bits = readers.read(dicom_source())
    stored = pydicom.dcmread(dicom_source())
    assert (bits, stored.PixelRepresentation) == (16, 1)
    np.testing.assert_array_equal(samples[..., 0] - 2**15, stored.pixel_array)


@pytest.mark.parametrize(
    "changes",
    [
        {"NumberOfFrames": 2, "Rows": 64},
        {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0},
    ],
    ids=["frames", "colour"],
)
def test_dicom_of_several_frames_or_colours_is_refused(tmp_path, changes):
    data = pydicom.dcmread(dicom_source())
    data.update(changes)
    data.save_as(tmp_path / "a.dcm")
    assert "not a single monochrome slice" in refusal(readers.read, tmp_path / "a.dcm")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_npy_arrays_are_read_exactly(tmp_path, dtype):
    samples = np.arange(24).astype(dtype).reshape(2, 4, 3)
    np.save(tmp_path / "a.npy", samples)
    result, bits = readers.read(tmp_path / "a.npy")
    assert bits == np.dtype(dtype).itemsize * 8
    np.testing.assert_array_equal(result, samples)


@pytest.mark.parametrize("dtype", [np.int16, np.complex64, np.uint32])
def test_npy_arrays_of_another_type_are_refused(tmp_path, dtype):
    np.save(tmp_path / "a.npy", np.zeros((2, 2, 1), dtype))
    assert np.dtype(dtype).name in refusal(readers.read, tmp_path / "a.npy")


def complete_file(folder, suffix):
    path = folder / f"a{suffix}"
    if suffix == ".png":
        write_png(path, "RGB", (40, 40))
    elif suffix == ".wav":
        soundfile.write(path, np.arange(-500, 500, dtype=np.int16), 8000, subtype="PCM_16")
    elif suffix == ".npy":
        np.save(path, random_samples((20, 20, 1), 16))
    else:
        path.write_bytes(dicom_source().read_bytes())
    return path


@pytest.mark.parametrize("suffix", [".png", ".wav", ".dcm", ".npy"])
@pytest.mark.parametrize("share", [0.0, 0.005, 0.1, 0.5, 0.9])
def test_a_truncated_file_is_refused(tmp_path, suffix, share):
    path = complete_file(tmp_path, suffix)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom warns before it fails
        line = refusal(readers.read, path)
    assert path.name in line


@pytest.mark.parametrize("suffix", [".png", ".wav", ".dcm", ".npy"])
@pytest.mark.parametrize("missing", [1, 2, 12, 21, 40])
def test_a_file_without_its_last_bytes_is_refused_or_still_complete(tmp_path, suffix, missing):
    path = complete_file(tmp_path, suffix)
    complete, _ = readers.read(path)
    path.write_bytes(path.read_bytes()[:-missing])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            samples, _ = readers.read(path)
    except readers.UserError:
        return
    np.testing.assert_array_equal(samples, complete)


@pytest.mark.parametrize("suffix", sorted(readers.READERS))
def test_a_missing_file_and_a_file_of_noise_are_refused(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    assert "no such file" in refusal(readers.read, path)
    path.write_bytes(np.random.default_rng(0).bytes(3000))
    assert path.name in refusal(readers.read, path)


def test_an_unknown_file_type_is_refused_with_the_known_ones(tmp_path):
    (tmp_path / "a.bmp").write_bytes(b"II*")
    line = refusal(readers.read, tmp_path / "a.bmp")
    assert "a.bmp" in line and ".png" in line and ".wav" in line


# --- the dataset table --------------------------------------------------------------------

ROW = {
    "set": "mine",
    "name": "noise",
    "title": "Noise",
    "kind": "scan",
    "bits": "16",
    "source_bits": "16",
    "source_shape": "8x9x1",
    "source": "file:noise.npy",
    "sha256": "",
    "prepare": "crop",
    "offset": "",
    "licence": "CC0-1.0",
    "citation": "none",
}


def write_table(folder, *rows, columns=tuple(ROW)):
    lines = ["\t".join(columns), *("\t".join(row[c] for c in columns if c in row) for row in rows)]
    (folder / "table.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    np.save(folder / "noise.npy", random_samples((8, 9, 1), 16))
    return folder / "table.tsv"


def catalog_of(folder, **changes):
    return Catalog(write_table(folder, ROW | changes), folder)


def test_a_file_source_is_cropped_in_the_centre(tmp_path):
    signal = catalog_of(tmp_path).prepare("mine/4x5/noise")
    np.testing.assert_array_equal(signal.samples, random_samples((8, 9, 1), 16)[2:6, 2:7])
    assert (signal.bits, signal.kind, signal.title) == (16, "scan", "Noise")
    assert (signal.licence, signal.citation, signal.source) == ("CC0-1.0", "none", ROW["source"])


def test_a_crop_follows_the_offset_of_its_row(tmp_path):
    signal = catalog_of(tmp_path, offset="1,3").prepare("mine/4x5/noise")
    np.testing.assert_array_equal(signal.samples, random_samples((8, 9, 1), 16)[1:5, 3:8])


def test_an_unknown_column_is_refused_with_the_nearest_one(tmp_path):
    path = write_table(tmp_path, columns=[*ROW, "licens"])
    line = refusal(Catalog, path)
    assert "'licens'" in line and "'licence'" in line and "table.tsv" in line


@pytest.mark.parametrize("column", list(ROW))
def test_a_missing_column_is_refused_by_name(tmp_path, column):
    path = write_table(tmp_path, ROW, columns=[c for c in ROW if c != column])
    assert f"'{column}' is missing" in refusal(Catalog, path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"bits": "sixteen", "source_bits": "sixteen"}, "sixteen"),
        ({"bits": "25", "source_bits": "25"}, "bits='25'"),
        ({"bits": "0", "source_bits": "0"}, "bits='0'"),
        ({"bits": "-8", "source_bits": "-8"}, "bits='-8'"),
        ({"bits": "1e1", "source_bits": "1e1"}, "bits='1e1'"),
        ({"source_bits": "8"}, "bits exceeds source_bits"),
        ({"source_shape": "8x9"}, "source_shape='8x9'"),
        ({"source_shape": "8x0x1"}, "source_shape='0'"),
        ({"source_shape": "8x9xthree"}, "three"),
        ({"offset": "1;2"}, "offset='1;2'"),
        ({"offset": "-1,2"}, "offset='-1'"),
        ({"kind": "scann"}, "'scan'"),
        ({"prepare": "resiz"}, "'resize'"),
        ({"prepare": "resize"}, "never resized"),
        ({"kind": "audio"}, "source_shape"),
    ],
)
def test_a_bad_cell_is_refused_with_its_line(tmp_path, changes, words):
    line = refusal(catalog_of, tmp_path, **changes)
    assert "table.tsv, line 2" in line and words in line


@pytest.mark.parametrize("cells", [ROW | {"title": "a\tb"}, {"set": "a", "name": "b"}])
def test_a_row_with_more_or_fewer_cells_than_the_header_is_refused(tmp_path, cells):
    assert "line 2: the row has more or fewer cells" in refusal(
        Catalog, write_table(tmp_path, cells)
    )


def test_a_duplicate_row_is_refused(tmp_path):
    path = write_table(tmp_path, ROW, ROW | {"name": "other"}, ROW | {"title": "again"})
    assert "line 4: mine/noise is listed twice" in refusal(Catalog, path)


ODD_NAMES = ["", ".", "..", "a..b", ".a", "-a", "a b", "a*", "ä", "a/b", "a\\b", "a" * 101]
MARKUP_NAMES = ["{a}", "'a'", 'a"b', "</script>", "$(a)", "a\u202eb"]


@pytest.mark.parametrize("column", ["set", "name"])
@pytest.mark.parametrize("name", [*ODD_NAMES, *MARKUP_NAMES])
def test_a_name_that_is_no_plain_path_component_is_refused(tmp_path, column, name):
    line = refusal(catalog_of, tmp_path, **{column: name})
    assert "table.tsv, line 2" in line and "may hold only" in line


@pytest.mark.parametrize("name", ["a", "A1", "motorcycle_left", "x.y-z_0", "0"])
def test_plain_names_are_accepted(tmp_path, name):
    assert ("mine", name) in catalog_of(tmp_path, name=name).entries


def test_a_missing_table_and_a_table_of_another_encoding_are_refused(tmp_path):
    assert "no such dataset table" in refusal(Catalog, tmp_path / "none.tsv")
    (tmp_path / "latin.tsv").write_bytes("set\tnäme\n".encode("latin-1"))
    assert "not UTF-8" in refusal(Catalog, tmp_path / "latin.tsv")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"bits": "8", "source_bits": "8"}, "set source_bits to 16"),
        ({"source_shape": "8x8x1"}, "8x9x1"),
        ({"sha256": "0" * 64}, "sha256"),
        ({"source": "file:none.npy"}, "no such file"),
        ({"source": "package:no_such_package/a.npy"}, "not installed"),
        ({"source": "package:no.such.package/a.npy"}, "not installed"),
        ({"source": "https://example.org/a.npy"}, "neither"),
        ({"source": "file:"}, "neither"),
        ({"offset": "7,7"}, "leaves the signal"),
        ({"offset": "1"}, "offset"),
        ({"offset": "1,1,0"}, "offset"),
    ],
)
def test_a_source_that_contradicts_its_row_is_refused(tmp_path, changes, words):
    def prepare():
        catalog_of(tmp_path, **changes).prepare("mine/4x4/noise")

    assert words in refusal(prepare)


@pytest.mark.parametrize(
    ("signal", "words"),
    [
        ("mine/4x4/noies", "did you mean 'mine/4x4/noise'?"),
        ("mime/4x4/noise", "did you mean 'mine/4x4/noise'?"),
        ("noise", "set/size/name"),
        ("mine/noise", "set/size/name"),
        ("mine/4x4/noise/", "set/size/name"),
        (None, "set/size/name"),
        ("mine/16/noise", "size '16'"),
        ("mine/4x4x1/noise", "size '4x4x1'"),
        ("mine/0x4/noise", "size '0x4'"),
        ("mine/4X4/noise", "size '4X4'"),
        ("mine//noise", "size ''"),
        ("mine/9x9/noise", "larger than its source (8x9)"),
    ],
)
def test_an_unknown_or_impossible_signal_is_refused(tmp_path, signal, words):
    assert words in refusal(catalog_of(tmp_path).find, signal)


def test_a_photo_cannot_exceed_the_smaller_side_of_its_source(tmp_path):
    changes = {"kind": "photo", "prepare": "resize"}
    catalog = catalog_of(tmp_path, **changes)
    assert catalog.prepare("mine/8x8/noise").samples.shape == (8, 8, 1)
    assert "larger than its source (8x8)" in refusal(catalog.find, "mine/8x9/noise")


def test_bits_may_be_spread_by_averaging_a_photo(tmp_path):
    np.save(tmp_path / "bytes.npy", random_samples((8, 9, 1), 8))
    changes = {"kind": "photo", "prepare": "resize", "source_bits": "8"}
    catalog = catalog_of(tmp_path, source="file:bytes.npy", **changes)
    signal = catalog.prepare("mine/3x3/noise")
    square = resample.centre_square(random_samples((8, 9, 1), 8))
    expected = np.rint(torch_resized(square, 3, 3) * 257)
    assert signal.samples.dtype == np.uint16
    assert np.abs(signal.samples - expected).max() <= 1


# --- the signals that ship with the suite -------------------------------------------------


@pytest.mark.parametrize(
    "key",
    sorted(k for k, e in CATALOG.entries.items() if e.source.startswith("package:")),
    ids="/".join,
)
def test_every_row_of_an_installed_package_prepares(key):
    entry = CATALOG.entries[key]
    size = "3072" if entry.kind == "audio" else "32x32"
    signal = CATALOG.prepare(f"{entry.set}/{size}/{entry.name}")
    assert signal.samples.shape == entry.prepared_shape(size)
    assert signal.bits == entry.bits
    assert signal.metadata()["informative_planes"] >= 7
    assert entry.licence and entry.citation and entry.title


@pytest.mark.parametrize("name", sorted(QUICK_SIGNALS))
def test_the_quick_signals_are_the_pinned_integers(name):
    signal = CATALOG.prepare(name)
    assert (signal.sha256, signal.metadata()["informative_planes"]) == QUICK_SIGNALS[name]
