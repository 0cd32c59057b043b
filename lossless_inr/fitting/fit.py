"""One fit from its specification to its files, and the loop over a shard of fits."""

from __future__ import annotations

import errno
import hashlib
import io
import logging
import math
import os
import resource
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from filelock import FileLock, Timeout
from safetensors.torch import load as load_tensors
from safetensors.torch import save as dump_tensors
from torch import nn

from lossless_inr import registry
from lossless_inr.engine.checkpoint import Checkpoint
from lossless_inr.engine.loop import Curve, Outcome, OutOfTime, fit_many, used_precision
from lossless_inr.errors import UserError
from lossless_inr.files import REFUSALS, refusal, write
from lossless_inr.fitting import digests, provenance
from lossless_inr.fitting.record import FitSpec, Quality, Record, Timing
from lossless_inr.fitting.seeding import derive_seed
from lossless_inr.metrics import (
    bit_error_rate,
    psnr,
    rmse,
    word_errors,
    wrong_bits_per_plane,
)
from lossless_inr.networks._base import (
    Parallel,
    count_parameters,
    load_stored,
    macs_per_row,
    stored_state,
)
from lossless_inr.private import anonymous
from lossless_inr.representations._base import Representation
from lossless_inr.signals import Signal, samples_sha256

LOG = logging.getLogger(__name__)
# A look makes the host wait for the device. On a CPU they are the same.
LOOK_EVERY = {"cpu": 1, "cuda": 16}
# Iterations between two checks in float32, where training is less than that.
CHECK_EVERY = 4
# What a file system answers that cannot lock.
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
# PyTorch has one random state for all threads.
DRAWING = threading.Lock()


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


def exact_float32() -> None:
    """Ask for IEEE float32 products (no TF32); a pass that may do with less says so itself."""
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False


def build_form(spec: FitSpec) -> Representation:
    """The representation of a specification."""
    module = registry.load("representation", spec.representation)
    form = module.Form(tuple(spec.shape), spec.bits, **spec.representation_parameters)
    return form.read_as(spec.code)


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
    with DRAWING, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        networks = [
            registry.load("network", spec.network).build(
                axes=form.axes,
                outputs=form.outputs,
                width=spec.width,
                hidden_layers=spec.hidden_layers,
                **spec.network_parameters,
            )
            for _ in range(form.networks)
        ]
    return networks[0] if len(networks) == 1 else Parallel(networks)


def packed_weights(state: dict[str, torch.Tensor]) -> bytes:
    """Weights as safetensors; complex tensors as pairs of reals."""
    stored = {
        k: (torch.view_as_real(v) if v.is_complex() else v).contiguous() for k, v in state.items()
    }
    return dump_tensors(stored)


def save_weights(state: dict[str, torch.Tensor], path: Path) -> None:
    """Write weights as safetensors, atomically."""
    write(path, packed_weights(state))


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
        load_stored(network, state)
    except Exception as error:
        raise UserError(
            f"{path}: weights missing, damaged or of another network ({error})"
        ) from None


def _quality(wrong: int, squared: float, ssim: float | None, samples: int, bits: int) -> Quality:
    squared = math.ceil(squared)  # an integer but for floats, and 0 only if it is
    return Quality(
        wrong_bits=wrong,
        squared_error=squared,
        ber=bit_error_rate(wrong, samples, bits),
        rmse=rmse(squared, samples),
        psnr=psnr(squared, samples, bits),
        ssim=ssim,
    )


