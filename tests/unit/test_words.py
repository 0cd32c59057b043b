"""Integer codes and floats as words: what is fitted is a bijection of what comes back."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import signal_of

from lossless_inr.errors import UserError
from lossless_inr.fitting.fit import Resources, build_form, run_fit
from lossless_inr.fitting.forms import check_code
from lossless_inr.fitting.recipe import load_recipes
from lossless_inr.fitting.record import FitSpec, Record
from lossless_inr.fitting.verify import verify
from lossless_inr.metrics import word_errors
from lossless_inr.representations import _words
from lossless_inr.signals import Signal
from lossless_inr.signals.codes import FLOAT_CODES, INTEGER_CODES, from_words, to_words

RECIPES = load_recipes(Path("config/recipes"))
# -0.0, a quiet and a signalling NaN with payloads, both infinities, the smallest and the largest
# subnormal number, the largest float, and two plain ones.
SPECIAL = {
    16: [0x8000, 0x7E2A, 0x7C01, 0x7C00, 0xFC00, 0x0001, 0x03FF, 0x7BFF, 0x3C00, 0xB800],
    32: [
        *(0x80000000, 0x7FC0BEEF, 0x7F800001, 0x7F800000, 0xFF800000, 0x00000001, 0x007FFFFF),
        *(0x7F7FFFFF, 0x3F800000, 0xBF000000),
    ],
    64: [
        *(0x8000000000000000, 0x7FF8DEADBEEF0001, 0x7FF0000000000001, 0x7FF0000000000000),
        *(0xFFF0000000000000, 0x0000000000000001, 0x000FFFFFFFFFFFFF, 0x7FEFFFFFFFFFFFFF),
        *(0x3FF0000000000000, 0xBFE0000000000000),
    ],
}


def spec_of(signal: Signal, representation: str, *, code: str, recipe="fast", iterations=300):
    """A small fit of a signal."""
    settings = RECIPES[recipe].resolve(
        network="siren",
        representation=representation,
        bits=signal.bits,
        width=32,
        iterations=iterations,
    )
    return FitSpec(
        signal=signal.name,
        kind=signal.kind,
        shape=list(signal.samples.shape),
        bits=signal.bits,
        code=code,
        network="siren",
        network_parameters={},
        width=32,
        hidden_layers=2,
        representation=representation,
        representation_parameters={"loss": "mse" if representation == "direct" else "bce"},
        recipe=recipe,
        settings=settings,
        iterations=iterations,
        seed=0,
    )


def floats_of(bits: int) -> Signal:
    """The special words as a sound."""
    words = np.array(SPECIAL[bits], f"u{bits // 8}").reshape(-1, 1)
    return Signal("made/10/special", words, bits, "audio", encoding=f"float{bits}")


@pytest.mark.parametrize("code", INTEGER_CODES)
@pytest.mark.parametrize("bits", [1, 2, 8, 13])
def test_every_integer_code_is_a_bijection_of_the_words(code, bits):
    samples = np.arange(2**bits)
    words = to_words(samples, bits, code)
    assert sorted(words.tolist()) == samples.tolist()
    assert (from_words(words, bits, code) == samples).all()
    tensor = torch.from_numpy(samples)
    assert to_words(tensor, bits, code).tolist() == words.tolist()
    assert from_words(to_words(tensor, bits, code), bits, code).tolist() == samples.tolist()


def test_codes_are_what_their_names_say():
    signed = np.array([-128, -5, -1, 0, 1, 127])
    twos = to_words(signed + 128, 8, "twos-complement")
    assert twos.tolist() == signed.astype(np.int8).view(np.uint8).tolist()
    assert to_words(signed + 128, 8, "sign-magnitude").tolist() == [128, 133, 129, 0, 1, 127]


@pytest.mark.parametrize("code", INTEGER_CODES)
@pytest.mark.parametrize("representation", ["bithead", "bitplane", "direct"])
def test_a_coded_fit_gives_the_samples_back_and_counts_in_them(tmp_path, code, representation):
    samples = np.random.default_rng(1).integers(0, 256, (12, 2)).astype(np.uint8)
    signal = signal_of(samples, 8, "made/12/coded")
    recipe = "decayed" if representation == "direct" else "fast"
    spec = spec_of(signal, representation, code=code, recipe=recipe, iterations=400)
    record = run_fit(spec, signal, tmp_path, Resources(device="cpu"))
    with np.load(tmp_path / "decoded.npz") as arrays:
        last, dtype = arrays["last"].astype(np.int64), arrays["last"].dtype
    difference = last - samples.astype(np.int64)
    assert dtype == np.uint8
    assert record.last.squared_error == int((difference**2).sum())
    words = [to_words(x.astype(np.int64), 8, code) for x in (last, samples)]
    assert record.last.wrong_bits == int(np.bitwise_count(words[0] ^ words[1]).sum())
    assert verify(record, signal, tmp_path).reproduced
    if representation != "direct":
        assert record.status == "lossless" and verify(record, signal, tmp_path).verified


@pytest.mark.parametrize("bits", [16, 32, 64])
@pytest.mark.parametrize("representation", ["bithead", "bitplane"])
def test_special_floats_come_back_word_for_word(tmp_path, bits, representation):
    signal = floats_of(bits)
    spec = spec_of(signal, representation, code=f"float{bits}", iterations=1500)
    record = run_fit(spec, signal, tmp_path, Resources(device="cpu"))
    assert record.status == "lossless", record.last
    assert verify(record, signal, tmp_path).verified
    with np.load(tmp_path / "decoded.npz") as arrays:
        assert arrays["last"].tolist() == signal.samples.tolist()
    assert record.floats.wrong_words == 0 and record.floats.special == 8 - 1
    assert Record.load(tmp_path / "record.json") == record
    signal.save(tmp_path / "s.npz")
    assert Signal.load(tmp_path / "s.npz").samples.tolist() == signal.samples.tolist()


def test_values_of_floats_are_regressed_and_measured_in_their_range(tmp_path):
    wave = np.sin(np.arange(32) / 5).astype(np.float32).reshape(-1, 1) / 2
    signal = Signal("made/32/wave", wave.view(np.uint32), 32, "audio", encoding="float32")
    spec = spec_of(signal, "direct", code="float32", recipe="decayed", iterations=200)
    record = run_fit(spec, signal, tmp_path, Resources(device="cpu"))
    with np.load(tmp_path / "decoded.npz") as arrays:
        error = arrays["last"].view(np.float32).astype(np.float64) - wave
    # Full scale from -1 to 1 is the range of a sound that keeps to it.
    expected = 20 * np.log10(2 / np.sqrt((error**2).mean()))
    assert record.last.psnr == pytest.approx(expected, abs=1e-3) and 20 < expected < 200
    assert record.engine == "layerwise"
    assert record.floats.words == 32 and record.floats.wrong_words > 0


def test_what_is_no_number_counts_as_off_by_the_range():
    truth = torch.tensor([[0.5], [-0.5], [0.0]]).view(torch.int32).long()
    found = torch.tensor([[float("nan")], [1e30], [-0.0]]).view(torch.int32).long()
    top = 2.0**32 - 1
    squared = _words.squared_error(found & 0xFFFFFFFF, truth & 0xFFFFFFFF, 32, True)
    assert float(squared) == pytest.approx(2 * top**2 + 1, rel=1e-12)
    assert float(_words.squared_error(truth, truth, 32, True)) == 0


def test_distances_are_counted_in_units_of_the_last_place():
    truth = np.array([1.0, -1.0, 0.0, np.inf, 2.0], np.float32)
    found = np.array([np.nextafter(np.float32(1), np.float32(2)), 1.0, -0.0, np.inf, np.nan])
    found = found.astype(np.float32)
    errors = word_errors(found.view(np.uint32), truth.view(np.uint32), 32)
    assert errors["wrong_words"] == 4 and errors["not_finite"] == 1 and errors["special"] == 1
    assert errors["ulp_max"] == 2 * 0x3F800000 and errors["ulp_median"] == 1.0


def test_words_of_other_lengths_and_too_many_levels_are_refused():
    signal = floats_of(32)
    spec = spec_of(signal, "bithead", code="float32")
    with pytest.raises(ValueError, match="float16 words of 32 bits"):
        FitSpec.model_validate(spec.model_dump() | {"code": "float16"})
    with pytest.raises(ValueError, match="offset words of 64 bits"):
        FitSpec.model_validate(spec.model_dump() | {"code": "offset", "bits": 64})
    with pytest.raises(UserError, match="have 16 bits, not 32"):
        build_form(spec).read_as("float16")
    with pytest.raises(UserError, match="tells up to 24 apart"):
        check_code("direct", {"loss": "mse"}, 32, "offset")
    with pytest.raises(UserError, match="regressed whole"):
        check_code("digits", {"digit_bits": 4, "loss": "mse"}, 32, "float32")
    check_code("bithead", {"loss": "bce"}, 64, "float64")
    assert set(FLOAT_CODES) == {"float16", "float32", "float64"}


def test_a_fit_in_offset_binary_has_the_digest_it_always_had():
    signal = signal_of(np.zeros((4, 1), np.uint8), 8, "made/4/zero")
    dump = spec_of(signal, "bithead", code="offset").model_dump()
    assert "code" not in dump
    assert "code" in spec_of(signal, "bithead", code="sign-magnitude").model_dump()
