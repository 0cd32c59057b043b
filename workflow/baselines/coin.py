"""COIN: compression with implicit neural representations, in plain PyTorch.

Dupont, Golinski, Alizadeh, Teh, Doucet: "COIN: COmpression with Implicit Neural representations",
ICLR 2021 workshop (arXiv 2103.03123). A SIREN from coordinates to colours in [0, 1] is overfitted
by Adam (2e-4) to the mean squared error; the weights of the best PSNR, in half precision, are the
code. The paper's own initialisation: biases from the interval of their layer's weights. This file
shares nothing with the suite's engine.

    python coin.py encode SAMPLES.raw FACTS.json CODE ITERATIONS
    python coin.py decode CODE FACTS.json RECONSTRUCTION.raw
"""

import json
import math
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

# The smallest network of the paper's Kodak experiments; omega_0 as there.
WIDTH, LAYERS, OMEGA = 20, 5, 30.0
RATE = 2e-4


class Sine(nn.Module):
    def __init__(self, inputs, outputs, first=False):
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)
        bound = 1 / inputs if first else math.sqrt(6 / inputs) / OMEGA
        nn.init.uniform_(self.linear.weight, -bound, bound)
        nn.init.uniform_(self.linear.bias, -bound, bound)

    def forward(self, x):
        return torch.sin(OMEGA * self.linear(x))


def network(axes, channels):
    torch.manual_seed(0)
    hidden = [Sine(axes if k == 0 else WIDTH, WIDTH, first=k == 0) for k in range(LAYERS)]
    last = nn.Linear(WIDTH, channels)
    bound = math.sqrt(6 / WIDTH) / OMEGA
    nn.init.uniform_(last.weight, -bound, bound)
    nn.init.uniform_(last.bias, -bound, bound)
    return nn.Sequential(*hidden, last)


def coordinates(shape):
    axes = [torch.linspace(-1, 1, size) for size in shape[:-1]]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(axes))


def encode(raw, facts, code, iterations):
    shape, top = facts["shape"], 2 ** facts["bits"] - 1
    samples = np.fromfile(raw, facts["dtype"]).astype(np.float64) / top
    target = torch.tensor(samples, dtype=torch.float32).reshape(-1, shape[-1])
    where = coordinates(shape)
    model = network(where.shape[-1], shape[-1])
    optimiser = torch.optim.Adam(model.parameters(), lr=RATE)
    best, kept = math.inf, None
    for _ in range(iterations):
        loss = ((model(where) - target) ** 2).mean()
        if loss.item() < best:
            best = loss.item()
            kept = [p.detach().clone() for p in model.parameters()]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    weights = torch.cat([p.reshape(-1) for p in kept]).to(torch.float16)
    weights.numpy().astype("<f2").tofile(code)


def decode(code, facts, reconstruction):
    shape, top = facts["shape"], 2 ** facts["bits"] - 1
    where = coordinates(shape)
    model = network(where.shape[-1], shape[-1])
    weights = torch.tensor(np.fromfile(code, "<f2").astype(np.float32))
    nn.utils.vector_to_parameters(weights, model.parameters())
    with torch.no_grad():
        values = model(where).double().clamp(0, 1).mul(top).round().numpy()
    values.reshape(shape).astype(facts["dtype"]).tofile(reconstruction)


if __name__ == "__main__":
    torch.set_num_threads(1)
    step, first, told, target, *rest = sys.argv[1:]
    facts = json.loads(Path(told).read_text())
    if step == "encode":
        encode(first, facts, target, int(rest[0]))
    else:
        decode(first, facts, target)
