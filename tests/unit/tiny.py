"""Tiny signals and specifications that the unit tests share."""

import ast
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from lossless_inr import registry
from lossless_inr.engine import compiled
from lossless_inr.engine.loop import Loop, fit_many
from lossless_inr.engine.passes import AutogradPass, LayerwisePass
from lossless_inr.errors import UserError
from lossless_inr.experiments.reference import Entry
from lossless_inr.fitting import digests
from lossless_inr.fitting.fit import build_network
from lossless_inr.fitting.recipe import Settings
from lossless_inr.fitting.record import FitSpec, Record, Verdict
from lossless_inr.signals import Signal
from lossless_inr.signals.signal import sample_dtype

ROOT = Path(__file__).resolve().parents[2]
FORMS = registry.names("representation")
# Those that are one network's work; `digits` are parallel networks, which only autograd takes.
SINGLE = [name for name in FORMS if name != "digits"]
NETWORKS = registry.names("network")
PASSES = {kind.name: kind for kind in (compiled.CompiledPass, LayerwisePass, AutogradPass)}
CPU = torch.device("cpu")
# Lossless within some 10 updates on a 6x6 signal of 8 bits.
QUICK = Settings(rate=3e-3, output_factor=20.0, bias_factor=0.2, beta2=0.95, focus=1.0)
# The direct form on 1 bit.
DIRECT = Settings(rate=1e-3, output_factor=20.0)


def build_form(name, shape, bits, **parameters):
    return registry.load("representation", name).Form(shape, bits, **parameters)


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


def entry_of(spec, *, status="budget_exhausted", iterations=0, seconds=1.0, device="cpu"):
    """A committed record of a fit, as if it had been run."""
    record = Record(
        spec=spec,
        spec_digest=spec.digest,
        code_digest="c",
        signal_sha256="s",
        status=status,
        iterations=iterations,
        timing={"fit": seconds, "evaluation": 0, "saving": 0, "startup": 0, "threads": 1}
        | {"exclusive": True},
        provenance={"device": device},
    )
    verdict = Verdict(record_digest=digests.of_json(record.model_dump()), verified=True)
    return Entry(record=record, verdict=verdict)


def truth_of(signal):
    return signal.samples.astype(np.int64).reshape(-1, signal.samples.shape[-1])


def sine(z, index):
    """A plain function: the engine has no slope for it, so autograd finds the gradients."""
    return torch.sin(z)


def begin(signal, spec, kind=None):
    """Form and fresh network of a fit; of a kind of pass if one is named."""
    form = build_form(spec.representation, signal.samples.shape, signal.bits)
    network = build_network(spec, form)
    if kind == "compiled" and compiled.library() is None:
        pytest.skip("the compiled pass needs a C++ compiler")
    if kind == "autograd":
        network.activation = sine
    return form, network


def run_many(signals, specs, kind=None, **options):
    """Outcomes of fits in one batch, by the kind of pass that is named."""
    networks = []
    for signal, spec in zip(signals, specs, strict=True):
        form, network = begin(signal, spec, kind)
        networks.append(network)
    options = {"iterations": specs[0].iterations, "device": CPU} | options
    outcomes = fit_many(
        networks,
        form,
        [signal.samples for signal in signals],
        specs[0].settings,
        compiled=kind in (None, "compiled"),
        **options,
    )
    assert kind is None or {outcome.engine for outcome in outcomes} == {kind}
    return outcomes


def run(signal, spec, kind=None, **options):
    """Outcome of one fit, by the kind of pass that is named."""
    (outcome,) = run_many([signal], [spec], kind, **options)
    return outcome


def poisoned(signal, spec, kind, after, **options):
    """Form, network and outcome of a fit whose weights turn into NaN after a look.

    That is the look at iteration `after`, right after it. `options` are those of `Loop`.
    """
    form, network = begin(signal, spec, kind)
    outcomes = []

    def poison(iteration, wrong):
        if iteration == after:
            loop.state.weights.fill_(math.nan)

    options = {"iterations": spec.iterations} | options
    if kind is not None:
        options["compiled"] = kind == "compiled"
    loop = Loop(
        [network],
        form,
        [signal.samples],
        spec.settings,
        device=CPU,
        progress=poison,
        finished=lambda number, outcome: outcomes.append(outcome),
        **options,
    )
    loop.run()
    return form, network, outcomes[0]


def decoded_by(form, network, state):
    """Integers of these weights, by the network itself."""
    network.load_state_dict(state)
    with torch.no_grad():
        return form.decode(network(form.coordinates())).numpy()


def same_tensors(one, other):
    """Whether two dictionaries hold the same numbers, bit for bit."""
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


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
