"""One fit from its specification to its files, and the loop over a shard of fits."""

from __future__ import annotations

import io
import os
import resource
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as dump_tensors
from torch import nn

from lossless_inr import registry
from lossless_inr.errors import UserError
from lossless_inr.fitting import digests, engine, provenance
from lossless_inr.fitting.record import FitSpec, Quality, Record, Timing
from lossless_inr.fitting.seeding import derive_seed
from lossless_inr.metrics import bit_error_rate, psnr, rmse
from lossless_inr.networks._base import count_parameters, macs_per_row
from lossless_inr.representations._base import Representation
from lossless_inr.signals import Signal, samples_sha256

# A look makes the host wait for the device. On a CPU they are the same.
LOOK_EVERY = {"cpu": 1, "cuda": 16}


def choose_device(name: str) -> torch.device:
    """`auto` takes CUDA where there is one.

    Raises
    ------
    UserError
        If a device is asked for that this machine or this torch does not have.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("device: cuda is asked for but torch sees no CUDA device; set device: auto")
    if name not in ("cpu", "cuda"):
        raise UserError(f"device: {name!r} is none of auto, cpu, cuda")
    return torch.device(name)


def exact_float32() -> str:
    """Ask for IEEE float32 products (no TF32) and say so; the `published` setting."""
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    return "float32"


def build_form(spec: FitSpec) -> Representation:
    """The representation of a specification."""
    module = registry.load("representation", spec.representation)
    return module.Form(tuple(spec.shape), spec.bits)


def build_network(spec: FitSpec, form: Representation) -> nn.Module:
    """The network of a specification, initialised from seeds of its named axes.

    The recipe is not an axis, so recipes are compared from the same initial weights.
    """
    seed = derive_seed(
        signal=spec.signal,
        network=spec.network,
        representation=spec.representation,
        width=spec.width,
        repeat=spec.seed,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return registry.load("network", spec.network).build(
            axes=form.axes,
            outputs=form.outputs,
            width=spec.width,
            hidden_layers=spec.hidden_layers,
            **spec.network_parameters,
        )


def save_weights(state: dict[str, torch.Tensor], path: Path) -> None:
    """Write weights as safetensors, atomically; complex tensors as pairs of reals."""
    stored = {
        k: (torch.view_as_real(v) if v.is_complex() else v).contiguous() for k, v in state.items()
    }
    _replace(path, dump_tensors(stored))


def load_weights(network: nn.Module, path: Path) -> None:
    """Load weights written by `save_weights`.

    Raises
    ------
    UserError
        If the file is missing, damaged, or does not fit the network.
    """
    try:
        stored = load_tensors(Path(path).read_bytes())
        expected = network.state_dict()
        state = {
            k: torch.view_as_complex(v) if k in expected and expected[k].is_complex() else v
            for k, v in stored.items()
        }
        network.load_state_dict(state)
    except Exception as error:
        raise UserError(
            f"{path}: weights missing, damaged or of another network ({error})"
        ) from None


def _replace(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.partial")
    temporary.write_bytes(content)
    temporary.replace(path)


def _quality(wrong: int, squared: int, ssim: float | None, samples: int, bits: int) -> Quality:
    return Quality(
        wrong_bits=wrong,
        squared_error=squared,
        ber=bit_error_rate(wrong, samples, bits),
        rmse=rmse(squared, samples),
        psnr=psnr(squared, samples, bits),
        ssim=ssim,
    )


def _peak_memory_mib(device: torch.device) -> float:
    """Peak of the device on CUDA, of the process (all its fits so far) on the CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def curve_table(curve: engine.Curve, bits: int) -> pd.DataFrame:
    """Curve as a table: iteration, loss, squared_error, seconds, plane_0 .. plane_{n-1}."""
    wrong = np.asarray(curve.wrong_bits, dtype=np.int64).reshape(-1, bits)
    return pd.DataFrame(
        {
            "iteration": np.arange(len(wrong)),
            "loss": curve.loss,
            "squared_error": curve.squared_error,
            "seconds": curve.seconds,
            **{f"plane_{i}": wrong[:, i] for i in range(bits)},
        }
    )


