"""`lossless-inr fit | decode | verify | info | compare`: files in, words out."""

from __future__ import annotations

import math
import re
import shutil
import signal
import time
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock, Timeout
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bars

from lossless_inr.codecs import image_codecs, sound_codecs, zlib_size, zstd_size
from lossless_inr.coder.container import unpack
from lossless_inr.errors import UserError
from lossless_inr.files import refusal
from lossless_inr.models import files
from lossless_inr.models import fitting as tiles
from lossless_inr.models.model import Model
from lossless_inr.models.tiling import Region
from lossless_inr.models.workers import in_fresh_process
from lossless_inr.signals.signal import samples_sha256

UNITS = {"": 1, "s": 1, "min": 60, "m": 60, "h": 3600}
# Where an exact decoding must give the same integers (as in `fitting.verify`).
SETTINGS = [(1, torch.float32), (2, torch.float32), (1, torch.float64)]


def seconds_of(text: str) -> float:
    """`600`, `600s`, `10min` or `0.5h` in seconds.

    Examples
    --------
    >>> seconds_of("10min"), seconds_of("0.5h"), seconds_of("90")
    (600.0, 1800.0, 90.0)
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", text.lower())
    if not found or found[2] not in UNITS or float(found[1]) <= 0:
        raise UserError(f"budget: '{text}' is no time; write e.g. 90s, 10min or 2h")
    return float(found[1]) * UNITS[found[2]]


def shape_text(shape: Sequence[int], what: files.Numbers) -> str:
    """`768x512x3, 8 bit`: width before height, as images are named."""
    each = f"{what.bits} bit" if what.encoding == "integer" else what.encoding
    if len(shape) == 3:
        return f"{shape[1]}x{shape[0]}x{shape[2]}, {each}"
    rate = f" at {what.sample_rate} Hz" if what.sample_rate else ""
    return f"{shape[0]} samples x {shape[1]}{rate}, {each}"


@contextmanager
def terminated_like_ctrl_c():
    """SIGTERM ends the work as Ctrl-C does, so that its state is kept."""

    def end(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def alone(keep: Path):
    """Hold the lock of a folder of finished tiles; a killed process gives it up by itself."""
    keep.mkdir(parents=True, exist_ok=True)
    lock = FileLock(keep / ".lock", timeout=0)
    try:
        with lock:
            try:
                yield
            finally:
                if not any(path.is_file() and path.name != ".lock" for path in keep.rglob("*")):
                    shutil.rmtree(keep, ignore_errors=True)  # nothing is in it
    except Timeout:
        raise UserError(f"{keep}: another process is fitting it; wait for it, or stop it") from None


@contextmanager
def shown(console: Console):
    """A bar on a terminal, a line every ten seconds elsewhere; yields what takes `Progress`."""
    if console.is_terminal:
        with Bars(
            BarColumn(), MofNCompleteColumn(), TextColumn("tiles; {task.description}"),
            console=console, transient=True,
        ) as bars:  # fmt: skip
            task = bars.add_task("starting", total=None)
            yield lambda state: bars.update(
                task, completed=state.done, total=state.tiles, description=words(state)
            )
        return
    last = time.monotonic()

    def tell(state: tiles.Progress) -> None:
        nonlocal last
        if time.monotonic() - last >= 10:
            last = time.monotonic()
            console.print(f"{state.done}/{state.tiles} tiles; {words(state)}", soft_wrap=True)

    yield tell


def words(state: tiles.Progress) -> str:
    """How far the running tiles are, and the time that is left."""
    ber = state.wrong_bits / state.bits if state.bits else 0.0
    left = state.seconds_left
    time_left = "" if left is None else f", about {left:.0f} s left"
    return f"iteration {state.iteration}, BER {ber:.1e}, {state.wrong_bits:,} wrong bits{time_left}"


def check_model(path: Path, sha256: str) -> str:
    """Decode a file under every setting; what is wrong, or nothing. Runs in a fresh process."""
    model = Model.load(path)
    settings = [("cpu", *one) for one in SETTINGS]
    if torch.cuda.is_available():
        settings.append(("cuda", 1, torch.float32))
    for device, threads, dtype in settings:
        torch.set_num_threads(threads)
        try:
            decoded = model.decode(device=device, dtype=dtype)
        except UserError as error:
            return f"{device}, {threads} thread(s), {dtype}: {error}"
        if samples_sha256(files.words(decoded), model.header.bits) != sha256:
            return f"{device}, {threads} thread(s), {dtype}: decodes to other samples"
    return ""


def _out(path: Path, force: bool) -> None:
    if path.is_dir():
        raise UserError(f"{path}: a folder; name a file")
    if path.exists() and not force:
        raise UserError(f"{path}: exists; choose another name, or --force")
    if not path.parent.is_dir():
        raise UserError(f"{path.parent}: no such folder; make it first")


def fit(
    source: Path,
    output: Path,
    *,
    recipe: str,
    size: str,
    tile: str,
    margin: float,
    smallest: bool,
    device: str,
    seed: int,
    budget: str,
    workers: int | None,
    force: bool,
) -> str:
    """Fit a file, verify what was saved, and say so in a line.

    Raises
    ------
    OutOfTime
        If the budget ended first; finished tiles are kept.
    UserError
    """
    console = Console(stderr=True)
    begun = time.monotonic()
    limit = seconds_of(budget) if budget else None
    _out(output, force)
    try:
        side = tile if tile == "auto" else int(tile)
    except ValueError:
        raise UserError(f"tile: '{tile}' is no size; write a number, or auto") from None
    given = files.resized(files.read_source(source), size)
    keep = output.with_name(f"{output.name}.state")
    try:
        with terminated_like_ctrl_c(), alone(keep), shown(console) as progress:
            _out(output, force)  # the one who held the lock may have written it
            model = tiles.fit(
                files.numbers(given.samples, replace(given, signed=False)),
                bits=given.bits,
                kind=given.kind,
                signed=given.signed,
                sample_rate=given.sample_rate,
                source=given.name,
                recipe=recipe,
                tile=side,
                margin=margin,
                smallest=smallest,
                device=device,
                seed=seed,
                workers=workers,
                budget=None if limit is None else limit - (time.monotonic() - begun),
                keep=keep,
                progress=progress,
            )
            # Under its own name only once it is verified, so that a kill leaves no doubt.
            saved = keep / "model.linr"
            model.save(saved)
            fault = in_fresh_process(check_model, saved, model.header.samples_sha256)
            if fault:
                raise UserError(f"{source}: fitted, but not verified ({fault}); try --margin 3")
            _out(output, force)
            saved.replace(output)
            shutil.rmtree(keep, ignore_errors=True)
    except OSError as error:
        raise UserError(f"{output}: {refusal(error)}") from None
    took = time.monotonic() - begun
    header = model.header
    return (
        f"lossless, verified: {shape_text(header.shape, header)}; "
        f"{took:.0f} s; weights {model.weight_bytes / model.raw_bytes:.1f}x the raw samples "
        f"({codec_share(given)})"
    )


def codec_share(given: files.Source) -> str:
    """What the usual lossless codec makes of the same samples: a network is no codec."""
    name, size = next(iter(codecs(given).items()))
    return f"{name} {size() / given.raw_bytes:.2f}x"


def codecs(given: files.Source) -> dict:
    """Codecs that can hold the samples: name -> function that returns the encoded bytes."""
    samples = np.ascontiguousarray(given.samples)

    def bytes_by(codec):
        return lambda: len(codec.encode(samples))

    zlib = {"zlib": lambda: zlib_size(samples.tobytes())}
    if given.kind == "sound":
        found = sound_codecs(samples.shape, given.bits, given.encoding, given.sample_rate)
    else:
        found = image_codecs(samples.shape, given.bits) if given.encoding == "integer" else {}
    return {name: bytes_by(codec) for name, codec in found.items()} or zlib


def _range(text: str, size: int, what: str) -> slice:
    found = re.fullmatch(r"\s*(\d*):(\d*)\s*", text)
    if not found:
        raise UserError(f"{what}: '{text}' is no range; write begin:end, e.g. 0:64")
    begin, stop = int(found[1] or 0), int(found[2] or size)
    if not 0 <= begin < stop <= size:
        raise UserError(f"{what}: {begin}:{stop} is not inside 0:{size}")
    return slice(begin, stop)


def region_of(model: Model, region: str, times: str) -> Region | None:
    """`--region x0:x1,y0:y1` of an image, `--time 0.5:2` of a sound in seconds."""
    header = model.header
    if region and times:
        raise UserError("region, time: give one of them")
    if region:
        if header.kind != "image":
            raise UserError("region: this is a sound; use --time")
        parts = region.split(",")
        if len(parts) != 2:
            raise UserError(f"region: '{region}'; write x0:x1,y0:y1")
        return (
            _range(parts[1], header.shape[0], "region, y"),
            _range(parts[0], header.shape[1], "region, x"),
        )
    if times:
        if header.kind != "sound":
            raise UserError("time: this is an image; use --region")
        rate = header.sample_rate or 1
        try:
            begin, stop = (float(part) if part else None for part in times.split(":"))
            if not all(math.isfinite(one) for one in (begin or 0, stop or 0)):
                raise ValueError
        except ValueError:
            raise UserError(f"time: '{times}' is no range; write begin:end in seconds") from None
        first = round((begin or 0) * rate)
        last = header.shape[0] if stop is None else round(stop * rate)
        if not 0 <= first < last <= header.shape[0]:
            raise UserError(f"time: {times} is not inside 0:{header.shape[0] / rate:g} seconds")
        return (slice(first, last),)
    return None


def planes_of(text: str, bits: int) -> int | None:
    """`15:8` -> 8 leading planes; the first number is the most significant plane's."""
    if not text:
        return None
    found = re.fullmatch(r"(\d+):(\d+)", text)
    if not found or int(found[1]) != bits - 1 or int(found[2]) > bits - 1:
        raise UserError(f"planes: '{text}'; write {bits - 1}:k, the last of the planes to keep")
    return bits - int(found[2])


