"""A short fit of weights that are held in 8 bits, where rounding them cost some bits."""

from __future__ import annotations

import torch
from torch import nn
from torch.func import functional_call

from lossless_inr.models.format import SCALE
from lossless_inr.models.storage import INT8_TOP, pack
from lossless_inr.representations._base import Representation

# Weights that are whole after each stage, the most nearly whole first; then what is left at once.
SHARES = (*(1 - 0.75**stage for stage in range(1, 18)), 1.0)
# Updates a stage, Adam's rate in steps of 1/127 of a row's largest weight, and the |logit| that
# ends a stage.
UPDATES, RATE, ENOUGH = 12, 0.2, 0.3


def repair(
    network: nn.Module, form: Representation, state: dict[str, torch.Tensor], truth: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Round weights to 8 bits in stages; what is not rounded yet makes up for it (INQ).

    Straight-through rounding of all weights at once does not get there: each update flips
    some hundred roundings, and 10 to 100 wrong bits of 6,144 stay.

    Parameters
    ----------
    network : Module
        Gives the architecture only.
    form : Representation
    state : dict of str to Tensor
        Float32 weights that decode to `truth`.
    truth : int64 Tensor, shape (positions, channels)

    Returns
    -------
    dict of str to Tensor
        As `storage.pack` gives it; nothing says yet that it decodes to `truth`.

    References
    ----------
    Zhou et al., "Incremental Network Quantization", ICLR 2017.
    """
    first = pack(state, "int8")
    scales = {n: _per_weight(tensor, first[n + SCALE]) for n, tensor in state.items()}
    steps = {n: (tensor / scales[n]).requires_grad_() for n, tensor in state.items()}
    whole = {n: torch.zeros_like(each, dtype=torch.bool) for n, each in steps.items()}
    optimiser = torch.optim.Adam(steps.values(), lr=RATE, betas=(0.9, 0.99))
    coordinates, targets = form.coordinates(), form.targets(truth)
    for share in SHARES:
        for name, each in steps.items():
            whole[name] = _round_nearest(each, whole[name], share)
        for _ in range(UPDATES if share < 1 else 0):
            weights = {n: scales[n] * each for n, each in steps.items()}
            outputs = functional_call(network, weights, (coordinates,))
            if torch.equal(form.decode(outputs), truth) and form.margin(outputs) >= ENOUGH:
                break
            total, weight = form.loss(outputs, targets, focus=1.0)
            optimiser.zero_grad()
            (total / weight).backward()
            with torch.no_grad():
                before = {n: each.clone() for n, each in steps.items()}
                optimiser.step()
                for n, each in steps.items():
                    each.copy_(torch.where(whole[n], before[n], each))
    return first | {n: each.detach().to(torch.int8) for n, each in steps.items()}


@torch.no_grad()
def _round_nearest(steps: torch.Tensor, whole: torch.Tensor, share: float) -> torch.Tensor:
    """Round a share of the weights in place, those that are nearest to it; which are whole now."""
    target = steps.round().clamp(-INT8_TOP, INT8_TOP)
    distance = (steps - target).abs().masked_fill(whole, -1)
    limit = distance.reshape(-1).kthvalue(max(1, round(share * steps.numel()))).values
    whole = distance <= limit
    steps.copy_(torch.where(whole, target, steps))
    return whole


def _per_weight(tensor: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Scales in a shape that multiplies the weights; 1 for rows that are all 0."""
    safe = torch.where(scale > 0, scale, torch.ones_like(scale))
    return safe.reshape(-1, *([1] * (tensor.dim() - 1)))
