"""Files in bands of rows: the same picture, in little memory, and damage that stops at its band."""

import io
import subprocess
import sys
import tracemalloc
import zlib

import numpy as np
import pytest
import tifffile
from coder_made import random_network, refused, resealed, smooth
from PIL import Image

from lossless_inr.coder import container, layout
from lossless_inr.coder.command import Held, compress, decompress
from lossless_inr.coder.container import Reading, pack, shipped, unpack, write
from lossless_inr.coder.context import Band, Context, Sight
from lossless_inr.errors import UserError
from lossless_inr.models.files import write_rows

SIGHTS = [Sight(), Sight(window=True), Sight(neighbours=False), Sight(coordinates=False)]


@pytest.fixture
def small_bands(monkeypatch):
    monkeypatch.setattr(layout, "BAND", 500)


def written(samples, network, own=False, bits=8):
    file = io.BytesIO()
    parts = write(file, samples, bits, network, own=own)
    assert parts.file == len(file.getvalue())
    return file.getvalue()


def parts_of(content, samples, network_bytes=4):
    """The head, and each band's bytes."""
    height = samples.shape[1]
    rows = layout.band_rows(samples.shape)
    place = 7 + 3 + network_bytes
    found, bands = [content[:place]], -(-height // rows)
    for band in range(bands):
        if band == bands - 1:
            found.append(content[place:])
            break
        length = shift = 0
        end = place
        while True:
            length |= (content[end] & 127) << shift
            shift, end = shift + 7, end + 1
            if content[end - 1] < 128:
                break
        end += length + 8
        found.append(content[place:end])
        place = end
    return found


def sealed(parts):
    """Bands put together, with the checksums of bytes that are right for them."""
    content, check = parts[0], zlib.crc32(parts[0])
    for part in parts[1:]:
        check = zlib.crc32(part[:-4], check)
        content += part[:-4] + check.to_bytes(4, "little")
    return content


# --- the same picture -------------------------------------------------------------------------


@pytest.mark.parametrize("sight", SIGHTS)
def test_a_band_sees_what_the_whole_picture_would(sight):
    samples = smooth((2, 20, 9, 3), 8)
    whole = Context(samples.shape, 8, sight, samples)
    for top, count in ((0, 4), (1, 5), (2, 2), (7, 13)):
        above = samples[:, max(0, top - 3) : top]
        part = samples[:, top : top + count]
        band = Context(part.shape, 8, sight, part, Band(top, 20, above))
        image, row, column = (axis.ravel() for axis in np.indices((2, count, 9)))
        for channel in range(3):
            found = band.of_position(image, row, column, channel)
            expected = whole.of_position(image, row + top, column, channel)
            for one, other in zip(found, expected, strict=True):
                np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("bits", [1, 8, 12, 16])
@pytest.mark.parametrize("shape", [(1, 40, 21, 3), (1, 1, 700, 1), (1, 90, 1, 4), (3, 30, 11, 2)])
def test_bands_give_the_picture_back(small_bands, shape, bits):
    network = random_network(bits, shape[3], Sight())
    top = 2**bits
    for samples in (
        smooth(shape, bits),
        np.zeros(shape, smooth(shape, bits).dtype),
        np.random.default_rng(0).integers(0, top, shape).astype(smooth(shape, bits).dtype),
    ):
        content = written(samples, network, own=True, bits=bits)
        found, depth = unpack(content)
        assert depth == bits and found.dtype == samples.dtype
        np.testing.assert_array_equal(found, samples)


def test_bands_cost_only_their_ends(monkeypatch):
    samples = smooth((1, 64, 48, 3), 8)
    network = shipped()["photo"]
    whole = len(written(samples, network))
    for band in (5000, 1000, 300):
        monkeypatch.setattr(layout, "BAND", band)
        bands = -(-64 // layout.band_rows(samples.shape))
        more = len(written(samples, network)) - whole
        assert bands >= 2 and 0 < more <= 16 * (bands - 1)


def test_a_small_picture_has_no_length_and_one_pair_of_checksums():
    content, parts = pack(smooth((1, 28, 28, 1), 8), 8, shipped()["grey"], own=False)
    assert (parts.head, parts.network, parts.checks) == (10, 4, 8)
    assert parts.file == len(content)


@pytest.mark.parametrize(
    ("shape", "rows"),
    [
        ((1, 512, 768, 3), 256), ((1, 4000, 6000, 3), 58), ((1, 28, 28, 1), 28),
        ((10_000, 28, 28, 1), 3), ((1, 5, 10**7, 3), 1),
    ],
)  # fmt: skip
def test_bands_are_even_and_hold_a_million_samples_or_one_row(shape, rows):
    assert layout.band_rows(shape) == rows
    images, _, width, channels = shape
    assert images * rows * width * channels <= layout.BAND or rows == 1


def test_a_band_that_does_not_get_shorter_is_raw(small_bands):
    samples = smooth((1, 60, 20, 1), 8)
    samples[0, 20:40] = np.random.default_rng(0).integers(0, 256, (20, 20, 1))
    content = written(samples, shipped()["grey"])
    head, *bands = parts_of(content, samples)
    assert len(head) == 14 and len(bands) == 3
    assert len(bands[1]) == 2 + 400 + 8  # 400 samples, as they are
    assert samples[0, 20:40].tobytes() in bands[1] and len(bands[0]) < 380
    np.testing.assert_array_equal(unpack(content)[0], samples)


def test_rows_too_long_to_be_held_are_stored_raw_and_refused_coded(monkeypatch):
    samples, network = smooth((1, 6, 50, 1), 8), shipped()["grey"]
    content = written(samples, network)
    monkeypatch.setattr(container, "MOST_HELD", 100)
    raw = written(samples, network)
    assert content[4] == 1 and raw[4] == 0
    np.testing.assert_array_equal(unpack(raw)[0], samples)
    monkeypatch.setattr("lossless_inr.coder.reading.MOST_HELD", 100)
    refused("rows too long", unpack, content)


# --- as rows come -----------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".npy", ".tif", ".png"])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_pictures_are_written_as_their_rows_come(tmp_path, small_bands, suffix, bits, channels):
    samples = smooth((1, 50, 13, channels), bits)[0]
    np.save(tmp_path / "a.npy", samples)
    compress(tmp_path / "a.npy", tmp_path / "a.lic", updates=0)
    again = tmp_path / f"b{suffix}"
    decompress(tmp_path / "a.lic", again)
    if suffix == ".npy":
        found = np.load(again)
    else:
        from lossless_inr.models.files import read_source

        found = read_source(again).samples
    assert found.dtype == samples.dtype
    np.testing.assert_array_equal(found, samples)


@pytest.mark.parametrize("suffix", [".npy", ".tif"])
def test_only_the_last_rows_are_held(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr("lossless_inr.models.files.TIFF_STRIP", 16 * 80 * 3)
    written_by_row = []

    def rows():
        for k in range(20):
            partial = list(tmp_path.glob(".*.partial"))
            written_by_row.append(partial[0].stat().st_size if partial else 0)
            part = generator.integers(0, 256, (64, 80, 3)).astype(np.uint8)
            part[0] = k
            yield part

    generator = np.random.default_rng(0)
    write_rows(tmp_path / f"a{suffix}", rows(), (1280, 80, 3), Held(bits=8))
    assert written_by_row[-1] > written_by_row[2]  # the file grew while rows came
    found = np.load(tmp_path / "a.npy") if suffix == ".npy" else tifffile.imread(tmp_path / "a.tif")
    np.testing.assert_array_equal(found[::64, 0, 0], np.arange(20))


# --- damage -----------------------------------------------------------------------------------


@pytest.fixture
def banded(small_bands):
    samples = smooth((1, 30, 16, 3), 8)
    content = written(samples, shipped()["photo"])
    parts = parts_of(content, samples)
    assert len(parts) == 4 and sealed(parts) == content
    return samples, content, parts


def test_damage_stops_at_its_band(tmp_path, banded):
    samples, _, parts = banded
    rows = layout.band_rows(samples.shape)
    for band in range(3):
        spoilt = list(parts)
        middle = len(parts[band + 1]) // 2
        spoilt[band + 1] = (
            parts[band + 1][:middle]
            + bytes([parts[band + 1][middle] ^ 4])
            + parts[band + 1][middle + 1 :]
        )
        reading, found = Reading(io.BytesIO(b"".join(spoilt))), []
        with pytest.raises(UserError, match="damaged"):
            for one in reading.bands():
                found.append(one)
        assert len(found) == band
        if found:
            np.testing.assert_array_equal(np.concatenate(found, axis=1), samples[:, : band * rows])
        (tmp_path / "a.lic").write_bytes(b"".join(spoilt))
        for suffix in (".npy", ".tif", ".png"):
            output = tmp_path / f"b{suffix}"
            output.write_bytes(b"mine")
            refused("a.lic: damaged", decompress, tmp_path / "a.lic", output, force=True)
            assert output.read_bytes() == b"mine"
        assert sorted(path.name for path in tmp_path.iterdir()) == [
            "a.lic", "b.npy", "b.png", "b.tif"
        ]  # fmt: skip


def test_bands_out_of_place_are_refused_even_with_right_checksums(banded):
    samples, _, parts = banded
    swapped = [parts[0], parts[2], parts[1], parts[3]]
    twice = [*parts[:3], parts[2], parts[3]]
    missing = [*parts[:2], parts[3]]
    for wrong in (swapped, twice, missing):
        for content in (b"".join(wrong), sealed(wrong)):
            with pytest.raises(UserError):
                unpack(content)
    other = parts_of(written(255 - samples, shipped()["photo"]), samples)
    refused("damaged", unpack, b"".join([*parts[:2], *other[2:]]))


@pytest.mark.parametrize("own", [False, True])
def test_two_hundred_corruptions_are_found(monkeypatch, own):
    monkeypatch.setattr(layout, "BAND", 120)
    samples = smooth((1, 15, 8, 3), 8)
    network = random_network(8, 3, Sight()) if own else shipped()["photo"]
    content = written(samples, network, own=own)
    generator = np.random.default_rng(0)
    for k in range(200):
        spoilt = bytearray(content)
        for place in generator.choice(len(content), size=1 + k % 3, replace=False):
            spoilt[place] ^= int(generator.integers(1, 256))
        if k % 4 == 1:  # a piece is missing, or stands twice
            begin, end = sorted(generator.integers(len(content), size=2))
            spoilt[begin:end] = b"" if k % 8 == 1 else 2 * spoilt[begin:end]
        if bytes(spoilt) != content:
            with pytest.raises(UserError):
                unpack(bytes(spoilt))
    for length in range(0, len(content), 11):
        with pytest.raises(UserError):
            unpack(content[:length])
    with pytest.raises(UserError):
        unpack(content + b"\0")


@pytest.mark.parametrize("own", [False, True])
def test_two_hundred_lies_with_right_checksums_are_never_wrong_pixels(own):
    samples = smooth((1, 6, 6, 3), 8)
    network = random_network(8, 3, Sight()) if own else shipped()["photo"]
    content = written(samples, network, own=own)
    generator, refusals = np.random.default_rng(1), 0
    for _ in range(200):
        place = int(generator.integers(len(content) - 8))
        changes = {place: int(content[place] ^ generator.integers(1, 256))}
        try:
            found, _ = unpack(resealed(content, changes))
        except UserError:
            refusals += 1
        else:  # a weight that changes no probability, or the stream's last bits
            np.testing.assert_array_equal(found, samples)
    assert refusals > 20 if own else refusals > 190


def test_files_of_other_networks_name_them(tmp_path, monkeypatch):
    samples = smooth((1, 20, 20, 3), 8)
    content = written(samples, random_network(8, 3, Sight()))
    refused("does not have", unpack, content)
    (tmp_path / "a.lic").write_bytes(content)
    refused(
        "a.lic: it was made with the network", decompress, tmp_path / "a.lic", tmp_path / "b.png"
    )
    assert not (tmp_path / "b.png").exists()


LIES = """
import io, resource, sys, zlib
from lossless_inr.coder.reading import Reading
from lossless_inr.coder.layout import number
from lossless_inr.errors import UserError

before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
content = open(sys.argv[1], "rb").read()
sizes = [(1, 2**20, 2**20), (2**24, 1, 1), (2**22, 4, 4), (1, 1, 2**25), (1, 2**25, 1),
         (1, 2**12, 2**12), (2**10, 2**7, 2**7), (2**40, 2**40, 2**40), (0, 4, 4), (1, 4, 0)]
count = 0
for images, height, width in sizes:
    body = content[:7] + number(images) + number(height) + number(width) + content[10:-4]
    lying = body + zlib.crc32(body).to_bytes(4, "little")
    try:
        for band in Reading(io.BytesIO(lying)).bands():
            print("wrong pixels", band.shape)
    except UserError as error:
        count += 1
print(count, len(sizes), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_sizes_that_are_none_take_no_memory(tmp_path):
    samples = smooth((1, 100, 100, 1), 8)
    (tmp_path / "a.lic").write_bytes(written(samples, shipped()["grey"]))
    done = subprocess.run(
        [sys.executable, "-c", LIES, str(tmp_path / "a.lic")], capture_output=True, text=True,
        timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    count, cases, mebibytes = map(int, done.stdout.split())
    assert count == cases and mebibytes < 300


# --- memory -----------------------------------------------------------------------------------


def test_memory_does_not_grow_with_the_picture(tmp_path, monkeypatch):
    monkeypatch.setattr(layout, "BAND", 1 << 11)
    network, peaks = shipped()["grey"], []
    for height in (64, 64, 768):  # the first fills caches
        samples = smooth((1, height, 64, 1), 8)
        with open(tmp_path / "a.lic", "w+b") as file:
            tracemalloc.start()
            write(file, samples, 8, network, own=False)
            file.seek(0)
            count = sum(band.shape[1] for band in Reading(file).bands())
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        assert count == height
    # Held whole, the context alone of the taller picture has 45,000 bytes more.
    assert peaks[2] < peaks[1] + 15_000, peaks


def test_an_image_file_goes_through_many_bands(tmp_path, small_bands):
    samples = smooth((1, 50, 20, 3), 8)[0]
    Image.fromarray(samples).save(tmp_path / "a.png")
    line, parts = compress(tmp_path / "a.png", tmp_path / "a.lic")
    assert "decoded exactly" in line and (tmp_path / "a.lic").stat().st_size == parts.file
    assert parts.checks > 8 * 6
    decompress(tmp_path / "a.lic", tmp_path / "b.png")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "b.png")), samples)
