"""What every network and representation owes the suite, as checks that run on any of them.

`lossless-inr list networks --check` runs them in a process of their own with a time limit, and
`tests/contract` runs them over every plug-in on the disk: authors write no test of their own for
these.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from collections.abc import Callable

import numpy as np
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as dump_tensors

from lossless_inr import registry
from lossless_inr.engine.loop import fit_many
from lossless_inr.engine.settings import Settings
from lossless_inr.networks._base import count_parameters
from lossless_inr.representations._base import Axis, BitRepresentation, signal_axes

SHAPE = (5, 4, 3)
AXES = {
    "an image": signal_axes(SHAPE),
    "an image and its bits": [*signal_axes(SHAPE), Axis(8, role="bit")],
    "a sound": signal_axes((30, 1)),
}
ROWS = 24
# Of the fit: a 4x4 image of 4 bits, by a small network.
FIT = Settings(rate=3e-3, output_factor=20.0, bias_factor=0.2, beta2=0.95, focus=1.0)
FIT_UPDATES, FIT_RATES = 3000, (3e-3, 3e-2, 3e-4)


class Broken(Exception):
    """What a plug-in does not keep, in one line."""


def _require(kept: bool, words: str) -> None:
    if not kept:
        raise Broken(words)


# --- networks -----------------------------------------------------------------------------------


def _build(name: str, axes, outputs=3, seed=0, **parameters):
    torch.manual_seed(seed)
    module = registry.load("network", name)
    return module.build(axes=axes, outputs=outputs, width=16, hidden_layers=1, **parameters)


def _rows(axes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    extents = torch.tensor([axis.extent for axis in axes])
    return (2 * torch.rand(ROWS, len(axes), generator=generator) - 1) * extents


def network_outputs(name: str) -> None:
    """Finite float32 numbers of the asked shape, for images, bit coordinates and sounds."""
    for what, axes in AXES.items():
        for outputs in (1, 24):
            found = _build(name, axes, outputs)(_rows(axes))
            shape = tuple(getattr(found, "shape", ()))
            _require(
                shape == (ROWS, outputs),
                f"outputs of {what} have shape {shape}, not {(ROWS, outputs)}",
            )
            _require(found.dtype == torch.float32, f"outputs are {found.dtype}, not float32")
            _require(bool(torch.isfinite(found).all()), f"outputs of {what} are not finite")


def network_gradients(name: str) -> None:
    """Every parameter has a finite gradient that is not zero everywhere."""
    for what, axes in AXES.items():
        network = _build(name, axes)
        network(_rows(axes)).square().mean().backward()
        _require(count_parameters(network) > 0, "has no parameters")
        for key, parameter in network.named_parameters():
            _require(parameter.grad is not None, f"{what}: '{key}' gets no gradient")
            sizes = parameter.grad.abs()
            _require(bool(torch.isfinite(sizes).all()), f"{what}: '{key}': gradient not finite")
            _require(bool(sizes.max() > 0), f"{what}: '{key}': gradient is zero everywhere")


def network_seed(name: str) -> None:
    """Torch's seed decides the network, and nothing else does."""
    axes = AXES["an image"]
    one, same, other = (_build(name, axes, seed=s)(_rows(axes)) for s in (1, 1, 2))
    _require(torch.equal(one, same), "two networks of one seed differ; draw with torch only")
    _require(not torch.equal(one, other), "networks of two seeds are equal")


def network_rows(name: str) -> None:
    """Rows do not influence each other: a batch may be cut anywhere."""
    axes = AXES["an image"]
    network, rows = _build(name, axes), _rows(axes)
    single = torch.cat([network(row[None]) for row in rows])
    close = torch.allclose(network(rows), single, rtol=1e-3, atol=1e-4)
    _require(close, "a row's outputs depend on the other rows of the batch")


def network_weights(name: str) -> None:
    """Weights survive saving and loading bit for bit, and decide the outputs alone."""
    axes = AXES["an image"]
    one, other = _build(name, axes, seed=1), _build(name, axes, seed=2)
    real = {
        k: torch.view_as_real(v).contiguous() if v.is_complex() else v.contiguous()
        for k, v in one.state_dict().items()
    }
    loaded = load_tensors(dump_tensors(real))
    state = {
        k: torch.view_as_complex(loaded[k]) if v.is_complex() else loaded[k]
        for k, v in one.state_dict().items()
    }
    other.load_state_dict(state)
    _require(
        torch.equal(one(_rows(axes)), other(_rows(axes))),
        "the same weights give other outputs; something that matters is not in state_dict()",
    )


def network_parameters(name: str) -> None:
    """Own parameters keep to their ranges and change something."""
    described, axes = registry.describe("network", name), AXES["an image and its bits"]
    usual = _build(name, axes)(_rows(axes))
    for key, default in described.parameters.items():
        low, high = described.ranges.get(key, (None, None))
        if low is not None:
            _require(low <= default <= high, f"the default of '{key}' is outside its RANGES")
        offered = described.choices.get(key, ())
        _require(default in (offered or (default,)), f"the default of '{key}' is no CHOICE")
        usual_ones = [default + 1.5, 1 - default, 3, default + 1] if low is None else [low, high]
        tried = offered or usual_ones
        changed = False
        for value in tried:
            with contextlib.suppress(Exception):
                found = _build(name, axes, **{key: value})(_rows(axes))
                changed = changed or not torch.equal(found, usual)
        _require(changed, f"'{key}' changes nothing")