def decode(
    path: Path, output: Path, *, region: str, times: str, planes: str, device: str, force: bool
) -> str:
    """Write the samples of a model to a file."""
    _out(output, force)
    model = Model.load(path)
    header = model.header
    files.check_target(output, header, header.shape[-1])
    part = region_of(model, region, times)
    chosen = tiles.choose_device(device)
    samples = model.decode(part, planes=planes_of(planes, header.bits), device=chosen)
    files.write_samples(output, files.words(samples), header)
    shown_shape = shape_text(samples.shape, header)
    what = "every tile as fitted" if not planes else f"planes {planes} of exact samples"
    return f"{output}: {shown_shape}; {what}"


def verify(path: Path, source: Path) -> tuple[bool, str]:
    """Whether a model decodes to every sample of a file."""
    model = Model.load(path)
    header = model.header
    if Path(source).suffix.lower() == ".npy":
        # Numbers are compared, whatever dtype they are kept in.
        wanted = files.read_array(source)
        words = f"an array of {wanted.dtype}, shape {wanted.shape}"
        if list(wanted.shape) == header.shape[:-1] and header.shape[-1] == 1:
            wanted = wanted[..., None]
        same = list(wanted.shape) == header.shape
    else:
        given = files.read_source(source)
        wanted = files.numbers(given.samples, given)
        words = shape_text(wanted.shape, given)
        same = (list(wanted.shape), given.bits) == (header.shape, header.bits)
    decoded = files.numbers(files.words(model.decode()), header)
    if not same or (
        (decoded.dtype.kind == "f" or wanted.dtype.kind == "f") and (decoded.dtype != wanted.dtype)
    ):
        holds = shape_text(header.shape, header)
        return False, f"differs: {path} holds {holds}, {source} {words}"
    # A NaN is not equal to itself, and 0.0 is to -0.0: words are compared.
    wrong = int((files.words(decoded) != files.words(wanted)).sum())
    if wrong:
        return False, f"differs: {wrong:,} of {decoded.size:,} samples"
    return True, f"equal: all {decoded.size:,} samples"


