"""What sender and receiver share: maps, convolutions, a Gaussian for each number, and its blocks.

Fitted on a training set, as RECOMBINER does: posteriors of the training images and the shared parts
follow distortion + beta x KL; after each round the prior takes the moments of the posteriors, and
beta moves until the mean KL is the budget.
"""

from __future__ import annotations

import hashlib
import io
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lossless_inr.recombiner.model import Shared

BLOCK_BITS = 16
# Rates of the shared parts beside the posteriors': the maps act on all weights of a layer at once.
# At the posteriors' own rate the values stayed at the mean image (512 digits, 2,500 steps).
MAPS, CONVOLUTIONS = 0.06, 0.1


@dataclass
class Prior:
    """Everything shared. `blocks` gives each number's block (int64, parameters_each)."""

    shared: Shared
    mean: Tensor
    deviation: Tensor
    blocks: Tensor
    beta: float

    @property
    def count(self) -> int:
        """Blocks of an image, which is 16 bits each."""
        return int(self.blocks.max()) + 1

    @property
    def digest(self) -> bytes:
        """First four bytes of the SHA-256 of the shared numbers; every file holds them."""
        total = hashlib.sha256(self.shared.form.encode())
        for tensor in (self.mean, self.deviation, self.blocks, *self.shared.state_dict().values()):
            total.update(tensor.detach().contiguous().numpy().tobytes())
        return total.digest()[:4]

    def save(self, path) -> None:
        """Write all to one file (npz of half-precision numbers, no pickle)."""

        def half(tensor: Tensor) -> np.ndarray:
            return tensor.half().numpy()

        named = {f"shared.{k}": half(v) for k, v in self.shared.state_dict().items()}
        content = io.BytesIO()
        np.savez(
            content, form=self.shared.form, size=[self.shared.height, self.shared.width],
            mean=half(self.mean), deviation=half(self.deviation),
            blocks=self.blocks.numpy().astype(np.uint16), beta=self.beta, **named,
        )  # fmt: skip
        path.write_bytes(content.getvalue())

    @classmethod
    def load(cls, path) -> Prior:
        """Read a file of `save`."""
        with np.load(path, allow_pickle=False) as found:
            shared = Shared(str(found["form"]), *map(int, found["size"]))
            state = {
                k.removeprefix("shared."): torch.from_numpy(found[k]).float()
                for k in found.files
                if k.startswith("shared.")
            }
            shared.load_state_dict(state)
            mean, deviation = (torch.from_numpy(found[k]).float() for k in ("mean", "deviation"))
            blocks = torch.from_numpy(found["blocks"].astype(np.int64))
            return cls(shared, mean, deviation, blocks, beta=float(found["beta"]))


def divergence(mean: Tensor, deviation: Tensor, prior_mean: Tensor, prior_dev: Tensor) -> Tensor:
    """KL(q | p) of Gaussians, number by number, in bits."""
    ratio = deviation / prior_dev
    moved = ((mean - prior_mean) / prior_dev).square()
    return (0.5 * (ratio.square() + moved - 1) - torch.log(ratio)) / math.log(2)


