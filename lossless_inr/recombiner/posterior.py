"""Fit the posterior of an image and choose, block by block, one of 2^16 samples of the prior.

Relative entropy coding by importance sampling: of the candidates that sender and receiver both
draw, the sender takes one with probability in proportion to q / p, which costs 16 bits and is
nearly a sample of q while KL(q | p) of the block is below 16 bits. What is chosen is frozen and the
rest goes on training.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.special import ndtri
from torch import Tensor

from lossless_inr.recombiner.prior import BLOCK_BITS, Prior, divergence

CANDIDATES = 1 << BLOCK_BITS


def candidates(block: int, size: int, only: int | None = None) -> np.ndarray:
    """Standard normal numbers of a block's candidates.

    From the bits of Philox, a stream that NumPy keeps from release to release (its normal numbers
    are not kept), by the inverse of the normal distribution.

    Parameters
    ----------
    block : int
        Its number: the key of the stream.
    size : int
        Numbers in the block.
    only : int, optional
        One candidate, at no cost for the others.

    Returns
    -------
    ndarray
        float64 (2^16, size), or (size,) of the one.
    """
    # A step of Philox gives four numbers; every candidate begins at a step of its own.
    steps = -(-size // 4)
    bits = np.random.Philox(key=block)
    many = CANDIDATES if only is None else 1
    if only is not None:
        bits.advance(only * steps)
    raw = bits.random_raw(many * steps * 4).reshape(many, -1)[:, :size]
    found = ndtri(((raw >> np.uint64(11)).astype(np.float64) + 0.5) / 2.0**53)
    return found if only is None else found[0]


def encode(
    prior: Prior,
    samples: Tensor,
    *,
    steps: int = 600,
    tune: int = 8,
    rate: float = 4e-3,
    seed: int = 0,
    tell=lambda text: None,
) -> tuple[np.ndarray, np.ndarray]:
    """Choose the blocks of several images, each by itself but computed together.

    Parameters
    ----------
    prior : Prior
        Shared parts.
    samples : Tensor
        uint8 (images, pixels).
    steps, tune : int
        Updates before the first block, and after each.
    rate : float
        Adam's, of means and log deviations; a quarter of it while blocks are being frozen.
    seed : int
        Of the noise and of the choice; the candidates do not depend on it.
    tell : callable
        Called with a line now and then.

    Returns
    -------
    indices : ndarray
        uint16 (images, blocks).
    kl : ndarray
        float64 (images,): sum of the KL of the blocks when each was chosen, in bits.
    """
    generator = torch.Generator().manual_seed(seed)
    chooser = np.random.default_rng(seed)
    n, count = len(samples), prior.count
    mean = prior.mean.repeat(n, 1).requires_grad_()
    log_dev = prior.deviation.log().repeat(n, 1) - 1
    log_dev.requires_grad_()
    beta = torch.full((n, count), prior.beta)
    frozen = torch.zeros(len(prior.mean), dtype=torch.bool)
    chosen = torch.zeros(n, len(prior.mean))
    optimiser = torch.optim.Adam([mean, log_dev], lr=rate)
    indices, total = np.zeros((n, count), np.uint16), np.zeros(n)

    def of_blocks() -> Tensor:
        each = divergence(mean, log_dev.exp(), prior.mean, prior.deviation)
        return torch.zeros(n, count).index_add(1, prior.blocks, each)

    def train(updates: int) -> None:
        nonlocal beta
        for update in range(updates):
            noise = torch.randn(mean.shape, generator=generator)
            h = torch.where(frozen, chosen, mean + log_dev.exp() * noise)
            kl = of_blocks()
            loss = prior.shared.distortion(h, samples) + (beta * kl).sum(1)
            optimiser.zero_grad()
            loss.sum().backward()
            optimiser.step()
            if update % 4 == 3:
                over = kl.detach() > BLOCK_BITS
                beta = torch.where(over, beta * 1.05, (beta / 1.05).clamp(min=prior.beta / 20))

    train(steps)
    optimiser.param_groups[0]["lr"] = rate / 4
    for block in range(count):
        where = torch.nonzero(prior.blocks == block)[:, 0]
        with torch.no_grad():
            total += of_blocks()[:, block].double().numpy()
            z = torch.from_numpy(candidates(block, len(where)))
            m = ((mean[:, where] - prior.mean[where]) / prior.deviation[where]).double()
            s = (log_dev[:, where].exp() / prior.deviation[where]).double()
            # log q - log p, up to what is the same for all: linear in z^2 and z.
            weights = (z.square() @ (0.5 - 0.5 / s.square()).T) + z @ (m / s.square()).T
            gumbel = torch.from_numpy(chooser.gumbel(size=weights.shape))
            taken = (weights + gumbel).argmax(0)
            indices[:, block] = taken.numpy().astype(np.uint16)
            chosen[:, where] = (
                prior.mean[where].double() + prior.deviation[where].double() * z[taken]
            ).float()
            frozen[where] = True
        if block + 1 < count:
            train(tune)
        if block % 20 == 19:
            with torch.no_grad():
                h = torch.where(frozen, chosen, mean)
                now = float(prior.shared.distortion(h, samples).mean())
            tell(f"block {block + 1} of {count}: distortion {now:.3f}")
    return indices, total


def chosen_numbers(prior: Prior, indices: np.ndarray) -> Tensor:
    """The numbers h that a file's indices name: float64 (parameters,).

    Parameters
    ----------
    prior : Prior
        Shared parts.
    indices : ndarray
        uint16 (blocks,).
    """
    h = torch.empty(len(prior.mean), dtype=torch.float64)
    for block, index in enumerate(indices):
        where = prior.blocks == block
        z = torch.from_numpy(candidates(block, int(where.sum()), int(index)))
        # Through float32, as the sender's: both must hold the same network.
        h[where] = (
            (prior.mean[where].double() + prior.deviation[where].double() * z).float().double()
        )
    return h


def psnr(found: np.ndarray, samples: np.ndarray) -> float:
    """Peak signal to noise ratio of uint8 samples, dB; infinite where all are equal."""
    error = np.square(found.astype(float) - samples).mean()
    return math.inf if error == 0 else float(10 * np.log10(255**2 / error))
