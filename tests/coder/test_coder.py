"""The exact coder: streams, integers, files, and what is no file."""

import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from coder_made import random_network, refused, resealed, smooth
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

from lossless_inr.cli import app
from lossless_inr.coder import codec, container
from lossless_inr.coder.command import compress, decompress
from lossless_inr.coder.container import pack, shipped, unpack
from lossless_inr.coder.context import LARGEST, Context, Sight
from lossless_inr.coder.network import IntegerNetwork, probabilities
from lossless_inr.coder.training import Trainable, train
from lossless_inr.errors import UserError

SIGHTS = [Sight(), Sight(window=True), Sight(neighbours=False), Sight(coordinates=False)]


# --- streams ----------------------------------------------------------------------------------


@pytest.mark.parametrize("sight", SIGHTS)
@pytest.mark.parametrize(
    ("shape", "bits"),
    [
        ((1, 1, 1, 1), 8),
        ((2, 7, 5, 3), 8),
        ((1, 9, 4, 4), 8),
        ((1, 6, 6, 1), 16),
        ((3, 2, 9, 1), 1),
    ],
)
def test_any_samples_come_back_whatever_the_network(shape, bits, sight):
    network = random_network(bits, shape[3], sight)
    for samples in (
        smooth(shape, bits),
        np.random.default_rng(1).integers(0, 2**bits, shape).astype(smooth(shape, bits).dtype),
        np.full(shape, 2**bits - 1, smooth(shape, bits).dtype),
    ):
        stream = codec.encode(samples, network)
        np.testing.assert_array_equal(codec.decode(stream, shape, network), samples)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 4), st.integers(0, 2**31))
def test_every_shape_comes_back(height, width, channels, seed):
    shape = (1, height, width, channels)
    samples = np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)
    network = random_network(8, channels, Sight(), seed=seed)
    stream = codec.encode(samples, network)
    np.testing.assert_array_equal(codec.decode(stream, shape, network), samples)


def test_wavefronts_hold_every_position_once_and_its_neighbours_before():
    for height, width in ((1, 1), (1, 7), (7, 1), (5, 4), (3, 9)):
        fronts = list(codec.wavefronts(height, width))
        turn = {}
        for t, (rows, columns) in enumerate(fronts):
            for place in zip(rows.tolist(), columns.tolist(), strict=True):
                assert place not in turn
                turn[place] = t
        assert len(turn) == height * width
        near = [(0, -1), (0, -2), (0, -3), (-1, -3), (-1, 0), (-1, 1), (-2, 3), (-3, 3)]
        for (row, column), t in turn.items():
            before = [turn.get((row + y, column + x)) for y, x in near]
            assert all(one < t for one in before if one is not None)


