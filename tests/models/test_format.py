"""The `.linr` file: what is written comes back, and nothing else is taken for it."""

import hashlib
import json
import resource
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from noise import picture
from safetensors.torch import load, save

from lossless_inr.errors import UserError
from lossless_inr.models import format as linr
from lossless_inr.models.fitting import fit
from lossless_inr.models.model import Model


def resigned(content, header=None, tensors=None, sign=True):
    """The file with another header or other weights, and checksums that match them."""
    directory, _ = linr.split(content, "file")
    told = json.loads(directory["__metadata__"][linr.KEY])["header"]
    weights = load(content)
    told = header(told) if header else told
    weights = tensors(weights) if tensors else weights
    weights = {name: tensor.contiguous() for name, tensor in weights.items()}
    directory, data = linr.split(save(weights), "weights")
    directory.pop("__metadata__", None)
    if sign and "data_sha256" in told:
        told["data_sha256"] = hashlib.sha256(data).hexdigest()
    signed = {"header": told, "sha256": linr.header_checksum(told, directory)}
    return save(weights, {linr.KEY: json.dumps(signed)})


def refused(content, *words):
    with pytest.raises(UserError) as caught:
        Model.from_bytes(content, "x.linr").decode()
    line = str(caught.value)
    assert "\n" not in line and all(word in line for word in words), line


def test_what_is_saved_is_loaded_and_saved_again_with_the_same_bytes(small, tmp_path):
    samples, model = small
    model.save(tmp_path / "a.linr")
    again = Model.load(tmp_path / "a.linr")
    assert again.header.model_copy(update={"data_sha256": "0" * 64}) == model.header
    np.testing.assert_array_equal(again.decode(), samples)
    assert again.to_bytes() == model.to_bytes() == (tmp_path / "a.linr").read_bytes()
    assert list(tmp_path.iterdir()) == [tmp_path / "a.linr"]


def test_the_weights_are_safetensors_that_others_can_read(small):
    _, model = small
    weights = load(model.to_bytes())
    assert sum(t.numel() * t.element_size() for t in weights.values()) == model.weight_bytes


@pytest.mark.parametrize("number", range(240))
def test_a_corrupted_file_is_refused_or_decodes_to_the_right_samples(small, number):
    samples, model = small
    content = bytearray(model.to_bytes())
    random = np.random.default_rng(number)
    at = int(random.integers(len(content)))
    if number % 3 == 0:  # the header, which is small, as often as the weights
        at = int(random.integers(8 + int.from_bytes(content[:8], "little")))
    kind = random.integers(6)
    length = int(random.integers(1, 64))
    if kind == 0:
        content[at] ^= 1 << int(random.integers(8))
    elif kind == 1:
        del content[at:]
    elif kind == 2:
        content[at : at + length] = bytes(length)
    elif kind == 3:
        content[at:at] = random.bytes(length)
    elif kind == 4:
        del content[at : at + length]
    else:
        content[at : at + length] = random.bytes(length)
    try:
        decoded = Model.from_bytes(bytes(content), "x.linr").decode()
    except UserError as error:
        assert "\n" not in str(error)
    else:
        np.testing.assert_array_equal(decoded, samples)


