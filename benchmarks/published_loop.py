"""The published training loop, written plainly from its description: the reference to beat.

One signal, one whole batch a step, the way research code does it: coordinates cloned and made to
require gradients, sigmoid and then binary cross-entropy on probabilities, a blocking copy of the
error to the host at every step, prediction and truth assembled to integers for a PSNR at every
step, a checkpoint on disk at every improvement, three log records a step. It is our own code (the
description is in the paper and its public repository); only the arithmetic is shared with the
engine's `published` recipe, so that the two can be compared step by step.

`saving=False` leaves out checkpoints and log records: row (b) of the ladder in bench_engine.py.
"""

from __future__ import annotations

import json
import math
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn


@dataclass
class Published:
    """Outcome: first iteration with BER 0 (or None), losses, and seconds of every step."""

    first_zero: int | None
    losses: list[float]
    seconds: list[float]


class Siren(nn.Module):
    """SIREN as published: sin(30 (W x + b)), applied to the activations and not to the weights."""

    def __init__(self, source: nn.Module):
        super().__init__()
        # The same initial weights as the network under comparison.
        self.layers = nn.ModuleList(
            nn.Linear(layer.in_features, layer.out_features) for layer in source.layers
        )
        self.to(next(source.parameters()).dtype)
        self.load_state_dict(source.state_dict())

    def forward(self, x):
        """Probabilities of the bits."""
        for layer in self.layers[:-1]:
            x = torch.sin(30 * layer(x))
        return torch.sigmoid(self.layers[-1](x))


def fit_published(
    source: nn.Module,
    coordinates: torch.Tensor,
    bits: torch.Tensor,
    depth: int,
    *,
    steps: int,
    saving: bool = True,
) -> Published:
    """Fit like the published code until BER is 0 or `steps` updates were applied.

    Parameters
    ----------
    source : nn.Module
        SIREN whose initial weights are taken; it is not changed.
    coordinates : Tensor, (rows, 3)
        Rows in (row, column, bit) order, bit fastest, -1 = least significant.
    bits : Tensor, (rows, channels)
        Targets 0 or 1, in the dtype of the coordinates.
    depth : int
        Bits per sample.
    steps : int
    saving : bool
        Whether to write checkpoints and log records.
    """
    device = coordinates.device
    network = Siren(source).to(device)
    adam = torch.optim.Adam(network.parameters(), lr=1e-4)
    criterion = nn.BCELoss()
    losses, seconds, first_zero, best = [], [], None, math.inf
    weights = (2.0 ** torch.arange(depth, dtype=torch.float64, device=device)).view(1, depth, 1)
    with (
        tempfile.TemporaryDirectory() as folder,
        open(Path(folder) / "log.jsonl", "w", encoding="utf-8") as log,
    ):
        for step in range(steps + 1):
            start = time.perf_counter()
            batch = coordinates.clone().detach().requires_grad_(True)
            output = network(batch)
            loss = criterion(output, bits)
            ber = (torch.round(output) - bits).abs().mean().item()
            shape = (-1, depth, bits.shape[1])
            predicted = (torch.round(output.detach()).reshape(shape).double() * weights).sum(1)
            truth = (bits.reshape(shape).double() * weights).sum(1)
            error = ((predicted - truth) ** 2).mean().item()
            psnr = math.inf if error == 0 else 10 * math.log10((2**depth - 1) ** 2 / error)
            losses.append(loss.item())
            if saving and ber < best:
                best = ber
                torch.save(network.state_dict(), Path(folder) / "checkpoint.pt")
            if saving:
                for name, value in (("ber", ber), ("psnr", psnr), ("loss", losses[-1])):
                    log.write(json.dumps({"step": step, name: value}) + "\n")
                log.flush()
            if ber == 0:
                first_zero = step
                break
            adam.zero_grad()
            loss.backward()
            adam.step()
            if device.type == "cuda":
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - start)
    return Published(first_zero, losses, seconds)


def published_inputs(form, samples: np.ndarray, dtype: torch.dtype = torch.float32, device="cpu"):
    """Coordinates and targets of a `bitplane` form, as `fit_published` takes them."""
    truth = torch.as_tensor(samples.astype(np.int64).reshape(-1, form.channels))
    return form.coordinates().to(device, dtype), form.targets(truth).to(device, dtype)