def run_fit(
    spec: FitSpec,
    signal: Signal,
    folder: Path,
    *,
    device: str = "auto",
    threads: int = 1,
    exclusive: bool = True,
    slice_rows: int = 4096,
    startup: float = 0.0,
    progress: Callable[[int, int], None] = lambda iteration, wrong: None,
) -> Record:
    """Fit one specification and write its files into `folder`.

    Writes `weights.safetensors`, `curve.parquet`, `decoded.npz` (last and best integers) and, at
    the very end, `record.json`.

    Parameters
    ----------
    spec : FitSpec
    signal : Signal
        Must have the shape and bit depth that the specification names.
    folder : Path
    device : {"auto", "cpu", "cuda"}
    threads : int
        CPU threads of this process.
    exclusive : bool
        Whether nothing else of this suite runs beside it; goes to the record.
    slice_rows : int
        Rows evaluated at once.
    startup : float
        Seconds this process spent before its first fit; goes to the record.
    progress : callable
        Called with (iteration, wrong bits).

    Returns
    -------
    Record
    """
    if list(signal.samples.shape) != spec.shape or signal.bits != spec.bits:
        raise UserError(
            f"signal '{signal.name}' has shape {list(signal.samples.shape)} and {signal.bits} bits "
            f"but the fit was planned for {spec.shape} and {spec.bits} bits; prepare it again"
        )
    where = choose_device(device)
    torch.set_num_threads(threads)
    precision = exact_float32()
    started = provenance.now()
    form = build_form(spec)
    network = build_network(spec, form).to(where)
    outcome = engine.fit(
        network,
        form,
        signal.samples,
        spec.settings,
        iterations=spec.iterations,
        slice_rows=slice_rows,
        device=where,
        look_every=LOOK_EVERY[where.type],
        progress=progress,
    )
    saving = time.perf_counter()
    save_weights(outcome.state, folder / "weights.safetensors")
    table = io.BytesIO()
    curve_table(outcome.curve, spec.bits).to_parquet(table, index=False)
    _replace(folder / "curve.parquet", table.getvalue())
    shape, dtype = signal.samples.shape, signal.samples.dtype
    arrays = io.BytesIO()
    np.savez_compressed(
        arrays,
        last=outcome.decoded.reshape(shape).astype(dtype),
        best=outcome.best_decoded.reshape(shape).astype(dtype),
    )
    _replace(folder / "decoded.npz", arrays.getvalue())
    saving = time.perf_counter() - saving

    size, bits, curve = signal.samples.size, spec.bits, outcome.curve
    wrong = [sum(planes) for planes in curve.wrong_bits]
    decoded = outcome.decoded.reshape(shape)
    finite = bool(wrong)  # a fit whose very first loss is NaN has no curve
    best = last = None
    if finite:
        final = int(outcome.iterations) if outcome.status != "diverged" else len(wrong) - 1
        best = _quality(
            min(wrong),
            min(curve.squared_error),
            max(outcome.ssim.values(), default=None),
            size,
            bits,
        )
        last = _quality(
            wrong[final], curve.squared_error[final], outcome.ssim.get(final), size, bits
        )
    record = Record(
        spec=spec,
        spec_digest=spec.digest,
        code_digest=digests.of_code(spec.network, spec.representation),
        signal_sha256=signal.sha256,
        status=outcome.status,
        iterations=outcome.iterations,
        best=best,
        last=last,
        best_iteration=outcome.best_iteration,
        ssim_iterations=sorted(outcome.ssim),
        decoded_sha256=samples_sha256(decoded, bits),
        parameters=count_parameters(network),
        macs_per_row=macs_per_row(network),
        rows=form.rows,
        flops=outcome.flops,
        samples_seen=outcome.rows_seen,
        precision=precision,
        slice_rows=slice_rows,
        look_every=LOOK_EVERY[where.type],
        timing=Timing(
            fit=outcome.seconds,
            evaluation=outcome.evaluation_seconds,
            saving=saving,
            startup=startup,
            threads=threads,
            exclusive=exclusive,
        ),
        peak_memory_mib=_peak_memory_mib(where),
        provenance={
            "git": provenance.git_state(),
            "machine": provenance.machine(),
            "device": where.type,
            "started": started,
            "ended": provenance.now(),
        },
    )
    record.save(folder)
    return record


def run_or_record_failure(spec: FitSpec, signal: Signal, folder: Path, **options) -> Record:
    """`run_fit`, with a fault of ours turned into a record with status `failed`.

    One broken fit must not lose the rest of its shard; the traceback goes to stderr (the log).
    """
    try:
        return run_fit(spec, signal, folder, **options)
    except UserError:
        raise
    except Exception as error:
        traceback.print_exc()
        record = Record(
            spec=spec,
            spec_digest=spec.digest,
            code_digest=digests.of_code(spec.network, spec.representation),
            signal_sha256=signal.sha256,
            status="failed",
            error=f"{type(error).__name__}: {error}"[:500],
            provenance={
                "git": provenance.git_state(),
                "ended": provenance.now(),
                "pid": os.getpid(),
            },
        )
        record.save(folder)
        return record