def test_what_is_no_file_of_ours_is_refused(small):
    refused(b"", "not a .linr file")
    refused(b"\x89PNG\r\n\x1a\n" + bytes(100), "not a .linr file")
    refused(save({"a": torch.zeros(3)}), "no 'linr'")
    refused((2**63).to_bytes(8, "little") + b"{}", "truncated")
    refused((40).to_bytes(8, "little") + b"[" * 40, "damaged header")
    refused((8).to_bytes(8, "little") + b'{"a":1, ', "damaged header")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": 3}, ["version 3", "reads 1 and 2"]),
        ({"shape": [12, 10]}, ["shape"]),
        ({"shape": [2**31, 2**31, 3]}, ["a tile of more than"]),
        ({"shape": [2000, 2000, 3]}, ["more than its", "could hold"]),
        ({"shape": [12, 10, 2**31]}, ["more than its", "could hold"]),
        ({"bits": 33}, ["at most 32 bits"]),
        ({"bits": 65}, ["bits"]),
        ({"encoding": "float32"}, ["float32 has no 8 bits"]),
        ({"encoding": "float16", "bits": 16, "signed": True}, ["signed is of integers"]),
        ({"counts": [2, 3]}, ["digests"]),
        ({"counts": [13, 10]}, ["counts"]),
        ({"source": "../../etc/passwd"}, ["source"]),
        # Files choose no code: what another network does with its arguments is not bounded here.
        ({"network": "instant_ngp", "network_parameters": {"levels": 1e12}}, ["network"]),
        ({"network": "../siren"}, ["network"]),
        ({"network_parameters": {"omega": 1.0}}, ["network_parameters"]),
        ({"network_parameters": {"omega_hidden": 0.0}}, ["omega_hidden"]),
        ({"network_parameters": {"omega_first": 1e300}}, ["omega_first"]),
        ({"representation": "bitplane"}, ["representation"]),
        ({"representation_parameters": {"loss": "bec"}}, ["representation_parameters"]),
        ({"sample_rate": 2**31}, ["sample_rate"]),
        ({"tile_sha256": ["x"] * 100_000}, ["tile_sha256"]),
        ({"groups": [{}] * 100_000}, ["groups"]),
        ({"shape": [-1] * 100_000}, ["shape"]),
        ({"hidden_layers": 4}, ["do not fit its network"]),
        ({"samples_sha256": "x" * 64}, ["samples_sha256"]),
        ({"unknown": 1}, ["unknown key 'unknown'"]),
        ({"margin": float("nan")}, []),
        ({"kind": "film"}, ["kind"]),
    ],
    ids=lambda value: "",
)
def test_a_tampered_header_is_refused_even_with_right_checksums(small, change, words):
    refused(resigned(small[1].to_bytes(), header=lambda told: told | change), *words)


def rearranged(told):
    """The digests and weights of two tiles of one shape in each other's place."""
    first, last = 0, len(told["tile_sha256"]) - 1
    digests = told["tile_sha256"]
    digests[first], digests[last] = digests[last], digests[first]
    for group in told["groups"]:
        swap = {first: last, last: first}
        group["tiles"] = [swap.get(tile, tile) for tile in group["tiles"]]
    return told


def test_tiles_in_each_others_places_are_not_taken_for_the_signal():
    model = fit(picture((8, 8, 3)), tile=4, workers=1)
    refused(resigned(model.to_bytes(), header=rearranged), "does not decode to what was fitted")


def test_a_deep_header_is_refused(small):
    deep = []
    for _ in range(900):
        deep = [deep]
    content = resigned(small[1].to_bytes())
    text = json.dumps({"header": {"version": 1, "provenance": deep}, "sha256": "0"})
    refused(b"".join(linr.relabel(content, {linr.KEY: text})), "checksum")


def test_what_is_said_of_a_bad_value_is_short(small):
    content = resigned(small[1].to_bytes(), header=lambda told: told | {"shape": ["x" * 10**6] * 9})
    with pytest.raises(UserError) as caught:
        Model.from_bytes(content, "x.linr")
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("name", ["a\\b.png", "a\nb.png", "\udcff.png", "/x/y.png", "x" * 999])
def test_any_file_name_is_kept_as_a_plain_one(name):
    plain = linr.plain_name(name)
    assert "/" not in plain and "\\" not in plain and plain.isprintable() and len(plain) <= 255
    model = fit(picture((3, 3, 1)), workers=1, source=name)
    assert Model.from_bytes(model.to_bytes()).header.source == plain


