"""Training settings of one fit, in plain numbers. Imports no torch."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from lossless_inr.schema import Strict

Positive = Annotated[float, Field(gt=0)]
Decay = Literal["constant", "cosine", "exponential", "steps"]
Precision = Literal["float32", "tf32", "bfloat16"]


class SparsePhase(Strict):
    """Updates before number `until` see one of `divisor` parts of the positions."""

    until: Annotated[int, Field(ge=1)]
    divisor: Annotated[int, Field(ge=2)]


def _in_order(phases: tuple[SparsePhase, ...]) -> tuple[SparsePhase, ...]:
    if any(later.until <= earlier.until for earlier, later in pairwise(phases)):
        raise ValueError("each phase must end later than the one before it")
    return phases


SparsePhases = Annotated[
    tuple[SparsePhase, ...],
    BeforeValidator(lambda given: tuple(given) if isinstance(given, list) else given),
    AfterValidator(_in_order),
]


class Settings(Strict):
    """Training settings of one fit.

    Attributes
    ----------
    rate : float
        Adam's learning rate of the hidden weights.
    output_factor, bias_factor : float
        The output layer's rate and every bias' rate, relative to their layer's.
    warmup : int
        Updates over which the rate rises linearly.
    decay, horizon, floor
        `cosine` and `exponential` fall from 1 to `floor` over `horizon` updates, then stay; `steps`
        does in nine equal factors, one after each tenth of it. `constant` ignores the other two.
    epsilon : float
        Of Adam's denominator.
    focus : float
        Exponent p of the weight |sigmoid(logit) - bit|**p of each bit's loss; 0 = unweighted.
    output_init : {"network", "zero"}
        Whether the output weights start as the network draws them, or at zero.
    precision : {"float32", "tf32", "bfloat16"}
        Of the factors of the hidden layers' products in training passes. Weights, sums over
        slices, first and last layer and every check are float32. TF32 exists on CUDA only.
    sparse : tuple of SparsePhase
        Phases at the start in which an update sees a part of the positions, chosen at random and
        without repetition until all have been seen. Their counts are estimates from that part, so
        in float32 a zero is looked for after the last phase only, and exactly from there on.
    margin : float
        Go on after the first zero until the smallest distance to a decision boundary (|logit|
        for the bit forms) is at least this; 0 stops at the first zero.
    """

    rate: Positive = 1e-4
    output_factor: Positive = 1.0
    bias_factor: Positive = 1.0
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    warmup: Annotated[int, Field(ge=0)] = 0
    epsilon: Positive = 1e-8
    decay: Decay = "constant"
    horizon: Annotated[int, Field(ge=1)] | None = None
    floor: Annotated[float, Field(ge=0, le=1)] = 1.0
    focus: Annotated[float, Field(ge=0, le=4)] = 0.0
    output_init: Literal["network", "zero"] = "network"
    precision: Precision = "float32"
    sparse: SparsePhases = ()
    margin: Annotated[float, Field(ge=0)] = 0.0

    def rate_factor(self, update: int) -> float:
        """Multiplier of the rate at an update (0 = first): warm-up, then the decay."""
        factor = min(1.0, (update + 1) / self.warmup) if self.warmup else 1.0
        if self.decay == "constant":
            return factor
        progress = min(1.0, update / self.horizon)
        if self.decay == "exponential":
            factor *= self.floor**progress
        elif self.decay == "steps":
            factor *= self.floor ** (min(9, 10 * update // self.horizon) / 9)
        else:
            factor *= self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * progress))
        return factor

    @property
    def sparse_until(self) -> int:
        """First update that sees every position."""
        return self.sparse[-1].until if self.sparse else 0

    def sparse_part(self, update: int) -> tuple[int, int, int] | None:
        """(round, part, number of parts) of a sparse update; None where it sees everything."""
        begin = 0
        for phase in self.sparse:
            if update < phase.until:
                turn, part = divmod(update - begin, phase.divisor)
                return begin + turn, part, phase.divisor
            begin = phase.until
        return None
