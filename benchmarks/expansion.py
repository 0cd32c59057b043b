"""Can a network that saw only the top bits of an image beat a constant midpoint?

Variants of the self-supervised protocol of Table 5 on the 15 real 16-bit photographs (set rgb16),
q to 16 bits: bit planes with the bit axis squeezed or stretched (its frequency), stopped early or
late, read by threshold or as expected value; value regressions of few frequencies, by squared
error or by the distance to the known interval alone, or of each colour of a chessboard by a
network fitted to the other; and, without a network, the mean of the four neighbours. Values are
read clamped to the known interval, or as the posterior mean inside it
(`expansion.readings.posterior_shares`). Every guess keeps the known bits. A line for each variant
and image goes to a CSV, and a summary to the terminal; halves of the images are told apart, so
that a variant chosen on the first half can be judged on the second.

    python benchmarks/expansion.py [--size 32x32] [--bits 8] [--seconds 240]
"""

from __future__ import annotations

import argparse
import os
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from lossless_inr.datasets.catalog import Catalog
from lossless_inr.datasets.store import Store
from lossless_inr.expansion.readings import assemble, neighbour_shares, posterior_shares
from lossless_inr.expansion.rules import midpoint, split
from lossless_inr.metrics import count_errors, psnr

ROOT = Path(__file__).resolve().parents[1]
OUTPUT = ROOT / "benchmarks/results/expansion.csv"
DEPTH, RATE = 16, 1e-3
# Width and hidden layers: the paper's parameters per bit, and fewer than there are samples.
PAPER, SMALL = (64, 5), (24, 2)