def test_a_header_without_its_checksum_is_refused(small):
    content = small[1].to_bytes()
    assert content.count(b'\\"seed\\": 0') == 1
    refused(content.replace(b'\\"seed\\": 0', b'\\"seed\\": 1'), "checksum")


def test_groups_must_hold_each_tile_once(small):
    def twice(told):
        told["groups"][0]["tiles"][0] = told["groups"][0]["tiles"][-1]
        return told

    refused(resigned(small[1].to_bytes(), header=twice), "in one group")


def first(change):
    def apply(weights):
        name = sorted(name for name in weights if weights[name].dim() > 1)[0]
        return weights | {name: change(weights[name])}

    return apply


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (first(lambda t: t[:-1]), ["does not fit its group"]),
        (first(lambda t: t[..., :-1]), ["do not fit its network"]),
        (first(lambda t: t.double()), ["dtype"]),
        (lambda weights: weights | {"7/x": torch.zeros(1)}, ["belongs to no group"]),
        (lambda weights: weights | {"../x": torch.zeros(1)}, ["belongs to no group"]),
        (lambda weights: dict(list(weights.items())[1:]), ["do not fit"]),
    ],
    ids=lambda value: "",
)
def test_weights_that_are_not_those_of_the_network_are_refused(small, change, words):
    refused(resigned(small[1].to_bytes(), tensors=change), *words)


def test_weights_that_are_no_numbers_or_others_are_refused(small):
    def poisoned(weights):
        name = next(n for n, t in sorted(weights.items()) if t.is_floating_point())
        changed = weights[name].clone()
        changed.view(-1)[0] = float("nan")
        return weights | {name: changed}

    def moved(weights):
        return {name: t + 1 if t.is_floating_point() else t for name, t in weights.items()}

    content = small[1].to_bytes()
    refused(resigned(content, tensors=poisoned), "no number")
    refused(resigned(content, tensors=moved), "does not decode to what was fitted")
    refused(resigned(content, tensors=moved, sign=False), "do not match their checksum")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@given(st.data())
@hypothesis_settings(max_examples=150)
def test_any_header_is_refused_in_one_line_or_decodes_to_the_right_samples(small, data):
    samples, model = small

    def changed(told):
        key = data.draw(st.sampled_from(sorted(told)))
        near = st.sampled_from([0, -1, 1, 2, 3, 2**31, 2**63, "", "siren", [], [1], {}, None])
        return told | {key: data.draw(near | json_values)}

    try:
        decoded = Model.from_bytes(resigned(model.to_bytes(), header=changed), "x").decode()
    except UserError as error:
        assert "\n" not in str(error)
    else:
        np.testing.assert_array_equal(decoded, samples)


def test_a_file_that_declares_a_huge_signal_takes_no_memory(small, tmp_path):
    path = tmp_path / "bomb.linr"

    def huge(told):
        return told | {"shape": [2**31, 2**31, 2**31], "tile_sha256": ["0" * 64], "counts": [1, 1]}

    path.write_bytes(resigned(small[1].to_bytes(), header=huge))
    code = (
        "import resource, torch, lossless_inr\n"
        "from lossless_inr.models.model import Model\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + 300_000_000,) * 2)\n"
        f"Model.load({str(path)!r})\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "UserError" in done.stderr and "MemoryError" not in done.stderr, done.stderr
    assert resource.getpagesize()


def test_storing_keeps_every_kind_of_weight(small):
    from lossless_inr.models.storage import pack, unpack

    state = {"a.weight": torch.randn(5, 7), "a.bias": torch.randn(5), "b": torch.zeros(3, 2)}
    for storage, error in (("float32", 0), ("float16", 1e-3), ("bfloat16", 1e-2), ("int8", 1e-2)):
        back = unpack(pack(state, storage))
        assert back.keys() == state.keys()
        for name, tensor in state.items():
            largest = tensor.abs().max()
            assert back[name].dtype == torch.float32 and back[name].shape == tensor.shape
            assert (back[name] - tensor).abs().max() <= error * largest
