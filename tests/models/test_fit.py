"""Fits of whole signals: exact, the same however they are run, and never lost."""

import itertools
import math
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from noise import picture
from skimage import data

import lossless_inr
from lossless_inr.engine.loop import OutOfTime
from lossless_inr.errors import UserError
from lossless_inr.models import fitting, jobs, tiles
from lossless_inr.models import model as models
from lossless_inr.models.model import Model
from lossless_inr.signals.signal import samples_sha256

SETTINGS = [(1, torch.float32), (2, torch.float32), (1, torch.float64)]


def exact(model, samples):
    again = Model.from_bytes(model.to_bytes())
    for threads, dtype in SETTINGS:
        torch.set_num_threads(threads)
        np.testing.assert_array_equal(again.decode(dtype=dtype), samples)


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros((1, 1, 1), np.uint8),
        np.full((1, 1, 3), 255, np.uint8),
        np.full((30, 20, 3), 77, np.uint8),
        picture((9, 11, 1)),
        picture((9, 11, 2)),
        picture((8, 8, 4)),
        picture((5, 30, 3), bits=16),
        picture((3, 1, 3)),
    ],
    ids=lambda s: f"{s.shape}-{s.dtype}",
)
def test_any_image_comes_back(samples):
    model = lossless_inr.fit(samples, workers=1)
    assert (model.header.kind, tuple(model.header.shape)) == ("image", samples.shape)
    exact(model, samples)


@pytest.mark.parametrize("shape", [(1, 1), (40, 1), (30, 2), (700, 1)])
def test_any_sound_comes_back(shape):
    samples = picture(shape, bits=16)
    model = lossless_inr.fit(samples, kind="sound", signed=True, sample_rate=8000, workers=1)
    assert (model.header.sample_rate, model.header.signed) == (8000, True)
    exact(model, samples)


def test_an_image_without_channels_is_one_of_one_channel():
    samples = picture((6, 5, 1))
    assert lossless_inr.fit(samples[..., 0], workers=1).decode().shape == (6, 5, 1)


def test_fewer_bits_than_the_dtype_may_be_declared():
    samples = picture((6, 5, 1), bits=12)
    model = lossless_inr.fit(samples, bits=12, workers=1)
    assert model.header.bits == 12
    exact(model, samples)


@pytest.mark.parametrize(
    ("samples", "options", "words"),
    [
        (np.zeros((4, 4, 3), np.float32), {"bits": 16}, "float32"),
        (np.zeros((4, 4, 3), np.float32), {"signed": True}, "float32"),
        (np.zeros((4, 4, 3), np.longdouble), {}, "float128"),
        (np.zeros((4, 4, 3), np.int16), {}, "int16"),
        (np.zeros((4, 4, 3), np.uint64), {}, "64 bits"),
        (np.zeros((0, 4, 3), np.uint8), {}, "shape (0, 4, 3)"),
        (np.zeros(4, np.uint8), {}, "shape (4,)"),
        (np.full((4, 4, 3), 9, np.uint8), {"bits": 3}, "value 9"),
        (np.zeros((4, 4, 3), np.uint8), {"recipe": "fats"}, "'fast'"),
        (np.zeros((4, 4, 3), np.uint8), {"recipe": "tuned"}, "bithead"),
        (np.zeros((4, 4, 3), np.uint8), {"kind": "film"}, "'film'"),
        (np.zeros((4, 4, 3), np.uint8), {"tile": 0}, "tile: 0"),
    ],
    ids=lambda value: "",
)
def test_what_cannot_be_fitted_is_refused_in_one_line(samples, options, words):
    with pytest.raises(UserError) as caught:
        lossless_inr.fit(samples, workers=1, **options)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_a_model_is_the_same_bytes_from_one_process_and_from_two(monkeypatch):
    monkeypatch.setattr(fitting, "FEW_TASKS", 0)
    samples = picture((20, 20, 3))
    one, two = (lossless_inr.fit(samples, tile=5, workers=n).to_bytes() for n in (1, 2))
    assert one == two


def test_stored_weights_keep_their_distance_and_margins_are_told(small):
    _, model = small
    smallest = math.inf
    for number, rows in model._batches(set(range(model.tiling.tiles))):
        network, form = model._network(
            number, model.tiling.tile_shape(model.header.groups[number].tiles[rows[0]])
        )
        for row in rows:
            stored = {n: t[row] for n, t in model.weights[number].items()}
            network.load_state_dict(tiles.unpack(stored))
            smallest = min(smallest, tiles.evaluate(network, form)[1])
    assert smallest == pytest.approx(model.header.margin, rel=1e-3)
    assert smallest >= jobs.STORED_MARGIN