def network_fit(name: str) -> None:
    """Some usual rate fits a 4x4 image of 4 bits losslessly by the bit head."""
    form = registry.load("representation", "bithead").Form((4, 4, 1), 4)
    samples = np.random.default_rng(0).integers(0, 16, (4, 4, 1)).astype(np.uint8)
    for rate in FIT_RATES:
        torch.manual_seed(0)
        network = registry.load("network", name).build(
            axes=form.axes, outputs=form.outputs, width=32, hidden_layers=1
        )
        (outcome,) = fit_many(
            [network], form, [samples], FIT.model_copy(update={"rate": rate}),
            iterations=FIT_UPDATES, device=torch.device("cpu"),
        )  # fmt: skip
        if outcome.status == "lossless":
            return
    raise Broken(
        f"no 4x4 image of 4 bits is lossless after {FIT_UPDATES} updates at rates "
        f"{', '.join(f'{rate:g}' for rate in FIT_RATES)}"
    )


# --- representations ----------------------------------------------------------------------------


def _forms(name: str):
    module, kind = registry.load("representation", name), registry.describe("representation", name)
    for shape in (SHAPE, (7, 2)):
        for bits in (1, 4, 8, 12, 16):
            if bits % int(kind.parameters.get("digit_bits", 1)) == 0:
                generator = torch.Generator().manual_seed(bits)
                positions = int(np.prod(shape[:-1]))
                samples = torch.randint(0, 2**bits, (positions, shape[-1]), generator=generator)
                samples[0], samples[-1] = 0, 2**bits - 1
                yield module.Form(shape, bits), samples


def _perfect(form, targets):
    if isinstance(form, BitRepresentation):
        return 10 * (2 * targets.to(torch.float32) - 1)
    return targets.to(torch.float32)


def form_inverse(name: str) -> None:
    """Decoding perfect outputs gives back the samples, at every bit depth."""
    for form, samples in _forms(name):
        decoded = form.decode(_perfect(form, form.targets(samples)))
        _require(decoded.dtype == torch.int64, f"decodes to {decoded.dtype}, not int64")
        _require(
            torch.equal(decoded, samples),
            f"{form.bits} bits: decoding the targets does not give back the samples",
        )


def form_sizes(name: str) -> None:
    """Rows, axes, coordinates, outputs and targets agree."""
    for form, samples in _forms(name):
        coordinates, targets = form.coordinates(), form.targets(samples)
        wanted = (form.rows, len(form.axes))
        _require(
            tuple(coordinates.shape) == wanted,
            f"coordinates have shape {tuple(coordinates.shape)}, not {wanted}",
        )
        wanted = (form.rows, form.networks * form.outputs)
        _require(
            tuple(targets.shape) == wanted,
            f"targets have shape {tuple(targets.shape)}, not {wanted} (rows, outputs)",
        )


def form_slices(name: str) -> None:
    """Rows of whole positions decode on their own, and losses of slices add up."""
    for form, samples in _forms(name):
        targets = form.targets(samples)
        outputs = _perfect(form, targets) * 0.37 + 0.01
        half = (form.rows // form.rows_per_sample // 2) * form.rows_per_sample
        parts = [form.decode(outputs[:half]), form.decode(outputs[half:])]
        _require(torch.equal(torch.cat(parts), form.decode(outputs)), "slices decode differently")
        outputs = outputs.double()
        whole = form.loss(outputs, targets, 0.0)
        cut = [form.loss(outputs[p], targets[p], 0.0) for p in (slice(half), slice(half, None))]
        for k in range(2):
            _require(
                torch.allclose(whole[k], cut[0][k] + cut[1][k], rtol=1e-9),
                "losses of slices do not add up to that of the batch",
            )


def form_margin(name: str) -> None:
    """Margins are not negative, and positive for perfect outputs."""
    for form, samples in _forms(name):
        margin = float(form.margin(_perfect(form, form.targets(samples))))
        _require(margin > 0, "perfect outputs have no margin")


CHECKS: dict[str, tuple[Callable[[str], None], ...]] = {
    "network": (
        network_outputs,
        network_gradients,
        network_seed,
        network_rows,
        network_weights,
        network_parameters,
        network_fit,
    ),
    "representation": (form_inverse, form_sizes, form_slices, form_margin),
}


# --- all of them -------------------------------------------------------------------------------


def first_fault(kind: str, name: str) -> str:
    """What a plug-in does not keep, or "" ; whatever it raises is told too."""
    for check in CHECKS[kind]:
        try:
            check(name)
        except Broken as fault:
            return str(fault)
        except Exception as error:
            what = check.__name__.replace("_", " ")
            return f"{what}: {type(error).__name__}: {' '.join(str(error).split())[:300]}"
    return ""


def main() -> None:
    """Print one line of JSON about the plug-in that is named on the command line."""
    kind, name = sys.argv[1:]
    torch.set_num_threads(1)
    with contextlib.redirect_stdout(io.StringIO()):
        fault = first_fault(kind, name)
    print(json.dumps({"fault": fault}))


if __name__ == "__main__":
    main()
