"""Weights of few bits: their codes, their products, and the file they are stored in."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from tiny import QUICK, ROOT, build_form, noise_signal, refusal, spec_of

from lossless_inr import registry
from lossless_inr.experiments.spec import load_experiments
from lossless_inr.fitting.fit import Resources, build_network, load_weights, run_fit, save_weights
from lossless_inr.fitting.record import Record
from lossless_inr.fitting.verify import verify
from lossless_inr.networks import _lowbit as lowbit
from lossless_inr.networks._base import count_parameters, load_stored, stored_state
from lossless_inr.representations._base import Axis

IMAGE = [Axis(6), Axis(6)]
EACH = pytest.mark.parametrize("bits", lowbit.PRECISIONS)


def build(name="ternary", axes=IMAGE, outputs=3, width=16, hidden_layers=1, **parameters):
    torch.manual_seed(0)
    return registry.load("network", name).build(
        axes=axes, outputs=outputs, width=width, hidden_layers=hidden_layers, **parameters
    )


def test_ternary_codes_are_those_of_equation_12():
    weight = torch.tensor([[0.1, -0.4, 0.9], [-2.0, 0.31, 0.29]])
    codes, step = lowbit.quantise(weight, lowbit.TERNARY)
    assert float(step) == pytest.approx(4.0 / 6)
    assert codes.tolist() == [[0, -1, 1], [-1, 0, 0]]


@EACH
def test_codes_are_of_the_precision_and_near_the_weights(bits):
    weight = torch.randn(64, 64, generator=torch.Generator().manual_seed(1))
    codes, step = lowbit.quantise(weight, bits)
    error = float((codes * step - weight).std())
    if bits == 32:
        assert error == 0
        return
    levels = lowbit.levels(bits)
    assert torch.equal(codes, codes.round()) and len(codes.unique()) <= levels
    if levels > 3:
        assert bool((codes % 2 != 0).all()) and float(codes.abs().max()) <= levels - 1
    # Max (1960), table of least distortion: 0.1188, 0.0374, 0.0115; absmean is no optimum.
    most = {1.58: 0.53, 2: 0.36, 3: 0.20, 4: 0.112, 8: 0.0102, 16: 1e-4}[bits]
    assert error < most


def test_the_gradient_is_that_of_the_quantised_layer():
    layer = lowbit.LowBitLinear(5, 4, weight_bits=1.58, activation_bits=16, normalise=False)
    x = torch.randn(7, 5, requires_grad=True)
    layer(x).sum().backward()
    codes, step = lowbit.quantise(layer.weight.detach(), 1.58)
    torch.testing.assert_close(x.grad, (codes * step).sum(0).expand(7, 5))
    torch.testing.assert_close(layer.weight.grad, x.sum(0).expand(4, 5), rtol=1e-3, atol=1e-3)


def test_the_product_of_a_ternary_layer_is_exact_in_any_order():
    layer = lowbit.LowBitLinear(256, 64, weight_bits=1.58, activation_bits=16, normalise=False)
    x = torch.randn(50, 256, generator=torch.Generator().manual_seed(0))
    gain = (2**16 - 1) / x.abs().amax(1, keepdim=True)
    whole = (x * gain).round()
    codes, step = lowbit.quantise(layer.weight, 1.58)
    exact = whole.long() @ codes.long().T
    found = layer(x) * gain / step
    assert torch.equal(found.round().long(), exact)
    order = torch.randperm(256)
    assert torch.equal(whole[:, order] @ codes.detach()[:, order].T, whole @ codes.detach().T)


@given(st.lists(st.integers(-1, 1), min_size=1, max_size=33))
def test_trits_come_back_five_to_a_byte(trits):
    packed = lowbit.pack_trits(torch.tensor(trits))
    assert packed.dtype == torch.uint8 and len(packed) == math.ceil(len(trits) / 5)
    assert lowbit.unpack_trits(packed, len(trits)).tolist() == trits


@given(st.sampled_from([2, 3, 4, 8, 16]), st.data())
def test_numbers_come_back_bit_by_bit(bits, data):
    numbers = data.draw(st.lists(st.integers(0, 2**bits - 1), min_size=1, max_size=20))
    packed = lowbit.pack_numbers(torch.tensor(numbers), bits)
    assert len(packed) == math.ceil(len(numbers) * bits / 8)
    assert lowbit.unpack_numbers(packed, bits, len(numbers)).tolist() == numbers


def test_the_published_network_is_stored_in_its_published_size():
    network = build(axes=[Axis(128), Axis(128)], width=256, hidden_layers=3)
    weights = count_parameters(network)
    assert weights == 205_056
    stored = stored_state(network, network.state_dict())
    packed = sum(t.nbytes for k, t in stored.items() if k.endswith("codes"))
    # 16 such networks: 656.18 KB; each of 80 tensors begins a byte, and has a step of 4 bytes.
    assert 16 * packed == 656_224 and math.ceil(16 * weights / 5) == 656_180
    assert set(stored) == {f"layers.{k}.{part}" for k in range(5) for part in ("codes", "step")}


@EACH
@pytest.mark.parametrize("name", ["ternary", "low_bit_siren"])
def test_stored_weights_give_the_same_outputs(name, bits, tmp_path):
    network = build(name, weight_bits=bits)
    path = tmp_path / "weights.safetensors"
    save_weights(stored_state(network, network.state_dict()), path)
    other = build(name, weight_bits=bits)
    for parameter in other.parameters():
        parameter.data.zero_()
    load_weights(other, path)
    x = torch.rand(9, 2) * 2 - 1
    assert torch.equal(other(x), network(x))
    if bits != 32:
        assert all(t.dtype == torch.uint8 for k, t in load_file(path).items() if "codes" in k)


@pytest.mark.parametrize(
    ("words", "key", "spoil"),
    [
        ("a byte of ternary weights is 243", "codes", lambda t: t.clone().fill_(243)),
        ("bytes of codes where 256 weights of 1.58 bits take 52", "codes", lambda t: t[:-1]),
        ("bytes of codes", "codes", lambda t: t.to(torch.int16)),
        ("behind the last one", "codes", lambda t: torch.cat([t[:-1], t[-1:] * 0 + 242])),
        ("no positive number", "step", lambda t: t * 0),
        ("no positive number", "step", lambda t: t * math.nan),
        ("no positive number", "step", lambda t: -t),
        ("no positive number", "step", lambda t: t.repeat(2)),
        ("there are no 'step' of a layer", "step", lambda t: None),
    ],
)
def test_a_file_that_is_not_one_is_refused_in_a_line(tmp_path, words, key, spoil):
    network = build()
    stored = stored_state(network, network.state_dict())
    spoilt = spoil(stored.pop(f"layers.1.{key}"))
    if spoilt is not None:
        stored[f"layers.1.{key}"] = spoilt
    save_file(stored, tmp_path / "weights.safetensors")
    line = refusal(load_weights, build(), tmp_path / "weights.safetensors")
    assert words in line and "weights.safetensors" in line


def test_a_precision_that_is_not_offered_is_refused(tmp_path):
    assert "weight_bits: 5 is none of 1.58, 2, 3, 4, 8, 16, 32" in refusal(build, weight_bits=5)
    assert "activation_bits: 1 is not in 2 .. 32" in refusal(build, activation_bits=1)
    text = (ROOT / "config/experiments/figure10.yaml").read_text()
    (tmp_path / "figure10.yaml").write_text(text.replace("weight_bits: 4}", "weight_bits: 5}"))
    line = refusal(load_experiments, tmp_path)
    assert "weight_bits: 5.0 is none of 1.58, 2, 3, 4, 8, 16, 32" in line


def test_side_by_side_networks_are_stored_as_well(tmp_path):
    signal = noise_signal((3, 3, 1), 4)
    spec = spec_of(
        signal, network="ternary", representation="digits",
        representation_parameters={"digit_bits": 1, "loss": "bce"},
    )  # fmt: skip
    network = build_network(spec, build_form("digits", (3, 3, 1), 4, digit_bits=1, loss="bce"))
    stored = stored_state(network, network.state_dict())
    other = build_network(spec, build_form("digits", (3, 3, 1), 4, digit_bits=1, loss="bce"))
    load_stored(other, stored)
    x = torch.rand(5, 2)
    assert torch.equal(other(x), network(x)) and len(stored) == 4 * 3 * 2


def test_a_ternary_fit_is_verified_from_its_packed_file_in_another_process(tmp_path):
    signal = noise_signal((6, 6, 1), 8)
    settings = QUICK.model_copy(update={"rate": 1e-2, "beta2": 0.99, "output_factor": 1.0})
    spec = spec_of(signal, network="ternary", width=64, settings=settings, iterations=500)
    record = run_fit(spec, signal, tmp_path, Resources("cpu", threads=1))
    assert record.status == "lossless"
    stored = load_file(tmp_path / "weights.safetensors")
    assert {t.dtype for k, t in stored.items() if "codes" in k} == {torch.uint8}
    assert record.weight_bytes == sum(t.nbytes for t in stored.values())
    assert record.weight_bytes < record.parameters / 5 + 3 * 5
    signal.save(tmp_path / "signal.npz")
    code = (
        "import sys, json; from pathlib import Path\n"
        "from lossless_inr.fitting.record import Record\n"
        "from lossless_inr.fitting.verify import verify\n"
        "from lossless_inr.signals import Signal\n"
        "f = Path(sys.argv[1]); v = verify(Record.load(f / 'record.json'),"
        " Signal.load(f / 'signal.npz'), f)\n"
        "print(json.dumps([v.verified, v.reproduced]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == [True, True]
    # One weight of the file changed, and it is no longer verified.
    key = next(k for k in stored if k.endswith("2.codes"))
    stored[key] = 242 - stored[key]
    save_weights(stored, tmp_path / "weights.safetensors")
    verdict = verify(Record.load(tmp_path / "record.json"), signal, tmp_path)
    assert not verdict.verified


def test_a_ternary_sine_layer_has_four_frequencies_whatever_its_width():
    rows = torch.rand(200, 2, dtype=torch.float64) * 2 - 1

    def rank(width, **parameters):
        network = build("low_bit_siren", width=width, activation_bits=32, **parameters).double()
        return np.linalg.matrix_rank(network.activation(network.layers[0](rows), 0).detach())

    assert [rank(width) for width in (64, 256)] == [9, 9]  # sine and cosine of each, and a constant
    assert rank(64, weight_bits=32) > 40


def test_the_encoding_has_the_frequencies_of_the_published_code():
    assert build().layers[0].in_features == 30
    assert build(axes=[Axis(128), Axis(128)]).layers[0].in_features == 30
    assert build(frequencies=3).layers[0].in_features == 14
