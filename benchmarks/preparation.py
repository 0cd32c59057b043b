"""Preparing: seconds for whole sets, and where the integers differ from the published arithmetic.

The published code resizes float32 tensors with torchvision's antialiased bilinear filter, which is
PyTorch's own `interpolate`; here that runs beside the float64 preparation of this suite, on the
same files, and the samples that differ are counted.

    python benchmarks/preparation.py --mirror MIRROR    # writes results/preparation.json
"""

from __future__ import annotations

import argparse
import json
import logging
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from lossless_inr.datasets.catalog import Catalog
from lossless_inr.datasets.prepare import prepare_all
from lossless_inr.datasets.store import Store
from lossless_inr.datasets.table import COLUMNS
from lossless_inr.signals import readers, resample

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "benchmarks/results/preparation.json"


def published(samples: np.ndarray, side: int, bits: int) -> np.ndarray:
    """The published preprocessing in float32, step by step (train.py of the paper's code)."""
    top = 2**bits - 1
    image = torch.from_numpy(resample.centre_square(samples).astype(np.float32) / np.float32(top))
    small = torch.nn.functional.interpolate(
        image.permute(2, 0, 1)[None], (side, side), mode="bilinear", antialias=True
    )
    return (small * top).round().clamp(0, top)[0].permute(1, 2, 0).numpy().astype(np.int64)


def differences(catalog: Catalog, group: str, size: str) -> dict:
    """Samples of a set whose integers differ from the published arithmetic, and by how much."""
    total = differing = largest = 0
    for entry in catalog.of_set(group):
        if size not in entry.sizes:
            continue
        ours = catalog.prepare(f"{group}/{size}/{entry.name}").samples.astype(np.int64)
        source, bits = readers.read(catalog.source_path(entry))
        step = np.abs(ours - published(source, ours.shape[0], bits))
        total, differing = total + step.size, differing + int((step > 0).sum())
        largest = max(largest, int(step.max()))
    return {"samples": total, "differing": differing, "largest_step": largest}


def seconds_of(catalog: Catalog, signals: list[str]) -> float:
    """Wall time of preparing signals into an empty folder, on all cores."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        assert prepare_all(catalog, signals, Path(folder)) == []
        return round(time.perf_counter() - start, 2)


def generated(folder: Path, count: int) -> tuple[Catalog, list[str]]:
    """Photograph-like PNGs of DIV2K's size: smooth fields with noise."""
    rng, rows = np.random.default_rng(0), []
    (folder / "files").mkdir()
    y, x = np.mgrid[0:1356, 0:2040] / 200
    for k in range(count):
        waves = [np.sin(y * a + x * b + k) for a, b in rng.uniform(0.2, 3, (3, 2))]
        pixels = 120 + 60 * np.stack(waves, -1) + rng.normal(0, 6, (1356, 2040, 3))
        image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
        image.save(folder / f"files/{k}.png", compress_level=1)
        cells = {"set": "big", "name": f"p{k}", "kind": "photo", "bits": "8", "source_bits": "8"}
        cells |= {"source_shape": "?x?x3", "source": f"file:files/{k}.png", "prepare": "resize"}
        rows.append(
            "\t".join(cells.get(column, "x" if column == "title" else "") for column in COLUMNS)
        )
    (folder / "datasets.tsv").write_text("\n".join(["\t".join(COLUMNS), *rows]) + "\n")
    return Catalog(folder / "datasets.tsv", folder), [f"big/256x256/p{k}" for k in range(count)]


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mirror", help="folder that holds Kodak and the 16-bit images")
    logging.basicConfig(format="%(message)s")
    catalog = Catalog(ROOT / "config/datasets.tsv", ROOT)
    store = Store(catalog, parser.parse_args().mirror)
    for group in ("kodak", "rgb16"):
        store.obtain(catalog.of_set(group))
    found = {
        "difference_from_published_float32": {
            f"{group}/{size}": differences(catalog, group, size)
            for group, size in (
                *(("kodak", size) for size in ("256x256", "64x64", "32x32")),
                *(("rgb16", size) for size in ("256x256", "32x32")),
            )
        },
        "seconds": {
            "kodak, 24 images, 256x256": seconds_of(
                catalog, [f"kodak/256x256/{e.name}" for e in catalog.of_set("kodak")]
            )
        },
    }
    with tempfile.TemporaryDirectory() as folder:
        found["seconds"]["100 generated 2040x1356 PNG, 256x256"] = seconds_of(
            *generated(Path(folder), 100)
        )
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    found["peak_mib_of_a_worker"] = children.ru_maxrss // 1024
    RESULT.write_text(json.dumps(found, indent=1) + "\n")
    print(RESULT.read_text())


if __name__ == "__main__":
    main()