def peak_memory_mib(device: torch.device) -> float:
    """Peak of the device on CUDA, of the process (all its fits so far) on the CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    try:
        # getrusage's peak is inherited from the parent process on Linux; this one is our own.
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 2**10
    except (OSError, IndexError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def curve_table(curve: Curve, bits: int) -> pd.DataFrame:
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


@dataclass(frozen=True)
class Resources:
    """How fits run on this machine; none of it is part of what a fit is.

    Attributes
    ----------
    device : {"auto", "cpu", "cuda"}
    threads : int
        CPU threads of this process; more than there are cores are cut to the cores.
    exclusive : bool
        Whether nothing else of this suite runs beside it; goes to the record.
    slice_rows : int or None
        Rows evaluated at once; None = measured.
    compiled : bool
        Whether the compiled pass may be used.
    startup : float
        Seconds this process spent before its first fit; goes to the record.
    deadline : float or None
        `time.monotonic()` at which an unfinished fit keeps its state and stops.
    """

    device: str = "auto"
    threads: int = 1
    exclusive: bool = True
    slice_rows: int | None = None
    compiled: bool = True
    startup: float = 0.0
    deadline: float | None = None


def use_threads(wanted: int) -> int:
    """Set the CPU threads of this process, at most one per core; the number set."""
    cores = os.cpu_count() or 1
    if wanted > cores:
        LOG.warning(
            "threads: %d are asked for but there are %d cores; using %d", wanted, cores, cores
        )
    torch.set_num_threads(min(wanted, cores))
    return min(wanted, cores)


@contextmanager
def sole_writer(folders: list[Path]) -> Iterator[None]:
    """Hold the locks of these fits' folders; a killed process gives them up by itself.

    A file system that has no locks (NFS without its lock service) is done without: every file is
    put in place whole under a name of its own, so two writers cost time and spoil nothing.

    Raises
    ------
    UserError
        If another process holds one.
    """
    with ExitStack() as stack:
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
            try:
                stack.enter_context(FileLock(folder / ".lock", timeout=0))
            except Timeout:
                raise UserError(
                    f"{folder}: another process is writing this fit; wait for it, or stop it"
                ) from None
            except (OSError, NotImplementedError) as error:
                if getattr(error, "errno", errno.ENOSYS) not in NO_LOCKS:
                    raise
                LOG.warning("%s: no locks on this file system; going on without", folder)
        yield


def group_key(spec: FitSpec) -> str:
    """Fits with the same key can run as one batch."""
    return digests.of_json(spec.model_dump(exclude={"signal", "kind", "seed", "recipe"}))


def run_fit(
    spec: FitSpec,
    signal: Signal,
    folder: Path,
    resources: Resources = Resources(),
    progress: Callable[[int, int], None] = lambda iteration, wrong: None,
) -> Record:
    """Fit one specification; see `run_fits`. Resumes from its state if it was stopped."""
    (record,) = run_fits([spec], [signal], [folder], resources, progress)
    return record


def run_fits(
    specs: list[FitSpec],
    signals: list[Signal],
    folders: list[Path],
    resources: Resources = Resources(),
    progress: Callable[[int, int], None] = lambda iteration, wrong: None,
) -> list[Record]:
    """Fit specifications with one `group_key` as one batch and write each one's files.

    Writes `weights.safetensors`, `curve.parquet`, `decoded.npz` (last and best integers) and, at
    the very end, `record.json` into each fit's folder, as soon as it is done. A single fit also
    keeps its state in `state.safetensors` twice a minute until then.

    Parameters
    ----------
    specs : list of FitSpec
    signals : list of Signal
        Must have the shape and bit depth that the specifications name.
    folders : list of Path
    resources : Resources
    progress : callable
        Called with (iteration, wrong bits).

    Returns
    -------
    list of Record

    Raises
    ------
    UserError
        If a signal is not the one that was planned for, or a fit is being written elsewhere.
    OutOfTime
        If the deadline came first.
    """
    for spec, signal in zip(specs, signals, strict=True):
        if list(signal.samples.shape) != spec.shape or signal.bits != spec.bits:
            raise UserError(
                f"signal '{signal.name}' has shape {list(signal.samples.shape)} and {signal.bits} "
                f"bits but the fit was planned for {spec.shape} and {spec.bits} bits; prepare it "
                "again"
            )
    if len({group_key(spec) for spec in specs}) > 1:
        raise ValueError("fits of one batch must differ by signal and seed only")
    spec = specs[0]
    where = choose_device(resources.device)
    threads = use_threads(resources.threads)
    exact_float32()
    if where.type == "cuda":
        torch.cuda.reset_peak_memory_stats(where)
    started = provenance.now()
    form = build_form(spec)
    networks = [build_network(each, form).to(where) for each in specs]
    precision = used_precision(spec.settings, where)
    look_every = LOOK_EVERY[where.type] if precision == "float32" else CHECK_EVERY
    checkpoint = None
    if len(specs) == 1:
        identity = [spec.digest, digests.of_code(spec.network, spec.representation)]
        identity += [signals[0].sha256, where.type]
        checkpoint = Checkpoint(folders[0] / "state.safetensors", digests.of_json(identity))
    records: dict[int, Record] = {}

    def finished(number: int, outcome: Outcome) -> None:
        record = _write_fit(
            specs[number],
            signals[number],
            folders[number],
            replace(outcome, state=stored_state(networks[number], outcome.state)),
            size={
                "parameters": count_parameters(networks[number]),
                "macs_per_row": macs_per_row(networks[number]),
                "rows": form.rows,
            },
            timing={
                "startup": resources.startup,
                "threads": threads,
                "exclusive": resources.exclusive and len(specs) == 1,
                "batch": len(specs),
            },
            how={"precision": precision, "look_every": look_every},
            where=where,
            started=started,
        )
        records[number] = record

    with sole_writer(folders):
        fit_many(
            networks,
            form,
            [signal.samples for signal in signals],
            spec.settings,
            iterations=spec.iterations,
            slice_rows=resources.slice_rows,
            device=where,
            look_every=look_every,
            compiled=resources.compiled,
            checkpoint=checkpoint,
            stop=lambda: resources.deadline is not None and time.monotonic() >= resources.deadline,
            progress=progress,
            finished=finished,
        )
        if checkpoint:
            checkpoint.remove()
    return [records[number] for number in range(len(specs))]


def _write_fit(
    spec: FitSpec,
    signal: Signal,
    folder: Path,
    outcome: Outcome,
    *,
    size: dict,
    timing: dict,
    how: dict,
    where: torch.device,
    started: str,
) -> Record:
    """Write the files of one finished fit, the record last."""
    saving = time.perf_counter()
    table = io.BytesIO()
    curve_table(outcome.curve, spec.bits).to_parquet(table, index=False)
    size["weight_bytes"] = sum(tensor.nbytes for tensor in outcome.state.values())
    shape, dtype = signal.samples.shape, signal.samples.dtype
    arrays = io.BytesIO()
    np.savez_compressed(
        arrays,
        last=outcome.decoded.reshape(shape).astype(dtype),
        best=outcome.best_decoded.reshape(shape).astype(dtype),
    )
    files = {
        "weights.safetensors": packed_weights(outcome.state),
        "curve.parquet": table.getvalue(),
        "decoded.npz": arrays.getvalue(),
    }
    for name, content in files.items():
        write(folder / name, content)
    saving = time.perf_counter() - saving

    samples, curve = signal.samples.size, outcome.curve
    wrong = [sum(planes) for planes in curve.wrong_bits]
    best = last = None
    if wrong:  # a fit whose very first loss is NaN has no curve
        similarity = max(outcome.ssim.values(), default=None)
        # Of the weights that are saved: the curve may end in counts of less than float32.
        form = build_form(spec)
        truth = form.words(torch.from_numpy(signal.samples.astype(np.int64)).flatten(0, -2))
        words = form.words(torch.from_numpy(outcome.decoded))
        planes = wrong_bits_per_plane(words, truth, spec.bits)
        counts = (int(sum(planes)), float(form.squared_error(words, truth)))
        if form.floats:
            how = how | {"floats": word_errors(outcome.decoded, truth.numpy(), spec.bits)}
        whole = slice(spec.settings.sparse_until, None)  # before it, counts are estimates
        best = _quality(
            min([counts[0], *wrong[whole]]),
            min([counts[1], *curve.squared_error[whole]]),
            similarity,
            samples,
            spec.bits,
        )
        last = _quality(*counts, outcome.ssim.get(outcome.iterations), samples, spec.bits)
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
        decoded_sha256=samples_sha256(outcome.decoded.reshape(shape), spec.bits),
        flops=outcome.flops,
        samples_seen=outcome.rows_seen,
        slice_rows=outcome.slice_rows,
        check_every=outcome.check_every,
        engine=outcome.engine,
        margin=outcome.margin if math.isfinite(outcome.margin) else None,
        margin_iterations=outcome.margin_iterations,
        timing=Timing(
            fit=outcome.seconds, evaluation=outcome.evaluation_seconds, saving=saving, **timing
        ),
        peak_memory_mib=peak_memory_mib(where),
        files={name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
        provenance={
            "git": provenance.git_state(),
            "machine": provenance.machine(),
            "device": where.type,
            "started": started,
            "ended": provenance.now(),
        },
        **size,
        **how,
    )
    record.save(folder)
    return record


def groups(specs: list[FitSpec], device: str, batch: int | None) -> list[list[FitSpec]]:
    """Fits that run as one batch, in the order of their first member.

    `batch` is the most fits of one batch. None: one at a time on a CPU, where a fit has work
    enough for its threads; 32 on CUDA, where a small one has not.
    """
    most = batch or (32 if choose_device(device).type == "cuda" else 1)
    open_groups: dict[str, list[FitSpec]] = {}
    result = []
    for spec in specs:
        key = group_key(spec)
        if key not in open_groups or len(open_groups[key]) == most:
            open_groups[key] = []
            result.append(open_groups[key])
        open_groups[key].append(spec)
    return result


def run_or_record_failures(
    specs: list[FitSpec], signals: list[Signal], folders: list[Path], *options
) -> list[Record]:
    """`run_fits`, with a fault of ours turned into records with status `failed`.

    One broken fit must not lose the rest of its shard, nor of its batch: after a fault each fit
    is tried alone. Tracebacks go to stderr (the log).

    Raises
    ------
    UserError
        If the disk refuses a file: that is no outcome of a fit, and the next fit would meet it too.
    """
    try:
        return run_fits(specs, signals, folders, *options)
    except (UserError, OutOfTime):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in REFUSALS:
            raise UserError(f"{error.filename or folders[0]}: {refusal(error)}") from None
        traceback.print_exc()
        if len(specs) > 1:
            alone = zip(specs, signals, folders, strict=True)
            return [run_or_record_failure(*each, *options) for each in alone]
        (spec,), (signal,), (folder,) = specs, signals, folders
        record = Record(
            spec=spec,
            spec_digest=spec.digest,
            code_digest=digests.of_code(spec.network, spec.representation),
            signal_sha256=signal.sha256,
            status="failed",
            error=anonymous(f"{type(error).__name__}: {error}")[:500],
            provenance={
                "git": provenance.git_state(),
                "ended": provenance.now(),
                "pid": os.getpid(),
            },
        )
        record.save(folder)
        return [record]


def run_or_record_failure(spec: FitSpec, signal: Signal, folder: Path, *options) -> Record:
    """`run_or_record_failures` for one fit."""
    return run_or_record_failures([spec], [signal], [folder], *options)[0]