@pytest.mark.parametrize("sight", SIGHTS)
def test_what_is_not_known_yet_changes_no_feature(sight):
    samples = smooth((1, 8, 8, 3), 8)
    place = [np.array([one]) for one in (0, 4, 3)]
    whole = Context(samples.shape, 8, sight, samples)
    fronts = [(r, c) for rows, cs in codec.wavefronts(8, 8) for r, c in zip(rows, cs, strict=True)]
    later = [(r, c) for r, c in fronts if c + 2 * r >= 3 + 2 * 4]
    spoilt = samples.copy()
    for row, column in later:
        spoilt[0, row, column] = 255 - spoilt[0, row, column]
    spoilt[0, 4, 3, 0] = samples[0, 4, 3, 0]  # the channel before is known
    other = Context(samples.shape, 8, sight, spoilt)
    for found, expected in zip(
        other.of_position(*place, 1), whole.of_position(*place, 1), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


def test_a_stream_is_the_same_alone_and_beside_others():
    samples = smooth((6, 9, 7, 3), 8)
    network = random_network(8, 3, Sight())
    groups = np.split(samples, 3)
    together = codec.encode_apart(groups, network)
    assert together == [codec.encode(group, network) for group in groups]
    found = codec.decode_apart(together, (2, 9, 7, 3), network)
    np.testing.assert_array_equal(np.concatenate(found), samples)


def test_the_stream_is_as_long_as_the_probabilities_say():
    samples = smooth((1, 24, 24, 1), 8)
    network = random_network(8, 1, Sight())
    assert abs(8 * len(codec.encode(samples, network)) - codec.cost(samples, network)) < 64


# --- integers ---------------------------------------------------------------------------------


def test_probabilities_are_multiples_of_a_power_of_two_and_symmetric():
    table = probabilities()
    assert len(table) == 385 and table[192] == 0.5
    assert np.array_equal(table * 65536, np.round(table * 65536))
    assert 0 < table[0] < table[-1] < 1 and np.array_equal(table + table[::-1], np.ones(385))


def test_the_network_computes_integers_exactly_in_any_order():
    network = random_network(8, 3, Sight(window=True), width=256)
    features = np.random.default_rng(0).integers(-128, 128, (50, network.hidden[0].shape[1]))
    found = network.probability(features.astype(np.float32), 5)
    x = features.astype(object)  # Python's integers
    for k, (weight, bias) in enumerate(zip(network.hidden, network.biases, strict=True)):
        bias = bias[5] if k == 0 else bias
        z = x @ weight.T.astype(object) + bias.astype(object)
        x = np.clip(z // 64, 0, 255)
    z = x @ network.head[5].astype(object)
    index = np.clip((z + int(network.head_bias[5])) // 64, -192, 192)
    np.testing.assert_array_equal(found, probabilities()[index.astype(int) + 192])


def test_training_sees_the_integers_that_are_shipped():
    torch.manual_seed(0)
    sight = Sight()
    samples = smooth((1, 12, 12, 1), 8)
    context = Context(samples.shape, 8, sight, samples)
    network = Trainable(context.features, 16, 2, 8)
    place = [np.zeros(40, int), np.arange(40) % 12, np.arange(40) % 11]
    features = context.of_plane(*context.of_position(*place, 0), np.zeros(40, np.int32), 7)
    logits = network(torch.from_numpy(features), torch.full((40,), 7)).detach().numpy()
    chance = network.frozen(8, 1, sight).probability(features, 7)
    assert np.abs(chance - 1 / (1 + np.exp(-logits))).max() < 0.02  # a 16th of a logit
    assert features.min() >= -LARGEST - 1 and features.max() <= LARGEST


def test_training_makes_files_shorter():
    samples = smooth((1, 40, 40, 1), 8)
    trained = train(samples, 8, Sight(), width=16, updates=150)
    assert codec.cost(samples, trained) < 0.6 * 8 * samples.size
    again = train(samples, 8, Sight(), width=16, updates=150)
    assert again.to_bytes() == trained.to_bytes()


def test_a_network_survives_its_bytes():
    network = random_network(12, 3, Sight(window=True), layers=3)
    content = network.to_bytes()
    again = IntegerNetwork.from_bytes(content)
    assert again.to_bytes() == content and again.sight == network.sight and again.bits == 12
    refused("another length", IntegerNetwork.from_bytes, content[:-1])
    refused("cut short", IntegerNetwork.from_bytes, content[:4])


def test_threads_and_processes_agree(tmp_path):
    samples = smooth((1, 20, 20, 3), 8)
    network = train(samples, 8, Sight(), width=16, updates=20)
    content, _ = pack(samples, 8, network, own=True)
    (tmp_path / "a.lic").write_bytes(content)
    code = (
        "import sys, hashlib; from pathlib import Path\n"
        "from lossless_inr.coder.container import unpack\n"
        "print(hashlib.sha256(unpack(Path(sys.argv[1]).read_bytes())[0].tobytes()).hexdigest())"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "a.lic")]
    found = {
        subprocess.run(
            command, env=os.environ | extra, capture_output=True, text=True, check=True
        ).stdout
        for extra in (
            {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            {"OPENBLAS_NUM_THREADS": "2", "OPENBLAS_CORETYPE": "Prescott"},
        )
    }
    assert found == {hashlib.sha256(samples.tobytes()).hexdigest() + "\n"}


# --- files ------------------------------------------------------------------------------------


def test_shipped_networks_are_small_and_readable():
    found = shipped()
    assert {"digits", "photo", "grey"} <= set(found)
    assert sum(len(network.to_bytes()) for network in found.values()) < 2_000_000
    assert len({container.digest(network) for network in found.values()}) == len(found)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_every_kind_of_picture_makes_the_round_trip(tmp_path, bits, channels):
    samples = smooth((1, 11, 13, channels), bits)[0]
    np.save(tmp_path / "a.npy", samples)
    compress(tmp_path / "a.npy", tmp_path / "a.lic")
    decompress(tmp_path / "a.lic", tmp_path / "b.npy")
    found = np.load(tmp_path / "b.npy")
    np.testing.assert_array_equal(found.reshape(samples.shape), samples)
    assert found.dtype == samples.dtype


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros((1, 1), np.uint8),
        np.full((40, 40, 3), 200, np.uint8),
        np.random.default_rng(0).integers(0, 256, (30, 30, 3)).astype(np.uint8),
    ],
)
def test_odd_pictures_are_never_longer_than_raw_by_more_than_the_head(tmp_path, samples):
    Image.fromarray(samples).save(tmp_path / "a.png")
    _, parts = compress(tmp_path / "a.png", tmp_path / "a.lic")
    assert (tmp_path / "a.lic").stat().st_size == parts.file <= samples.size + 24
    decompress(tmp_path / "a.lic", tmp_path / "b.png")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "b.png")), samples)


def test_a_network_of_its_own_travels_in_the_file():
    samples = smooth((1, 64, 64, 3), 8)
    network = train(samples, 8, Sight(), width=16, updates=100)
    content, parts = pack(samples, 8, network, own=True)
    assert parts.network > 1000 and parts.file == len(content) < 0.8 * samples.size
    found, bits = unpack(content)
    assert bits == 8 and np.array_equal(found, samples)


