"""A decoder written from docs/format.md alone, with NumPy: the text says all that is needed."""

import hashlib
import json

import numpy as np
import pytest
from noise import picture

from lossless_inr.models.fitting import fit

DTYPES = {"I8": np.int8, "F16": np.float16, "F32": np.float32}


def canonical(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def coordinate(side, sound):
    k = np.arange(side, dtype=np.float64)
    if sound:
        return (k - (side - 1) / 2) / 30 if side > 1 else np.array([-1 / 60])
    return -1 + 2 * k / (side - 1) if side > 1 else np.array([-1.0])


def digest(samples, bits):
    size = 1 if bits <= 8 else 2 if bits <= 16 else 4 if bits <= 32 else 8
    told = json.dumps({"shape": list(samples.shape), "bits": bits}).encode()
    return hashlib.sha256(told + samples.astype(f"<u{size}").tobytes()).hexdigest()


def decode(content):
    length = int.from_bytes(content[:8], "little")
    directory = json.loads(content[8 : 8 + length])
    data = content[8 + length :]
    told = json.loads(directory.pop("__metadata__")["linr"])
    header = told["header"]
    signed = canonical({"header": header, "tensors": directory})
    assert hashlib.sha256(signed).hexdigest() == told["sha256"]
    assert hashlib.sha256(data).hexdigest() == header["data_sha256"]
    tensors = {}
    for name, entry in directory.items():
        part = data[slice(*entry["data_offsets"])]
        if entry["dtype"] == "BF16":
            wide = np.frombuffer(part, "<u2").astype(np.uint32) << 16
            found = wide.view(np.float32)
        else:
            found = np.frombuffer(part, DTYPES[entry["dtype"]])
        tensors[name] = found.reshape(entry["shape"])
    *sizes, channels = header["shape"]
    samples = np.zeros(header["shape"], np.uint64)
    omega = header["network_parameters"]
    for g, group in enumerate(header["groups"]):
        for row, tile in enumerate(group["tiles"]):

            def weight(name, g=g, row=row, group=group):
                value = tensors[f"{g}/{name}"][row].astype(np.float32)
                if group["storage"] == "int8":
                    scale = tensors[f"{g}/{name}.scale"][row]
                    value = value * (scale[:, None] if value.ndim > 1 else scale)
                return value

            rest, place = tile, []
            for size, count in list(zip(sizes, header["counts"], strict=True))[::-1]:
                rest, k = divmod(rest, count)
                place.insert(0, slice(size * k // count, size * (k + 1) // count))
            shape = [p.stop - p.start for p in place]
            axes = [coordinate(n, header["kind"] == "sound") for n in shape]
            x = np.stack([a.reshape(-1) for a in np.meshgrid(*axes, indexing="ij")], 1)
            x = x.astype(np.float32)
            for i in range(header["hidden_layers"] + 1):
                z = x @ weight(f"layers.{i}.weight").T + weight(f"layers.{i}.bias")
                x = np.sin(omega["omega_hidden" if i else "omega_first"] * z)
            last = f"layers.{header['hidden_layers'] + 1}"
            logits = x @ weight(f"{last}.weight").T + weight(f"{last}.bias")
            bits = (logits > 0).reshape(-1, header["bits"], channels).astype(np.uint64)
            places = np.arange(header["bits"], dtype=np.uint64)[:, None]
            found = (bits << places).sum(1).reshape(*shape, channels)
            assert digest(found, header["bits"]) == header["tile_sha256"][tile]
            samples[tuple(place)] = found
    assert digest(samples, header["bits"]) == header["samples_sha256"]
    if header["encoding"] == "integer":
        return samples
    return samples.astype(f"<u{header['bits'] // 8}").view(header["encoding"])


@pytest.mark.parametrize(
    ("shape", "bits", "kind"),
    [
        ((13, 9, 3), 8, "image"),
        ((1, 7, 1), 16, "image"),
        ((40, 2), 16, "sound"),
        ((1, 1), 24, "sound"),
    ],
)
def test_a_decoder_from_the_text_gets_the_samples(shape, bits, kind):
    samples = picture(shape, bits=bits)
    model = fit(samples, bits=bits, kind=kind, tile=7, workers=1)
    np.testing.assert_array_equal(decode(model.to_bytes()), samples)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_it_gets_floats_word_for_word(kind):
    values = np.array([0.0, -0.0, np.nan, np.inf, -np.inf, 1e-7, 1 / 3, -2.5], kind)
    words = values.view(f"u{values.itemsize}")
    words[2] += 5  # another payload
    found = decode(fit(values, kind="sound", workers=1).to_bytes())
    assert found.dtype == kind
    np.testing.assert_array_equal(found[:, 0].view(words.dtype), words)