def test_a_region_is_that_part_of_the_whole(small):
    samples, model = small
    for region in (
        (slice(0, 12), slice(0, 10)),
        (slice(5, 8), slice(4, 6)),
        (slice(11, 12),) * 1 + (slice(0, 1),),
    ):
        np.testing.assert_array_equal(model.decode(region), samples[region])
    for region in ((slice(0, 13), slice(0, 1)), (slice(3, 3), slice(0, 1)), (slice(0, 2),)):
        with pytest.raises(UserError, match="region"):
            model.decode(region)


def test_a_region_needs_only_its_own_tiles(small):
    samples, model = small
    spoilt = Model(model.header, [dict(group) for group in model.weights])
    tiling = model.tiling
    for number, group in enumerate(model.header.groups):
        for row, tile in enumerate(group.tiles):
            if tile != 0:
                for name, tensor in spoilt.weights[number].items():
                    spoilt.weights[number][name] = tensor = tensor.clone()
                    tensor[row] = 0
    np.testing.assert_array_equal(spoilt.decode(tiling.region(0)), samples[tiling.region(0)])
    with pytest.raises(UserError, match="does not decode to what was fitted"):
        spoilt.decode()


def test_leading_planes_are_the_samples_with_the_others_zero(small):
    samples, model = small
    for planes in (1, 3, 8):
        np.testing.assert_array_equal(
            model.decode(planes=planes), samples >> (8 - planes) << (8 - planes)
        )
    with pytest.raises(UserError, match="planes: 9"):
        model.decode(planes=9)


def test_the_end_of_the_budget_keeps_finished_tiles_and_the_same_call_goes_on(tmp_path):
    samples = picture((40, 40, 3))
    options = {"tile": 10, "workers": 1, "keep": tmp_path / "state"}
    fitted = []

    def stop_after_two(state):
        fitted.append(state.done)
        if state.done >= 2:
            raise OutOfTime("enough")

    with pytest.raises(OutOfTime):
        lossless_inr.fit(samples, progress=stop_after_two, **options)
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "state").rglob("*.tiles")}
    assert before
    with pytest.raises(OutOfTime):
        lossless_inr.fit(samples, budget=1e-9, **options)
    starts = []
    model = lossless_inr.fit(samples, progress=lambda state: starts.append(state.before), **options)
    assert set(starts) == {max(fitted)}
    assert all(path.stat().st_mtime_ns == written for path, written in before.items())
    exact(model, samples)


def test_damaged_tiles_are_fitted_again_and_those_of_other_settings_left_alone(tmp_path):
    samples = picture((20, 10, 3))
    options = {"tile": 10, "workers": 1, "keep": tmp_path / "state"}
    first = lossless_inr.fit(samples, **options)
    (path,) = (tmp_path / "state").rglob("*.tiles")
    content = bytearray(path.read_bytes())
    for damaged in (content[:-5], content[:-9] + bytes([content[-9] ^ 1]) + content[-8:], b""):
        path.write_bytes(damaged)
        again = lossless_inr.fit(samples, **options)
        assert again.to_bytes() == first.to_bytes()
        assert path.read_bytes() == content
    for change in ({"samples": samples ^ 1}, {"margin": 2.0}, {"seed": 1}):
        arguments = {"samples": samples} | options | change
        exact(lossless_inr.fit(**arguments), arguments["samples"])
    assert len(list((tmp_path / "state").iterdir())) == 4
    assert path.read_bytes() == content


def test_a_killed_fit_goes_on_from_its_finished_tiles(tmp_path):
    np.save(tmp_path / "noise.npy", picture((64, 64, 3)))
    command = [sys.executable, "-m", "lossless_inr.cli", "fit", "noise.npy", "-o", "n.linr"]
    command += ["--tile", "8", "--workers", "2"]
    process = subprocess.Popen(command, cwd=tmp_path, start_new_session=True)
    state = tmp_path / "n.linr.state"
    deadline = time.monotonic() + 120
    while not len(list(state.rglob("*.tiles"))) >= 2:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    kept = {p: p.stat().st_mtime_ns for p in state.rglob("*.tiles")}
    assert not (tmp_path / "n.linr").exists()
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("lossless, verified: 64x64x3, 8 bit;")
    assert kept and not state.exists()
    np.testing.assert_array_equal(
        Model.load(tmp_path / "n.linr").decode(), np.load(tmp_path / "noise.npy")
    )


