"""Tiny signals and specifications that the unit tests share."""

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lossless_inr import registry
from lossless_inr.errors import UserError
from lossless_inr.fitting.recipe import Settings
from lossless_inr.fitting.record import FitSpec
from lossless_inr.signals import Signal
from lossless_inr.signals.signal import sample_dtype

ROOT = Path(__file__).resolve().parents[2]
FORMS = registry.names("representation")
NETWORKS = registry.names("network")
# Lossless within some 10 updates on a 6x6 signal of 8 bits.
QUICK = Settings(rate=3e-3, output_factor=20.0, bias_factor=0.2, beta2=0.95, focus=1.0)


def build_form(name, shape, bits):
    return registry.load("representation", name).Form(shape, bits)


def random_samples(shape, bits, seed=0):
    samples = np.random.default_rng(seed).integers(0, 2**bits, shape)
    return samples.astype(sample_dtype(bits))


def signal_of(samples, bits, name="tiny/6x6/noise"):
    kind = "audio" if samples.ndim == 2 else "photo"
    return Signal(name=name, samples=samples, bits=bits, kind=kind)


def noise_signal(shape=(6, 6, 1), bits=8, name="tiny/6x6/noise"):
    return signal_of(random_samples(shape, bits), bits, name)


def spec_of(signal, **changes):
    values = {
        "signal": signal.name,
        "kind": signal.kind,
        "shape": list(signal.samples.shape),
        "bits": signal.bits,
        "network": "siren",
        "width": 16,
        "hidden_layers": 1,
        "representation": "bithead",
        "recipe": "quick",
        "settings": QUICK,
        "iterations": 200,
        "seed": 0,
    }
    return FitSpec(**values | changes)


def refusal(action, *arguments, **options):
    """The one line a user gets when `action` refuses its input."""
    with pytest.raises(UserError) as caught:
        action(*arguments, **options)
    line = str(caught.value)
    assert line and "\n" not in line
    return line


def imported_by(code):
    """Modules loaded by a fresh Python that ran `code`."""
    code += "; import sys; print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return ast.literal_eval(done.stdout.splitlines()[-1])
