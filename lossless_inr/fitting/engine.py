"""The fitting loop: full batches in slices, exact integer counts at every iteration.

One iteration is one pass over all rows. Its forward pass also gives the integers the network
decodes to *before* the update, so iteration t has the errors after t updates, and the first t
with no wrong bit is the paper's iterations-to-lossless (the published loop counts the same).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from lossless_inr.fitting.recipe import Settings
from lossless_inr.metrics import count_errors, ssim, wrong_bits_per_plane
from lossless_inr.networks._base import macs_per_row
from lossless_inr.representations._base import Representation

# SSIM is too dear for every iteration; this schedule, the best RMSE and the end are recorded.
SSIM_SCHEDULE = [round(10 ** (k / 4)) for k in range(0, 24)]
# Updates between copies of the weights, so that a diverged fit still has a last good state.
SNAPSHOT_EVERY = 50


@dataclass
class Curve:
    """What happened at each iteration; index t = after t updates."""

    loss: list[float] = field(default_factory=list)
    squared_error: list[int] = field(default_factory=list)
    wrong_bits: list[list[int]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


@dataclass
class Outcome:
    """Result of one fit.

    Attributes
    ----------
    status : {"lossless", "budget_exhausted", "diverged"}
    iterations : int
        Updates applied; iterations-to-lossless when `status` is lossless.
    state : dict of str to Tensor
        Weights that were evaluated last (of the last good snapshot when diverged).
    decoded, best_decoded : ndarray of int64, (positions, channels)
        Integers of `state`, and of the iteration with the smallest squared error.
    best_iteration : int
    ssim : dict of int to float
        Iteration -> SSIM, by schedule, at the best RMSE and at the end; empty if undefined.
    flops : int
        6 x MAC x rows per training pass, 2 x for a pass without gradients.
    rows_seen : int
    seconds, evaluation_seconds : float
        Of the loop itself, and of SSIM and snapshots, which are not counted in it.
    """

    status: str
    iterations: int
    curve: Curve
    state: dict[str, torch.Tensor]
    decoded: np.ndarray
    best_decoded: np.ndarray
    best_iteration: int
    ssim: dict[int, float]
    flops: int
    rows_seen: int
    seconds: float
    evaluation_seconds: float


class Stopwatch:
    """Seconds of the loop, with what does not belong to it counted apart."""

    def __init__(self, device: torch.device):
        self.device, self.apart = device, 0.0
        self.start = self._now()

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def seconds(self) -> float:
        """Seconds so far, less those spent apart."""
        return self._now() - self.start - self.apart

    @contextmanager
    def excluded(self):
        """Count what happens inside apart."""
        begun = self._now()
        yield
        self.apart += self._now() - begun


def optimiser(network: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    """Adam with one group per (layer kind, parameter kind); `scale` is its share of the rate."""
    groups: dict[float, list[nn.Parameter]] = {}
    last = network.layers[-1]
    last_parameters = {id(p) for p in last.parameters()}
    for name, parameter in network.named_parameters():
        scale = settings.output_factor if id(parameter) in last_parameters else 1.0
        scale *= settings.bias_factor if name.endswith("bias") else 1.0
        groups.setdefault(scale, []).append(parameter)
    # One kernel for a whole group: 1 ms less of the 10 ms a step of a 64-wide network takes on a
    # CPU. It has no complex form.
    fused = not any(p.is_complex() for p in network.parameters())
    return torch.optim.Adam(
        [{"params": p, "scale": s, "lr": s * settings.rate} for s, p in groups.items()],
        betas=(settings.beta1, settings.beta2),
        fused=fused,
    )


def rate_factor(settings: Settings, update: int) -> float:
    """Multiplier of the rate at an update (0 = first): linear warm-up, then cosine to the floor."""
    factor = min(1.0, (update + 1) / settings.warmup) if settings.warmup else 1.0
    if settings.decay == "cosine":
        progress = min(1.0, update / settings.horizon)
        factor *= settings.floor + (1 - settings.floor) * 0.5 * (1 + math.cos(math.pi * progress))
    return factor


def slices(form: Representation, slice_rows: int) -> list[slice]:
    """Row ranges of at most `slice_rows` rows that hold whole positions."""
    step = max(1, slice_rows // form.rows_per_sample) * form.rows_per_sample
    return [slice(s, min(s + step, form.rows)) for s in range(0, form.rows, step)]


class FullBatch:
    """All rows of one signal on one device, evaluated slice by slice.

    Peak memory is that of one slice; the gradient is the full batch's, because losses and
    weights are summed over slices and divided once.
    """

    def __init__(self, form: Representation, samples: np.ndarray, slice_rows: int, device):
        self.form = form
        self.truth = torch.as_tensor(
            samples.astype(np.int64).reshape(-1, form.channels), device=device
        )
        self.coordinates = form.coordinates().to(device)
        self.targets = form.targets(self.truth)
        self.slices = slices(form, slice_rows)

    def _decode(self, outputs: torch.Tensor, rows: slice):
        decoded = self.form.decode(outputs)
        k = self.form.rows_per_sample
        truth = self.truth[rows.start // k : rows.stop // k]
        wrong = torch.stack(wrong_bits_per_plane(decoded, truth, self.form.bits))
        return decoded, wrong, count_errors(decoded, truth)

    def train(self, network: nn.Module, focus: float):
        """Gradients of the full batch into `.grad`.

        Returns
        -------
        loss : float
        decoded : Tensor of int64, (positions, channels)
        wrong : list of int, per plane
        squared_error : int
        """
        return self._pass(network, focus, training=True)

    @torch.no_grad()
    def evaluate(self, network: nn.Module, focus: float):
        """Same as `train` without gradients."""
        return self._pass(network, focus, training=False)

    def _pass(self, network, focus, training):
        decoded, wrong, squared, total, weights = [], 0, 0, 0.0, 0.0
        for rows in self.slices:
            outputs = network(self.coordinates[rows])
            loss, weight = self.form.loss(outputs, self.targets[rows], focus)
            if training:
                loss.backward()
            part, wrong_part, squared_part = self._decode(outputs.detach(), rows)
            decoded.append(part)
            wrong, squared = wrong + wrong_part, squared + squared_part
            total, weights = total + loss.detach(), weights + weight
        # The weights can underflow to zero only when every output is right by a wide margin.
        weights = weights.clamp_min(1e-30)
        if training:
            for parameter in network.parameters():
                parameter.grad.div_(weights)
        return float(total / weights), torch.cat(decoded), wrong.tolist(), int(squared)


def fit(
    network: nn.Module,
    form: Representation,
    samples: np.ndarray,
    settings: Settings,
    *,
    iterations: int,
    slice_rows: int,
    device: torch.device,
    progress: Callable[[int, int], None] = lambda iteration, wrong: None,
) -> Outcome:
    """Fit `network` to `samples` until every integer is right or the budget ends.

    Parameters
    ----------
    network : nn.Module
        With a `layers` list (see `networks._base.CoordinateMLP`), already on `device`.
    form : Representation
        Built for the shape and bit depth of `samples`.
    samples : ndarray of unsigned int
        The signal, shape `form.shape`.
    settings : Settings
        From `Recipe.resolve`.
    iterations : int
        Budget: most updates that may be applied.
    slice_rows : int
        Rows evaluated at once; memory, not the result, depends on it.
    device : torch.device
    progress : callable, optional
        Called with (iteration, wrong bits) after each iteration; its time is not counted.

    Returns
    -------
    Outcome
        A fit that diverges is an outcome with that status, not an exception.
    """
    if settings.output_init == "zero":
        nn.init.zeros_(network.layers[-1].weight)
    adam = optimiser(network, settings)
    batch = FullBatch(form, samples, slice_rows, device)
    image = len(form.shape) == 3
    pass_flops = macs_per_row(network) * form.rows
    curve, ssims, flops = Curve(), {}, 0
    best, best_iteration, best_decoded = math.inf, 0, None
    snapshot = (0, None)
    watch = Stopwatch(device)

    def similarity(decoded: torch.Tensor) -> float | None:
        return ssim(decoded.cpu().numpy().reshape(form.shape), samples, form.bits)

    for t in range(iterations + 1):
        last = t == iterations
        adam.zero_grad(set_to_none=True)
        loss, decoded, wrong, squared = (batch.evaluate if last else batch.train)(
            network, settings.focus
        )
        flops += (2 if last else 6) * pass_flops
        if not math.isfinite(loss):
            status = "diverged"
            break
        curve.loss.append(loss)
        curve.wrong_bits.append(wrong)
        curve.squared_error.append(squared)
        curve.seconds.append(watch.seconds())
        with watch.excluded():
            if squared < best:
                best, best_iteration, best_decoded = squared, t, decoded
            if image and t in SSIM_SCHEDULE:
                value = similarity(decoded)
                ssims |= {} if value is None else {t: value}
            if t % SNAPSHOT_EVERY == 0:
                snapshot = (t, {k: v.detach().clone() for k, v in network.state_dict().items()})
            progress(t, sum(wrong))
        if sum(wrong) == 0:
            status = "lossless"
            break
        if last:
            status = "budget_exhausted"
            break
        factor = rate_factor(settings, t)
        for group in adam.param_groups:
            group["lr"] = settings.rate * group["scale"] * factor
        adam.step()

    seconds = watch.seconds()
    with watch.excluded():
        if status == "diverged":
            network.load_state_dict(snapshot[1] or network.state_dict())
            _, decoded, _, _ = batch.evaluate(network, settings.focus)
            best_decoded = decoded if best_decoded is None else best_decoded
        if image:
            for iteration, integers in ((best_iteration, best_decoded), (t, decoded)):
                if iteration not in ssims and (value := similarity(integers)) is not None:
                    ssims[iteration] = value
    return Outcome(
        status=status,
        iterations=t,
        curve=curve,
        state={k: v.detach().cpu() for k, v in network.state_dict().items()},
        decoded=decoded.cpu().numpy(),
        best_decoded=best_decoded.cpu().numpy(),
        best_iteration=best_iteration,
        ssim=ssims,
        flops=flops,
        rows_seen=(t + 1) * form.rows,
        seconds=seconds,
        evaluation_seconds=watch.apart,
    )