class Sines(torch.nn.Module):
    """One SIREN for each image, evaluated side by side (Sitzmann et al., NeurIPS 2020)."""

    def __init__(self, count: int, inputs: int, omegas: tuple, shape: tuple[int, int] = PAPER):
        super().__init__()
        (omega_first, omega), (width, hidden) = omegas, shape
        sizes = [inputs, *[width] * (hidden + 1), 3]
        self.omegas = [omega_first] + [omega] * hidden
        self.weights, self.biases = torch.nn.ParameterList(), torch.nn.ParameterList()
        for place, (d_in, d_out) in enumerate(pairwise(sizes)):
            bound = 1 / d_in if place == 0 else np.sqrt(6 / d_in) / omega
            self.weights.append((torch.rand(count, d_in, d_out) * 2 - 1) * bound)
            self.biases.append((torch.rand(count, 1, d_out) * 2 - 1) / np.sqrt(d_in))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(rows, inputs) -> (images, rows, outputs)."""
        x = x.expand(len(self.weights[0]), *x.shape)
        for place, (w, b) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = torch.baddbmm(b, x, w)
            if place < len(self.omegas):
                x = torch.sin(self.omegas[place] * x)
        return x


def grid(*axes: torch.Tensor) -> torch.Tensor:
    """All rows of these coordinates, last axis fastest."""
    return torch.stack([g.reshape(-1) for g in torch.meshgrid(*axes, indexing="ij")], dim=1)


def trained(network: Sines, x: torch.Tensor, loss, stops: list[int]):
    """Adam at a constant rate; the network at each of these numbers of updates."""
    adam = torch.optim.Adam(network.parameters(), lr=RATE)
    for step in range(max(stops) + 1):
        if step in stops:
            yield step
        adam.zero_grad()
        loss(network(x)).backward()
        adam.step()


class Images:
    """Truth and known bits of every image: int64 (images, positions, 3)."""

    def __init__(self, size: str, bits: int):
        catalog = Catalog(ROOT / "config/datasets.tsv", ROOT)
        entries = catalog.of_set("rgb16")
        Store(catalog, os.environ.get("LOSSLESS_INR_MIRROR")).obtain(entries)
        whole = [catalog.prepare(f"rgb16/{size}/{entry.name}") for entry in entries]
        both = [split(s.samples, DEPTH, bits, DEPTH, s.name) for s in whole]
        self.names = [s.name for s in whole]
        self.side, self.bits, self.step = whole[0].samples.shape[0], bits, 1 << (DEPTH - bits)
        self.truth, self.known = (
            np.stack([pair[k].reshape(-1, 3) for pair in both]) for k in (0, 1)
        )

    def score(self, guess: np.ndarray) -> list[float]:
        """PSNR of each image in dB, of a guess of its low bits (images, positions, 3)."""
        found = assemble(self.known, guess, self.step)
        return [
            psnr(int(count_errors(f, t)), t.size, DEPTH)
            for f, t in zip(found, self.truth, strict=True)
        ]


def planes(images: Images, scale: float, stops: list[int]):
    """Bit planes, with the bit axis `scale` times as long as on [-1, 1] of 16 planes."""
    q, side = images.bits, torch.linspace(-1, 1, images.side)
    axis = torch.linspace(-1, 1, DEPTH) * scale
    network = Sines(len(images.names), 3, (30, 30))
    known = torch.from_numpy(images.known)
    bits = ((known[:, :, None, :] >> torch.arange(q).view(1, 1, q, 1)) & 1).flatten(1, 2).float()
    below = grid(side, side, axis[: DEPTH - q])
    weight = 2.0 ** np.arange(DEPTH - q).reshape(1, 1, -1, 1)

    def loss(logits):
        each = torch.nn.functional.binary_cross_entropy_with_logits(logits, bits, reduction="none")
        return each.mean((1, 2)).sum()

    for stop in trained(network, grid(side, side, axis[DEPTH - q :]), loss, stops):
        with torch.no_grad():
            p = torch.sigmoid(network(below).double())
        p = p.reshape(len(known), -1, DEPTH - q, 3).numpy()
        yield stop, "threshold", (weight * (p > 0.5)).sum(2)
        yield stop, "expected", (weight * p).sum(2)


def value(images: Images, omegas: tuple, shape: tuple[int, int], kind: str, stops: list[int]):
    """The image as one smooth function: squared error to mid-steps, or to the intervals alone."""
    side, top = torch.linspace(-1, 1, images.side), 2**images.bits
    low = torch.from_numpy(images.known).float()
    network = Sines(len(images.names), 2, omegas, shape)

    def loss(outputs):
        levels = (outputs + 1) / 2 * top
        error = levels - (low + 0.5)
        if kind == "interval":
            error = torch.relu(error.abs() - 0.5)
        # In units of the range, as an image is fitted; the interval's is too small for that.
        return ((error / top * 2) ** 2).mean((1, 2)).sum()

    for stop in trained(network, grid(side, side), loss, stops):
        with torch.no_grad():
            levels = (network(grid(side, side)).double() + 1) / 2 * top
        yield from readings(images, stop, levels.numpy() - images.known)


def crossed(images: Images, omegas: tuple, shape: tuple[int, int], stops: list[int]):
    """Two networks an image, each fitted to one colour of a chessboard and asked at the other.

    A network is then never asked where it was fitted, so its distance to the known values is an
    honest estimate of its error.
    """
    side, top = torch.linspace(-1, 1, images.side), 2**images.bits
    low = torch.from_numpy(images.known).float()
    colour = (torch.arange(images.side)[:, None] + torch.arange(images.side)) % 2
    white = colour.reshape(1, -1, 1).float()
    network = Sines(2 * len(low), 2, omegas, shape)
    fitted = torch.cat([white.expand(len(low), -1, 1), (1 - white).expand(len(low), -1, 1)])

    def loss(outputs):
        error = (outputs + 1) / 2 - (torch.cat([low, low]) + 0.5) / top
        return (fitted * (2 * error) ** 2).mean((1, 2)).sum() * 2

    for stop in trained(network, grid(side, side), loss, stops):
        with torch.no_grad():
            levels = (network(grid(side, side)).double() + 1) / 2 * top
        on_white, on_black = levels[: len(low)], levels[len(low) :]
        asked = on_white * (1 - white) + on_black * white
        yield from readings(images, stop, asked.numpy() - images.known)


def readings(images: Images, stop: int, shares: np.ndarray):
    """Both readings of predictions (images, positions, 3), 0 ... 1 inside the known step."""
    yield stop, "value", shares * images.step - 0.5
    square = (images.side, images.side, 3)
    kept = [posterior_shares(one.reshape(square)).reshape(one.shape) for one in shares]
    yield stop, "posterior", np.stack(kept) * images.step - 0.5


def neighbours(images: Images):
    """No network: the mean of the four neighbours' mid-steps."""
    square = (images.side, images.side, 3)
    shares = [neighbour_shares(one.reshape(square)).reshape(one.shape) for one in images.known]
    yield from readings(images, 0, np.stack(shares))


