"""Fit the coder's network to samples by the length of the file it makes (bits per sample)."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from lossless_inr.coder.context import UNIT, Context, Sight
from lossless_inr.coder.network import ACTIVATION, LOGIT, IntegerNetwork

BATCH = 8192
RATE, WARMUP = 5e-3, 50


class _Weight(torch.autograd.Function):
    """To a multiple of 1 / UNIT that int8 holds; the gradient passes."""

    @staticmethod
    def forward(ctx, weight):
        return (weight * UNIT).round().clamp(-127, 127) / UNIT

    @staticmethod
    def backward(ctx, gradient):
        return gradient


class _Activation(torch.autograd.Function):
    """floor to a multiple of 1 / UNIT in 0 .. ACTIVATION; the gradient passes inside."""

    @staticmethod
    def forward(ctx, z):
        ctx.save_for_backward(z)
        return (z * UNIT).floor().clamp(0, ACTIVATION) / UNIT

    @staticmethod
    def backward(ctx, gradient):
        (z,) = ctx.saved_tensors
        return gradient * ((z > 0) & (z < (ACTIVATION + 1) / UNIT))


class Trainable(nn.Module):
    """`IntegerNetwork` with latent float weights; the forward pass is that of the integers.

    Parameters
    ----------
    features, width, layers : int
    tasks : int
        channels x bits.
    """

    def __init__(self, features: int, width: int, layers: int, tasks: int):
        super().__init__()
        sizes = [features] + [width] * (layers - 1)
        self.hidden = nn.ParameterList(
            nn.Parameter(torch.randn(width, size) * math.sqrt((1 + (k > 0)) / size))
            for k, size in enumerate(sizes)
        )
        self.biases = nn.ParameterList(
            nn.Parameter(torch.zeros(tasks, width) if k == 0 else torch.zeros(width))
            for k in range(layers)
        )
        self.head = nn.Parameter(torch.randn(tasks, width) * 0.1)
        self.head_bias = nn.Parameter(torch.zeros(tasks))

    def forward(self, features: torch.Tensor, task: torch.Tensor) -> torch.Tensor:
        """Logits (n,) of features (n, features), integers, and tasks (n,)."""
        x = features / UNIT
        for k, (weight, bias) in enumerate(zip(self.hidden, self.biases, strict=True)):
            x = _Activation.apply(x @ _Weight.apply(weight).T + (bias[task] if k == 0 else bias))
        z = (x * _Weight.apply(self.head)[task]).sum(1) + self.head_bias[task]
        return z * UNIT * UNIT / LOGIT

    @torch.no_grad()
    def frozen(self, bits: int, channels: int, sight: Sight) -> IntegerNetwork:
        """The network in integers."""

        def weight(w):
            return (w * UNIT).round().clamp(-127, 127).to(torch.int8).numpy()

        def bias(b):
            return (b * UNIT * UNIT).round().clamp(-(2**15), 2**15 - 1).to(torch.int16).numpy()

        return IntegerNetwork(
            bits, channels, sight, [weight(w) for w in self.hidden],
            [bias(b) for b in self.biases], weight(self.head), bias(self.head_bias),
        )  # fmt: skip

    @torch.no_grad()
    def start_from(self, network: IntegerNetwork) -> None:
        """Begin with the weights of a network of the same sizes."""
        for mine, given in zip(self.hidden, network.hidden, strict=True):
            mine.copy_(torch.from_numpy(given.astype(np.float32)) / UNIT)
        for mine, given in zip(self.biases, network.biases, strict=True):
            mine.copy_(torch.from_numpy(given.astype(np.float32)) / UNIT**2)
        self.head.copy_(torch.from_numpy(network.head.astype(np.float32)) / UNIT)
        self.head_bias.copy_(torch.from_numpy(network.head_bias.astype(np.float32)) / UNIT**2)


def train(
    samples: np.ndarray,
    bits: int,
    sight: Sight,
    *,
    width: int = 32,
    layers: int = 2,
    updates: int = 1500,
    seed: int = 0,
    start: IntegerNetwork | None = None,
    progress: Callable[[int, float], None] = lambda update, rate: None,
) -> IntegerNetwork:
    """Fit a network to the bits of samples, drawn at random.

    Parameters
    ----------
    samples : ndarray of int, (images, height, width, channels)
    bits : int
    sight : Sight
    width, layers : int
    updates : int
        Of Adam, each of 8,192 bits of one channel; the rate falls to 0 with a cosine.
    seed : int
    start : IntegerNetwork, optional
        Where to begin; sizes are then its own.
    progress : callable
        Gets (updates done, bits per pixel of late).

    Returns
    -------
    IntegerNetwork
    """
    images, rows, columns, channels = samples.shape
    context = Context(samples.shape, bits, sight, samples)
    generator = np.random.default_rng(seed)
    if start is not None:
        layers, width = len(start.hidden), start.hidden[0].shape[0]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Trainable(context.features, width, layers, channels * bits)
    if start is not None:
        network.start_from(start)
    optimiser = torch.optim.Adam(network.parameters(), lr=RATE, betas=(0.9, 0.99))
    late = None
    for update in range(updates):
        for group in optimiser.param_groups:
            falling = 0.5 + 0.5 * math.cos(math.pi * update / updates)
            group["lr"] = RATE * (0.4 if start else 1.0) * min(1, (update + 1) / WARMUP) * falling
        place = [generator.integers(size, size=BATCH) for size in (images, rows, columns)]
        channel = int(generator.integers(channels))
        plane = generator.integers(bits, size=BATCH).astype(np.int32)
        value = context.at(*place, channel)
        features = context.of_plane(
            *context.of_position(*place, channel), value >> (plane + 1) << (plane + 1), plane
        )
        logits = network(torch.from_numpy(features), torch.from_numpy(channel * bits + plane))
        truth = torch.from_numpy(((value >> plane) & 1).astype(np.float32))
        loss = nn.functional.binary_cross_entropy_with_logits(logits, truth) / math.log(2)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        rate = float(loss.detach()) * bits * channels
        late = rate if late is None else 0.99 * late + 0.01 * rate
        progress(update + 1, late)
    return network.frozen(bits, channels, sight)