def info(path: Path) -> dict:
    """Facts about a model."""
    model = Model.load(path)
    header = model.header
    samples, positions = int(np.prod(header.shape)), int(np.prod(header.shape[:-1]))
    stored = b"".join(
        tensor.contiguous().view(torch.uint8).numpy().tobytes()
        for group in model.weights
        for tensor in group.values()
    )
    coded = zstd_size(stored)
    storages: dict[str, int] = {}
    for group in header.groups:
        storages[group.storage] = storages.get(group.storage, 0) + len(group.tiles)
    return {
        "kind": header.kind,
        "shape": header.shape,
        "bits": header.bits,
        "encoding": header.encoding,
        "sample_rate": header.sample_rate,
        "source": header.source,
        "network": f"{header.network}, {header.hidden_layers} hidden layers, "
        f"{', '.join(str(w) for w in sorted({g.width for g in header.groups}))} wide",
        "representation": header.representation,
        "recipe": header.recipe,
        "tiles": model.tiling.tiles,
        "tiles_by_storage": storages,
        "parameters": model.parameters,
        "parameters_per_bit": model.parameters / (samples * header.bits),
        "bits_per_pixel": 8 * model.weight_bytes / positions,
        "bits_per_pixel_zstd": 8 * coded / positions,
        "bits_per_sample": 8 * model.weight_bytes / samples,
        "bits_per_sample_zstd": 8 * coded / samples,
        "times_the_raw_samples": model.weight_bytes / model.raw_bytes,
        "margin": header.margin,
        "samples_sha256": header.samples_sha256,
        "provenance": header.provenance,
    }


def compare(paths: list[Path]) -> list[dict]:
    """Usual codecs, and the files beside each (same name, .linr or .lic): bits a sample, seconds.

    A model or a compressed file is listed only if it decodes to every sample of the file.
    """
    rows = []
    for path in paths:
        given = files.read_source(path)

        def add(coder, size, seconds, given=given, name=path.name):
            rows.append(
                {
                    "file": name,
                    "coder": coder,
                    "bits_per_sample": 8 * size / given.samples.size,
                    "times_the_raw_samples": size / given.raw_bytes,
                    "seconds": seconds,
                }
            )

        for name, encode in codecs(given).items():
            begun = time.perf_counter()
            size = encode()
            add(name, size, time.perf_counter() - begun)
        beside = path.with_suffix(".linr")
        if beside.is_file():
            begun = time.perf_counter()
            model = Model.load(beside)
            decoded = model.decode()
            seconds = time.perf_counter() - begun
            if np.array_equal(files.words(decoded), given.samples):
                add("INR (seconds: decoding)", model.weight_bytes, seconds)
        beside = path.with_suffix(".lic")
        if beside.is_file():
            begun = time.perf_counter()
            content = beside.read_bytes()
            try:
                decoded, _ = unpack(content)
            except UserError as error:
                raise UserError(f"{beside}: {error}") from None
            seconds = time.perf_counter() - begun
            if np.array_equal(decoded, given.samples[None]):
                add("exact coder (seconds: decoding)", len(content), seconds)
    return rows
