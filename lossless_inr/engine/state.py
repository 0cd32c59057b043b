"""Weights, gradients and Adam's moments of several networks of one shape, one row each.

A row holds a network's real numbers in the order of `named_parameters()`. Complex parameters come
first and as pairs: a view as complex numbers must begin at an even place. One flat buffer makes
the optimiser, the copy at the first zero, checkpoints and dropping a finished network a matter of
rows.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from lossless_inr.engine.settings import Settings
from lossless_inr.networks._base import layers_of


def real(parameter: torch.Tensor) -> torch.Tensor:
    """A view of real numbers: complex tensors get a last axis of 2."""
    return torch.view_as_real(parameter) if parameter.is_complex() else parameter


def ordered(network: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """Names and parameters in the order of a row."""
    return sorted(network.named_parameters(), key=lambda item: not item[1].is_complex())


class State:
    """Training state of B networks ("members") of one shape.

    Parameters
    ----------
    networks : list of nn.Module
        On one device, with the same parameters by name and shape (see `layers_of`).
    settings : Settings

    Attributes
    ----------
    weights, gradients, mean, square : Tensor, (B, P)
        P is the number of real numbers of one network, and one more if a complex network's is
        odd.
    rates : Tensor, (P,)
        Each parameter's learning rate before warm-up and decay.
    step : int
        Updates applied.
    """

    def __init__(self, networks: list[nn.Module], settings: Settings):
        self.settings, self.step = settings, 0
        parameters = ordered(networks[0])
        self.shapes = {name: real(p).shape for name, p in parameters}
        count = sum(math.prod(shape) for shape in self.shapes.values())
        self.padding = count % 2 if any(p.is_complex() for _, p in parameters) else 0
        spare = real(parameters[0][1].detach()).new_zeros(self.padding)
        self.weights = torch.stack(
            [
                torch.cat([*(real(p.detach()).reshape(-1) for _, p in ordered(n)), spare])
                for n in networks
            ]
        )
        outputs = [layers[-1] for layers in layers_of(networks[0])]
        last = {id(p) for layer in outputs for p in layer.parameters()}
        if settings.output_init == "zero":
            weights = {id(layer.weight) for layer in outputs}
            for name, parameter in parameters:
                if id(parameter) in weights:
                    self.views(self.weights)[name].zero_()
        self.gradients = torch.zeros_like(self.weights)
        self.mean = torch.zeros_like(self.weights)
        self.square = torch.zeros_like(self.weights)
        rates = []
        for name, parameter in parameters:
            rate = settings.rate
            rate *= settings.output_factor if id(parameter) in last else 1.0
            rate *= settings.bias_factor if name.endswith("bias") else 1.0
            rates.append(torch.full((real(parameter).numel(),), rate, dtype=torch.float64))
        rates.append(torch.zeros(self.padding, dtype=torch.float64))
        self.rates = torch.cat(rates).to(self.weights)

    def views(self, buffer: torch.Tensor) -> dict[str, torch.Tensor]:
        """Name -> view of a (B, P) or (P,) buffer in the parameter's shape, after the row axis."""
        sizes = [math.prod(shape) for shape in self.shapes.values()]
        parts = buffer.split([*sizes, self.padding], dim=-1)[:-1]
        return {
            name: part.unflatten(-1, tuple(shape))
            for (name, shape), part in zip(self.shapes.items(), parts, strict=True)
        }

    def corrections(self) -> tuple[float, float]:
        """Adam's 1 / (1 - beta1**step) and 1 / sqrt(1 - beta2**step), after counting one step."""
        self.step += 1
        beta1, beta2 = self.settings.beta1, self.settings.beta2
        return 1 / (1 - beta1**self.step), 1 / math.sqrt(1 - beta2**self.step)

    @torch.no_grad()
    def update(self) -> None:
        """One step of Adam, as torch.optim.Adam without weight decay."""
        factor = self.settings.rate_factor(self.step)
        first, second = self.corrections()
        self.mean.lerp_(self.gradients, 1 - self.settings.beta1)
        self.square.mul_(self.settings.beta2)
        self.square.addcmul_(self.gradients, self.gradients, value=1 - self.settings.beta2)
        # The gradients are not needed any more: their memory holds the step.
        step = torch.sqrt(self.square, out=self.gradients).mul_(second).add_(self.settings.epsilon)
        torch.div(self.mean, step, out=step).mul_(self.rates)
        self.weights.sub_(step, alpha=factor * first)

    def keep(self, rows: list[int]) -> None:
        """Drop every member but these."""
        for name in ("weights", "gradients", "mean", "square"):
            setattr(self, name, getattr(self, name)[rows].clone())