def test_a_tile_that_stays_wrong_is_named_with_what_to_change(monkeypatch):
    monkeypatch.setattr(jobs, "ITERATIONS", 2)
    with pytest.raises(UserError) as caught:
        lossless_inr.fit(picture((8, 8, 3)), workers=1)
    line = str(caught.value)
    assert "tile 0 (0:8 x 0:8) was not lossless after 2 updates" in line and "--tile" in line


def test_a_tile_that_a_small_network_cannot_hold_gets_a_wider_one(monkeypatch):
    monkeypatch.setattr(jobs.Job, "width", 8)
    monkeypatch.setattr(jobs, "ITERATIONS", 300)
    samples = picture((8, 8, 3))
    model = lossless_inr.fit(samples, workers=1)
    assert model.header.groups[0].width > 8
    exact(model, samples)


def test_the_smallest_network_is_smaller_and_as_exact(monkeypatch):
    monkeypatch.setattr(jobs, "SMALLEST", (0.5, 0.75, *jobs.FACTORS))
    samples = picture((14, 14, 3))
    usual = lossless_inr.fit(samples, workers=1)
    small = lossless_inr.fit(samples, workers=1, smallest=True)
    assert small.parameters < usual.parameters
    assert small.header.margin >= jobs.STORED_MARGIN
    exact(small, samples)


def test_attempts_repeat_the_usual_width_once_from_other_weights():
    def job(factors):
        return jobs.Job(
            (16, 16, 3), 8, 16, "fast", jobs.recipes()["fast"], 1.0, 3, "0",
            factors=factors,
        )  # fmt: skip

    assert list(job(jobs.FACTORS).attempts()) == [
        (32, 3), (32, 1003), (48, 3), (64, 3), (96, 3),
    ]  # fmt: skip
    widths = [width for width, _ in job(jobs.SMALLEST).attempts()]
    assert widths == [16, 20, 24, 28, 32, 32, 48, 64, 96]


def test_weights_of_eight_bits_are_repaired_where_rounding_alone_is_not_exact(monkeypatch):
    # Rows of a photograph: noise needs all that its weights can hold.
    samples = data.astronaut()[100:116, 200:232]
    plain = lossless_inr.fit(samples, workers=1)
    monkeypatch.setattr(jobs, "SMALLEST", jobs.FACTORS)
    repaired = lossless_inr.fit(samples, workers=1, smallest=True)
    storages = [{g.storage: len(g.tiles) for g in m.header.groups} for m in (plain, repaired)]
    assert storages[1].get("int8", 0) > storages[0].get("int8", 0)
    assert repaired.header.margin >= jobs.STORED_MARGIN
    exact(repaired, samples)


def kinds_of_signals():
    """Twenty signals: photographs, noise, ramps and sounds of several depths."""
    coffee = data.coffee()
    for k in range(8):
        yield coffee[20 * k : 20 * k + 12, 30 * k : 30 * k + 17], "image", 8
    for k in range(4):
        yield picture((9 + k, 11, 1 + k % 4), bits=16, seed=k), "image", 16
    ramp = np.arange(300, dtype=np.uint16)
    for k in range(4):
        yield (ramp * (k + 1) % 4096).reshape(15, 20, 1), "image", 12
    for k in range(4):
        wave = 2**22 * np.sin(np.arange(150 + k) / (3 + k)) + 2**23
        yield wave.astype(np.uint32)[:, None], "sound", 24


def test_twenty_models_decode_to_the_same_samples_under_every_setting(monkeypatch):
    digests = []
    for samples, kind, bits in kinds_of_signals():
        made = lossless_inr.fit(samples, kind=kind, bits=bits, tile=10, workers=1)
        again = Model.from_bytes(made.to_bytes())
        found = set()
        for (threads, dtype), rows, together in itertools.product(SETTINGS, (7, 16384), (1, 32)):
            torch.set_num_threads(threads)
            monkeypatch.setattr(models, "SLICE_ROWS", rows)
            monkeypatch.setattr(models, "TILES_AT_ONCE", together)
            found.add(samples_sha256(again.decode(dtype=dtype), bits))
        assert found == {samples_sha256(samples, bits)}
        digests.append(found.pop())
    assert len(set(digests)) == 20
