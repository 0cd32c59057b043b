"""`sine_network.cpp`: built once per machine, and the pass that uses it.

The library is optional. It is compiled on first use, in about two seconds, into the cache folder,
under a name that holds the source, the compiler and the processor; where that is not possible,
one line says so and fits use PyTorch.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import logging
import os
import platform
import shutil
import subprocess
from pathlib import Path

import torch
from filelock import FileLock
from torch import nn

from lossless_inr.engine.passes import Counts, LayerwisePass, Pass
from lossless_inr.networks._base import Sine
from lossless_inr.representations._base import Representation, ValueRepresentation

SOURCE = Path(__file__).with_name("sine_network.cpp")
# No -ffast-math: NaN must stay NaN. -fopenmp-simd needs no OpenMP library.
FLAGS = [
    *("-std=c++17", "-O3", "-march=native", "-fopenmp-simd", "-fno-math-errno"),
    *("-fno-trapping-math", "-shared", "-fPIC", "-pthread"),
]
LOG = logging.getLogger(__name__)


def cache_folder() -> Path:
    """Where built libraries and calibrations live: $LOSSLESS_INR_CACHE or the user's cache."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("LOSSLESS_INR_CACHE") or Path(base) / "lossless-inr")


def _processor() -> str:
    """What -march=native depends on."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return "".join(next(x for x in lines if x.startswith(k)) for k in ("model name", "flags"))
    except (OSError, StopIteration):
        return platform.platform()


def build(compiler: str, folder: Path) -> Path:
    """Compile the library into `folder` unless it is there; the path of the library.

    Raises
    ------
    OSError, subprocess.SubprocessError
        If the compiler cannot be run or fails.
    """
    version = subprocess.run(
        [compiler, "--version"], capture_output=True, check=True, timeout=60
    ).stdout
    key = hashlib.sha256()
    for part in (SOURCE.read_bytes(), version, " ".join(FLAGS).encode(), _processor().encode()):
        key.update(len(part).to_bytes(8, "big") + part)
    path = folder / f"sine_network-{key.hexdigest()[:16]}.so"
    folder.mkdir(parents=True, exist_ok=True)
    # A library that is cut short ends the process that loads it, so its bytes are compared first.
    digest = path.with_suffix(".sha256")
    with FileLock(f"{path}.lock"):  # shards start together; one of them builds
        if path.exists() and not _whole(path, digest):
            LOG.warning("%s: damaged; it is built again", path)
            path.unlink()
        if not path.exists():
            partial = path.with_suffix(".partial")
            subprocess.run(
                [compiler, *FLAGS, str(SOURCE), "-o", str(partial)],
                capture_output=True,
                check=True,
                timeout=300,
            )
            digest.write_text(hashlib.sha256(partial.read_bytes()).hexdigest())
            partial.replace(path)
    return path


def _whole(path: Path, digest: Path) -> bool:
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    return digest.exists() and digest.read_text() == found


@functools.cache
def library() -> ctypes.CDLL | None:
    """The loaded library, or None where it cannot be built; says why, once."""
    if os.environ.get("LOSSLESS_INR_COMPILED") == "0":
        return None
    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++")
    if compiler is None:
        LOG.warning("no C++ compiler found: fits use PyTorch, which is slower for narrow networks")
        return None
    try:
        return ctypes.CDLL(str(build(compiler, cache_folder())))
    except (OSError, subprocess.SubprocessError) as error:
        detail = getattr(error, "stderr", b"") or b""
        reason = detail.decode(errors="replace").strip().split("\n")[0] or error
        LOG.warning("cannot build %s (%s): fits use PyTorch", SOURCE.name, reason)
        return None


class Problem(ctypes.Structure):
    """`struct Problem` of the C++ source."""

    _fields_ = [
        *((name, ctypes.c_int32) for name in ("members", "threads", "layers", "block")),
        *((name, ctypes.c_int32) for name in ("bits", "channels", "rows_per_position", "values")),
        ("rows", ctypes.c_int64),
        ("focus", ctypes.c_float),
        *((name, ctypes.c_void_p) for name in ("sizes", "scales", "weights", "gradients")),
        *((name, ctypes.c_void_p) for name in ("coordinates", "targets", "truth", "decoded")),
        *((name, ctypes.c_void_p) for name in ("loss", "margin", "errors")),
    ]


class CompiledPass(Pass):
    """Sine networks on the CPU in float32, the whole pass in one call.

    Networks are shared out over `torch.get_num_threads()` threads where they divide evenly, rows
    of each network otherwise.
    """

    name = "compiled"

    @staticmethod
    def fits(network: nn.Module, form: Representation, device: torch.device) -> bool:
        """Whether this pass can take the network and the loss here."""
        values = isinstance(form, ValueRepresentation)
        return (
            device.type == "cpu"
            and form.networks == 1
            and form.loss_name == form.losses[0]
            and not (form.floats and values)
            and LayerwisePass.fits(network)
            and isinstance(network.activation, Sine)
            and network.encoding is None
            and network.layers[0].weight.dtype == torch.float32
            and library() is not None
        )

    def bind(self):
        """Allocate the results and fill in the call's structure."""
        batch, state, form = self.batch, self.state, self.batch.form
        layers = self.networks[0].layers
        sizes = [layers[0].in_features, *(layer.out_features for layer in layers)]
        scales = [*self.networks[0].scales, 1.0]
        members = batch.members
        k = form.rows_per_sample
        values = batch.targets.dtype == torch.float32
        if values and state.settings.focus:
            raise ValueError("the direct form has no focus")
        self.arrays = {
            "sizes": torch.tensor(sizes, dtype=torch.int32),
            "scales": torch.tensor(scales, dtype=torch.float32),
            "weights": state.weights,
            "gradients": state.gradients,
            "loss": torch.zeros(members, dtype=torch.float64),
            "margin": torch.zeros(members, dtype=torch.float64),
            "errors": torch.zeros((members, form.bits + 1), dtype=torch.int64),
        }
        self.problem = Problem(
            members=members,
            threads=torch.get_num_threads(),
            layers=len(layers),
            block=max(1, self.slice_rows // k) * k,
            bits=form.bits,
            channels=form.channels,
            rows_per_position=k,
            values=values,
            focus=state.settings.focus,
            **{name: array.data_ptr() for name, array in self.arrays.items()},
        )

        count, threads = state.weights.shape[1], ctypes.c_int32(torch.get_num_threads())
        settings = state.settings
        constants = [ctypes.c_float(x) for x in (settings.beta1, settings.beta2, settings.epsilon)]
        self.adam = []
        for row in range(members):
            buffers = (state.weights, state.gradients, state.mean, state.square)
            pointers = [ctypes.c_void_p(buffer[row].data_ptr()) for buffer in buffers]
            rates = ctypes.c_void_p(state.rates.data_ptr())
            self.adam.append(((ctypes.c_int64(count), *pointers, rates), (*constants, threads)))

    def run(self, *, training, precision="float32", part=None):
        """One pass; the results are copies, so that the next pass does not change them."""
        batch, problem = part or self.batch, self.problem
        arrays = self.arrays | {
            "coordinates": batch.coordinates.contiguous(),
            "targets": batch.targets.contiguous(),
            "truth": batch.truth.contiguous(),
            "decoded": torch.empty_like(batch.truth),
        }
        for name in ("coordinates", "targets", "truth", "decoded"):
            setattr(problem, name, arrays[name].data_ptr())
        problem.rows = batch.rows
        problem.gradients = arrays["gradients"].data_ptr() if training else None
        library().sine_pass(ctypes.byref(problem))
        return Counts(
            decoded=arrays["decoded"],
            errors=arrays["errors"][:, :-1].clone(),
            squared=self._squared(batch, arrays),
            **{k: arrays[k].clone() for k in ("loss", "margin")},
        )

    def _squared(self, batch, arrays: dict[str, torch.Tensor]) -> torch.Tensor:
        """The call's own sum where that is of words that are numbers, and cannot overflow."""
        form = batch.form
        if form.code == "offset" and form.counts_fit:
            return arrays["errors"][:, -1].double()
        return form.squared_error(arrays["decoded"], arrays["truth"])

    def update(self):
        """`State.update` in one sweep over memory."""
        state = self.state
        factor = state.settings.rate_factor(state.step)
        first, second = state.corrections()
        for before, after in self.adam:
            library().adam_step(
                *before, ctypes.c_float(factor * first), ctypes.c_float(second), *after
            )