def fit_prior(
    form: str,
    samples: Tensor,
    *,
    bits: float | None,
    steps: int = 3000,
    batch: int = 128,
    rate: float = 1e-2,
    seed: int = 0,
    tell=lambda text: None,
) -> Prior:
    """Learn the shared parts.

    Parameters
    ----------
    form : {"value", "planes"}
        See `Shared`.
    samples : Tensor
        uint8 (images, 784): the training set.
    bits : float or None
        Mean KL of an image to aim at. None: beta stays 1, which for `planes` minimises the length
        of sample and residual together.
    steps, batch, rate, seed
        Of Adam; a batch of images a step; the rate falls to zero as a cosine.
    tell : callable
        Called with a line now and then.

    Returns
    -------
    Prior
        With blocks of about 16 bits by the training set's mean KL.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        shared = Shared(form)
    n, p = len(samples), shared.parameters_each
    start = shared.start(generator)
    mean = start.repeat(n, 1).requires_grad_()
    log_dev = torch.full((n, p), math.log(0.02)).requires_grad_()
    prior_mean, prior_dev = start.clone(), torch.full((p,), 0.1)
    beta = 1.0 if form == "planes" else 1e-3
    # Adam's moments of the posteriors: a step moves those of its batch only.
    own = [torch.zeros(2, n, p), torch.zeros(2, n, p)]
    optimiser = torch.optim.Adam(
        [
            {"params": [*shared.down, *shared.up], "factor": MAPS},
            {"params": list(shared.raise_.parameters()), "factor": CONVOLUTIONS},
        ]
    )
    order, used = torch.randperm(n, generator=generator), 0
    taken = torch.zeros(n)
    for step in range(steps):
        now = rate * 0.5 * (1 + math.cos(math.pi * step / steps))
        if used + batch > n:
            order, used = torch.randperm(n, generator=generator), 0
        rows = order[used : used + batch]
        used += batch
        m, s = mean.detach()[rows].requires_grad_(), log_dev.detach()[rows].requires_grad_()
        noise = torch.randn(m.shape, generator=generator)
        distortion = shared.distortion(m + s.exp() * noise, samples[rows])
        kl = divergence(m, s.exp(), prior_mean, prior_dev).sum(1)
        loss = (distortion + beta * kl).mean()
        optimiser.zero_grad()
        for part in optimiser.param_groups:
            part["lr"] = now * part["factor"]
        loss.backward()
        optimiser.step()
        taken[rows] += 1
        with torch.no_grad():
            for value, slope, moments in ((mean, m.grad, own[0]), (log_dev, s.grad, own[1])):
                _adam_rows(value, slope * len(rows), moments, rows, taken[rows], now)
            if step % 20 == 19:
                kept = taken > 0
                dev = log_dev[kept].exp()
                prior_mean = mean[kept].mean(0)
                spread = dev.square() + (mean[kept] - prior_mean).square()
                prior_dev = spread.mean(0).sqrt()
            if bits is not None and step % 10 == 9:
                beta *= 1.05 if kl.mean() > bits else 1 / 1.05
        if step % 100 == 99:
            d, k = float(distortion.detach().mean()), float(kl.detach().mean())
            tell(f"step {step + 1}: distortion {d:.3f}, KL {k:.0f} bits, beta {beta:.2e}")
    with torch.no_grad():
        each = divergence(mean, log_dev.exp(), prior_mean, prior_dev).mean(0)
        aim = bits if bits is not None else float(each.sum())
        blocks = group(each, math.ceil(aim / BLOCK_BITS), generator)
        # What is shared has the precision of its file.
        for number in (prior_mean, prior_dev, *shared.parameters()):
            number.copy_(number.half())
    return Prior(shared.requires_grad_(False), prior_mean, prior_dev, blocks, beta)


def _adam_rows(value, slope, moments, rows, taken, rate) -> None:
    """Adam's step of some rows of `value`, each with its own count of steps."""
    moments[0, rows] = first = 0.9 * moments[0, rows] + 0.1 * slope
    moments[1, rows] = second = 0.99 * moments[1, rows] + 0.01 * slope.square()
    first = first / (1 - 0.9 ** taken[:, None])
    second = second / (1 - 0.99 ** taken[:, None])
    value[rows] -= rate * first / (second.sqrt() + 1e-8)


def group(each: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Split numbers in random order into `count` blocks of about equal KL: int64 (parameters,)."""
    order = torch.randperm(len(each), generator=generator)
    share = each[order].clamp(min=1e-6).double()
    middle = share.cumsum(0) - share / 2
    blocks = torch.empty(len(each), dtype=torch.long)
    blocks[order] = (middle / share.sum() * count).long().clamp(0, count - 1)
    # Every block number must occur: an empty one would cost 16 bits for nothing.
    return torch.unique(blocks, return_inverse=True)[1]