def test_many_images_stand_in_one_stream():
    samples = smooth((5, 28, 28, 1), 8)
    content, _ = pack(samples, 8, shipped()["digits"], own=False)
    np.testing.assert_array_equal(unpack(content)[0], samples)


def test_damage_is_found_never_decoded():
    samples = smooth((1, 30, 30, 3), 8)
    content, _ = pack(samples, 8, shipped()["photo"], own=False)
    generator = np.random.default_rng(0)
    for _ in range(200):
        spoilt = bytearray(content)
        for place in generator.integers(len(content), size=int(generator.integers(1, 4))):
            spoilt[place] ^= int(generator.integers(1, 256))
        if bytes(spoilt) == content:
            continue
        with pytest.raises(UserError):
            unpack(bytes(spoilt))
    for length in range(0, len(content), 7):
        with pytest.raises(UserError):
            unpack(content[:length])


def test_what_lies_about_itself_is_refused_before_anything_is_made_of_it():
    samples = smooth((1, 30, 30, 3), 8)
    content, parts = pack(samples, 8, shipped()["photo"], own=False)
    assert unpack(resealed(content, {}))[1] == 8
    refused("not a .lic file", unpack, b"PNG" + content[3:])
    for version in "13":  # 1 was never released
        spoilt = content[:3] + version.encode() + content[4:]
        refused(f"version '{version}'", unpack, spoilt)
    refused("mode 9", unpack, resealed(content, {4: 9}))
    refused("samples of another kind", unpack, resealed(content, {5: 7}))
    refused("5 channels", unpack, resealed(content, {6: 5}))
    sizes = b"\x01" + 2 * b"\x80\x80\x80\x01"  # 2**21 x 2**21
    refused("more than", unpack, resealed(content[:7] + sizes + content[10:], {}))
    refused("too large", unpack, resealed(content[:7] + b"\xff" * 9 + content[10:], {}))
    refused("does not have", unpack, resealed(content, {parts.head: content[parts.head] ^ 1}))
    # Bytes of the stream that decode to something else: told by the samples' checksum.
    middle = parts.head + parts.network + parts.stream // 2
    with pytest.raises(UserError):
        unpack(resealed(content, {middle: content[middle] ^ 1}))


@pytest.mark.parametrize(
    ("words", "name", "make"),
    [
        ("name the file .lic", "a.png", lambda path: None),
        ("exists", "a.lic", lambda path: path.write_bytes(b"mine")),
        ("Is a directory", "no/a.lic", lambda path: path.parent.write_bytes(b"")),
    ],
)
def test_outputs_that_cannot_be_are_refused_and_nothing_is_lost(tmp_path, words, name, make):
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "in.png")
    target = tmp_path / name
    if words == "Is a directory":
        (tmp_path / "no").write_bytes(b"")
        words = ""
    else:
        make(target)
    before = target.read_bytes() if target.is_file() else None
    refused(words, compress, tmp_path / "in.png", target)
    assert (target.read_bytes() if target.is_file() else None) == before
    assert not list(tmp_path.glob("*.partial"))


def test_sounds_and_floats_are_refused(tmp_path):
    np.save(tmp_path / "f.npy", np.zeros((4, 4), np.float32))
    refused("unsigned integers only", compress, tmp_path / "f.npy", tmp_path / "f.lic")


def test_the_commands_from_file_to_file(tmp_path):
    a, b, file = (str(tmp_path / name) for name in ("a.png", "b.png", "a.lic"))
    Image.fromarray(smooth((1, 20, 30, 3), 8)[0]).save(a)
    runner = CliRunner()
    done = runner.invoke(app, ["compress", a, "-o", file])
    assert done.exit_code == 0 and "decoded exactly" in done.output
    done = runner.invoke(app, ["decompress", file, "-o", b])
    assert done.exit_code == 0 and "30x20x3, 8 bit, exact" in done.output
    assert np.array_equal(Image.open(a), Image.open(b))
    done = runner.invoke(app, ["compare", "--json", a])
    (row,) = [one for one in json.loads(done.output) if one["coder"].startswith("exact coder")]
    size = (tmp_path / "a.lic").stat().st_size
    assert row["bits_per_sample"] == 8 * size / 1800 and row["times_the_raw_samples"] == size / 1800


@pytest.mark.parametrize("share", [0.0, 0.001, 0.01, 0.5, 0.99])
def test_a_refusal_names_the_file(tmp_path, share):
    """Wherever it is cut: in its first bytes, its head, its network or a band."""
    samples = smooth((1, 40, 50, 3), 8)
    content, _ = pack(samples, 8, shipped()["photo"], own=True)
    cut = tmp_path / "cut.lic"
    cut.write_bytes(content[: int(share * len(content))])
    refused(str(cut), decompress, cut, tmp_path / "out.png")
    assert not (tmp_path / "out.png").exists()
