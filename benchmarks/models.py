"""Lossless models of whole files: seconds, size and memory, every one verified from its file.

    python benchmarks/models.py kodak --mirror MIRROR      24 images as they are
    python benchmarks/models.py scaling --mirror MIRROR    one image from 64x64 to 768x512
    python benchmarks/models.py sound --mirror MIRROR      10 s of music, stereo

Each runs the command line's own `fit`, in a process of its own, and adds a row to
`results/models-*.csv` as it ends; what is there already is left out. Seconds are of the whole
command, verification included, on a machine that others may use too: `load` is the mean number of
processes that wanted a core besides ours.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import imagecodecs
import numpy as np
import pandas as pd
import psutil
import soundfile
import torch

import lossless_inr
from lossless_inr.models.command import info
from lossless_inr.signals.readers import read

RESULTS = Path(__file__).parent / "results"


def measured(command: list[str], folder: Path) -> dict:
    """Seconds, peak memory of the process tree in MiB, and mean load of others."""
    begun = time.monotonic()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    peak, loads, over = 0, [], threading.Event()

    def watch() -> None:
        nonlocal peak
        while not over.wait(0.5):
            try:
                family = [psutil.Process(process.pid)]
                family += family[0].children(recursive=True)
                peak = max(peak, sum(p.memory_full_info().pss for p in family))
            except psutil.Error:
                continue
            loads.append(os.getloadavg()[0])

    watcher = threading.Thread(target=watch)
    watcher.start()
    output, _ = process.communicate()
    seconds = time.monotonic() - begun
    over.set()
    watcher.join()
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(command)} ended with code {process.returncode}")
    return {
        "line": output.strip(),
        "seconds": round(seconds, 1),
        "peak_mib": round(peak / 2**20),
        "load": round(max(0.0, float(np.mean(loads)) - 2), 1) if loads else 0.0,
    }


def fitted(source: Path, folder: Path, *options: str) -> dict:
    """Fit and verify a file by the command line; what it took and what came out."""
    output = folder / "model.linr"
    command = [sys.executable, "-m", "lossless_inr.cli", "fit", str(source), "-o", str(output)]
    row = measured([*command, *options, "--force"], folder)
    facts = info(output)
    line = row.pop("line")
    assert line.startswith("lossless, verified"), line
    codec = re.search(r"\((.*?) ([\d.]+)x\)", line)
    return {
        "file": source.name,
        "shape": "x".join(map(str, facts["shape"])),
        "bits": facts["bits"],
        **row,
        "times_raw": round(facts["times_the_raw_samples"], 2),
        codec[1]: float(codec[2]),
        "parameters_per_bit": round(facts["parameters_per_bit"], 2),
        "margin": round(facts["margin"], 3),
        "tiles": facts["tiles"],
        **{k: facts["tiles_by_storage"].get(k, 0) for k in ("int8", "float16", "float32")},
    }


def table(name: str, rows, key: str = "file") -> pd.DataFrame:
    """Add rows, made one by one by functions, to a table on the disk."""
    path = RESULTS / f"models-{name}.csv"
    known = pd.read_csv(path).to_dict("records") if path.is_file() else []
    for label, make in rows:
        if any(row[key] == label for row in known):
            continue
        known.append(make() | {key: label})
        pd.DataFrame(known).to_csv(path, index=False)
        print(known[-1], flush=True)
    return pd.DataFrame(known)


def kodak(mirror: Path, folder: Path) -> None:
    """Every image as it is."""
    found = table(
        "kodak",
        [(p.name, lambda p=p: fitted(p, folder)) for p in sorted(mirror.glob("kodak/*.png"))],
    )
    print(found[["seconds", "peak_mib", "times_raw", "PNG"]].describe().round(2))


def alone(samples: np.ndarray) -> dict:
    """Seconds of the fit itself in one process and thread, start-up and verification left out."""
    torch.set_num_threads(1)
    lossless_inr.fit(samples[:16, :16], workers=1)
    begun = time.perf_counter()
    lossless_inr.fit(samples, workers=1)
    seconds = time.perf_counter() - begun
    pixels = samples.shape[0] * samples.shape[1]
    return {
        "alone_seconds": round(seconds, 2),
        "alone_seconds_per_megapixel": round(seconds / pixels * 1e6, 1),
    }


def scaling(mirror: Path, folder: Path) -> None:
    """Crops of one image, the same content at the centre."""
    samples, _ = read(mirror / "kodak/kodim05.png")
    rows = []
    for width, height in ((64, 64), (128, 128), (256, 256), (384, 256), (512, 384), (768, 512)):
        top, left = (samples.shape[0] - height) // 2, (samples.shape[1] - width) // 2
        path = folder / f"{width}x{height}.png"
        crop = np.ascontiguousarray(samples[top : top + height, left : left + width])
        path.write_bytes(imagecodecs.png_encode(crop))
        rows.append((path.name, lambda path=path, crop=crop: fitted(path, folder) | alone(crop)))
    print(table("scaling", rows)[["file", "tiles", "seconds", "alone_seconds_per_megapixel"]])


def sound(mirror: Path, folder: Path) -> None:
    """10 s of music, stereo, 44.1 kHz: its upper 16 bits, and 2 s of all its 24."""
    (source,) = mirror.glob("music-*/demo.wav")
    samples, rate = soundfile.read(source, dtype="int32", start=44_100, frames=441_000)
    deep = soundfile.info(source).subtype == "PCM_24"
    assert rate == 44_100 and samples.shape == (441_000, 2) and deep
    rows = []
    for bits, seconds in ((16, 10), (24, 2)):
        cut = folder / f"demo-{seconds}s-{bits}bit.wav"
        soundfile.write(cut, samples[: seconds * rate], rate, subtype=f"PCM_{bits}")
        rows.append((cut.name, lambda cut=cut: fitted(cut, folder)))
    print(table("sound", rows))


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["kodak", "scaling", "sound"])
    parser.add_argument("--mirror", type=Path, required=True)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        globals()[given.what](given.mirror, Path(folder))


if __name__ == "__main__":
    main()
