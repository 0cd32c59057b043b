"""Does the fast recipe bring sounds back? 100 excerpts x 3 seeds of speech, music and noise.

Windows of 3,072 samples at places drawn once (seed 0), nothing left out: 30 of Free Spoken Digits,
10 of LibriSpeech and LJ Speech, 40 of music at 24 bits in stereo, 20 of noise at 8, 16 and 24
bits. The paper's parameters per sample up to 16 bits; beyond, they grow with the bits. Each fit is
decoded from its file under every setting of `fitting.verify`. `ready` are the seconds of the fit,
its saving and that verification.

    python benchmarks/sounds.py --mirror FOLDER   # resumes; writes benchmarks/results/sounds.csv
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from lossless_inr.fitting.fit import Resources, run_or_record_failure
from lossless_inr.fitting.recipe import load_recipes
from lossless_inr.fitting.record import FitSpec
from lossless_inr.fitting.sizes import paper_ratio_width
from lossless_inr.fitting.verify import verify
from lossless_inr.signals import Signal
from lossless_inr.signals.readers import read
from lossless_inr.signals.signal import sample_dtype

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "benchmarks/results/sounds.csv"
SAMPLES, SEEDS, ITERATIONS, LAYERS = 3072, 3, 1500, 5
HOW_MANY = {"digits": 30, "speech": 10, "music": 40}
PATTERNS = {
    "digits": "fsdd/recordings/*.wav",
    "speech": "l*speech/**/*.[fw]*",
    "music": "music-*/*.wav",
}
NOISE = {8: 6, 16: 7, 24: 7}


def excerpts(mirror: Path) -> Iterator[tuple[str, Signal]]:
    """(kind, excerpt), the same ones in every run."""
    random = np.random.default_rng(0)
    for kind, count in HOW_MANY.items():
        files = sorted(p for p in mirror.glob(PATTERNS[kind]) if p.suffix in (".wav", ".flac"))
        if not files:
            raise SystemExit(f"error: {mirror}: no file like {PATTERNS[kind]}; name the mirror")
        for _ in range(count):
            path = files[random.integers(len(files))]
            samples, bits = read(path)
            length = min(SAMPLES // samples.shape[1], len(samples))
            start = int(random.integers(len(samples) - length + 1))
            window = samples[start : start + length].astype(sample_dtype(bits))
            name = f"{path.parent.name}/{length}/{path.stem}_{start}"
            yield kind, Signal(name, window, bits, "audio")
    for bits, count in NOISE.items():
        for number in range(count):
            window = random.integers(0, 2**bits, (SAMPLES, 1)).astype(sample_dtype(bits))
            yield "noise", Signal(f"noise/{SAMPLES}/{bits}bit_{number}", window, bits, "audio")


def spec_of(signal: Signal, seed: int, recipe) -> FitSpec:
    """The fit of one excerpt."""
    shape = signal.samples.shape
    width = paper_ratio_width(shape, LAYERS)
    width = 4 * round(width * max(1.0, signal.bits / 16) ** 0.5 / 4)
    settings = recipe.resolve(
        network="siren",
        representation="bithead",
        bits=signal.bits,
        width=width,
        iterations=ITERATIONS,
    )
    return FitSpec(
        signal=signal.name,
        kind="audio",
        shape=list(shape),
        bits=signal.bits,
        network="siren",
        network_parameters={},
        width=width,
        hidden_layers=LAYERS,
        representation="bithead",
        representation_parameters={"loss": "bce"},
        recipe="fast",
        settings=settings,
        iterations=ITERATIONS,
        seed=seed,
    )


def main() -> None:
    """Fit and verify what the table does not have yet, and print the summary."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mirror", type=Path, required=True, help="folder of mirrored data sets")
    arguments = parser.parse_args()
    recipe = load_recipes(ROOT / "config/recipes")["fast"]
    known = pd.read_csv(TABLE) if TABLE.is_file() else pd.DataFrame(columns=["signal", "seed"])
    done = set(zip(known.signal, known.seed, strict=True))
    for kind, signal in excerpts(arguments.mirror):
        for seed in range(SEEDS):
            if (signal.name, seed) in done:
                continue
            spec = spec_of(signal, seed, recipe)
            started = time.perf_counter()
            with tempfile.TemporaryDirectory() as folder:
                resources = Resources("cpu", threads=1, exclusive=False)
                record = run_or_record_failure(spec, signal, Path(folder), resources)
                verdict = verify(record, signal, Path(folder))
            row = {
                "kind": kind,
                "signal": signal.name,
                "bits": signal.bits,
                "channels": signal.samples.shape[1],
                "distinct": len(np.unique(signal.samples)),
                "seed": seed,
                "width": spec.width,
                "parameters_per_bit": round(
                    record.parameters / (signal.samples.size * signal.bits), 3
                ),
                "status": record.status,
                "verified": verdict.verified,
                "iterations": record.iterations,
                "fit_seconds": round(record.timing.fit, 3),
                "ready": round(time.perf_counter() - started, 3),
                "margin": verdict.margin,
            }
            begin = not TABLE.is_file()
            with open(TABLE, "a", newline="") as file:
                writer = csv.DictWriter(file, row)
                if begin:
                    writer.writeheader()
                writer.writerow(row)
    table = pd.read_csv(TABLE)
    print(
        table.groupby(["kind", "bits"])
        .agg(
            fits=("verified", "size"),
            verified=("verified", "sum"),
            iterations=("iterations", "median"),
            most=("iterations", "max"),
            fit_seconds=("fit_seconds", "median"),
            ready=("ready", "median"),
        )
        .to_string()
    )


if __name__ == "__main__":
    main()
