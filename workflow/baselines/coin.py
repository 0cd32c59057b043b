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

# The smallest network of the paper's Kodak experiments; omega_0 as there.
WIDTH, LAYERS, OMEGA = 20, 5, 30.0
RATE = 2e-4


def sizes(facts):
    """(inputs, outputs) of each layer."""
    inputs, outputs = len(facts["shape"]) - 1, facts["shape"][-1]
    return [(inputs, WIDTH), *[(WIDTH, WIDTH)] * (LAYERS - 1), (WIDTH, outputs)]


def coordinates(facts):
    """Positions in [-1, 1], float64 (positions, axes), in C order."""
    axes = [np.linspace(-1, 1, size) for size in facts["shape"][:-1]]
    return np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(axes))


def encode(raw, facts, code, iterations):
    """Fit the file of samples `raw`; the best weights go to the file `code` in half precision."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    parameters = []
    for k, (inputs, outputs) in enumerate(sizes(facts)):
        bound = 1 / inputs if k == 0 else math.sqrt(6 / inputs) / OMEGA
        for shape in ((outputs, inputs), (outputs,)):
            parameters.append(torch.empty(shape).uniform_(-bound, bound).requires_grad_())

    def network(values):
        for k in range(0, len(parameters), 2):
            values = torch.nn.functional.linear(values, parameters[k], parameters[k + 1])
            if k < len(parameters) - 2:
                values = torch.sin(OMEGA * values)
        return values

    samples = np.fromfile(raw, facts["dtype"]).reshape(-1, facts["shape"][-1])
    target = torch.tensor(samples / (2 ** facts["bits"] - 1), dtype=torch.float32)
    where = torch.tensor(coordinates(facts), dtype=torch.float32)
    optimiser = torch.optim.Adam(parameters, lr=RATE)
    best = math.inf
    for _ in range(iterations):
        loss = ((network(where) - target) ** 2).mean()
        if loss.item() < best:
            best, kept = loss.item(), [p.detach().clone() for p in parameters]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    torch.cat([p.reshape(-1) for p in kept]).numpy().astype("<f2").tofile(code)


def decode(code, facts, reconstruction):
    """Weights in the file `code` to a file of samples; in NumPy: the decoder needs no PyTorch."""
    weights, values = np.fromfile(code, "<f2").astype(np.float64), coordinates(facts)
    for k, (inputs, outputs) in enumerate(sizes(facts)):
        matrix, bias, weights = np.split(weights, [inputs * outputs, (inputs + 1) * outputs])
        values = values @ matrix.reshape(outputs, inputs).T + bias
        if k < LAYERS:
            values = np.sin(OMEGA * values)
    top = 2 ** facts["bits"] - 1
    np.rint(values.clip(0, 1) * top).astype(facts["dtype"]).tofile(reconstruction)


if __name__ == "__main__":
    step, first, told, target, *rest = sys.argv[1:]
    facts = json.loads(Path(told).read_text())
    if step == "encode":
        encode(first, facts, target, int(rest[0]))
    else:
        decode(first, facts, target)