def variants(images: Images):
    """(name, generator of (updates, reading, guess)) of everything that is tried."""
    yield "four neighbours, no network", neighbours(images)
    for shape, stops in ((SMALL, [100, 300, 1000]), (PAPER, [50, 200, 600])):
        size = f"{shape[0]}x{shape[1]}"
        for omegas in ((10, 30), (10, 10), (3, 30)) if shape == SMALL else ((10, 30),):
            name = f"omega {omegas[0]}/{omegas[1]}, {size}"
            yield f"value, {name}", value(images, omegas, shape, "squared", stops)
            yield f"interval, {name}", value(images, omegas, shape, "interval", stops)
            yield f"other colour, {name}", crossed(images, omegas, shape, stops)
    for scale in (0.25, 1.0):
        yield f"planes, bit axis x {scale:g}", planes(images, scale, [10, 30, 100])


def keep(rows: list[dict], output: Path) -> None:
    """Add rows to the CSV; what was not tried again stays."""
    table = pd.DataFrame(rows)
    if output.is_file():
        keys = ["signal", "bits", "variant", "reading", "updates"]
        table = pd.concat([pd.read_csv(output), table]).drop_duplicates(keys, keep="last")
    table.to_csv(output, index=False)


def main() -> None:
    """Try every variant, write a line for each image, print paired differences."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="32x32")
    parser.add_argument("--bits", type=int, default=8)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--only", default="", help="variants whose name begins so")
    parser.add_argument("--seconds", type=float, default=1e9, help="begin no variant after so long")
    options = parser.parse_args()
    torch.set_num_threads(1)
    images, start = Images(options.size, options.bits), time.perf_counter()
    middle = images.score(midpoint(np.zeros_like(images.known), options.bits, DEPTH).astype(float))
    for name, found in variants(images):
        if not name.startswith(options.only):
            continue
        if time.perf_counter() - start > options.seconds:
            print(f"not tried, out of time: {name}")
            continue
        torch.manual_seed(0)
        rows = []
        for updates, reading, guess in found:
            scores = images.score(guess)
            for signal, decibels, theirs in zip(images.names, scores, middle, strict=True):
                row = {"signal": signal, "bits": options.bits, "variant": name, "reading": reading}
                row |= {"updates": updates, "psnr": round(decibels, 4)}
                rows.append(row | {"over_midpoint": round(decibels - theirs, 4)})
            gain = np.array(scores) - middle
            text = f"{name:32} {reading:9} {updates:4} updates: {gain.mean():+.3f} dB over midpoint"
            halves = gain[: len(gain) // 2].mean(), gain[len(gain) // 2 :].mean()
            print(f"{text}, {(gain > 0).sum():2} of {len(gain)}; halves {halves[0]:+.3f} "
                  f"{halves[1]:+.3f}; {time.perf_counter() - start:.0f} s", flush=True)  # fmt: skip
        keep(rows, options.output)


if __name__ == "__main__":
    main()
