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
    """What happened at each iteration; index t = after t updates.

    `seconds` are those of the host's look at which the iteration was read.
    """

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


def weights_of(network: nn.Module) -> dict[str, torch.Tensor]:
    """A copy of the network's state."""
    return {k: v.detach().clone() for k, v in network.state_dict().items()}


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
        wrong = wrong_bits_per_plane(decoded, truth, self.form.bits)
        return decoded, torch.stack([*wrong, count_errors(decoded, truth)])

    def train(self, network: nn.Module, focus: float):
        """Gradients of the full batch into `.grad`.

        Returns
        -------
        decoded : Tensor of int64, (positions, channels)
        loss : Tensor, scalar
        errors : Tensor of int64, (bits + 1,)
            Wrong bits of each plane, then the sum of squared errors.

        Notes
        -----
        All three stay on the device: reading them would make the host wait for it.
        """
        return self._pass(network, focus, training=True)

    @torch.no_grad()
    def evaluate(self, network: nn.Module, focus: float):
        """Same as `train` without gradients."""
        return self._pass(network, focus, training=False)

    def _pass(self, network, focus, training):
        decoded, errors, total, weights = [], 0, 0.0, 0.0
        for rows in self.slices:
            outputs = network(self.coordinates[rows])
            loss, weight = self.form.loss(outputs, self.targets[rows], focus)
            if training:
                loss.backward()
            part, part_errors = self._decode(outputs.detach(), rows)
            decoded.append(part)
            errors = errors + part_errors
            total, weights = total + loss.detach(), weights + weight
        # The weights can underflow to zero only when every output is right by a wide margin.
        weights = weights.clamp_min(1e-30)
        if training:
            for parameter in network.parameters():
                parameter.grad.div_(weights)
        return torch.cat(decoded), total / weights, errors


class FirstZero:
    """Weights at the first iteration with no wrong bit, kept without asking the host.

    Between two looks of the host the loop goes on; a copy that happens on the device only if
    this iteration is the first zero keeps exactly those weights, so the result does not depend
    on how often the host looks.
    """

    def __init__(self, network: nn.Module):
        self.source = dict(network.named_parameters())
        self.state = {name: tensor.detach().clone() for name, tensor in self.source.items()}
        self.found = None

    @torch.no_grad()
    def offer(self, errors: torch.Tensor) -> None:
        """Keep the present weights if `errors` are the first without a wrong bit."""
        zero = errors[:-1].sum() == 0
        first = zero if self.found is None else zero & ~self.found
        self.found = zero if self.found is None else zero | self.found
        for name, kept in self.state.items():
            kept.copy_(torch.where(first, self.source[name], kept))


def _look(unseen: list, curve: Curve, seconds: float) -> str | None:
    """Read what the device has counted since the last look; the status if the fit is over."""
    losses = torch.stack([loss for loss, _ in unseen]).tolist()
    for loss, errors in zip(
        losses, torch.stack([errors for _, errors in unseen]).tolist(), strict=True
    ):
        if not math.isfinite(loss):
            return "diverged"
        curve.loss.append(loss)
        curve.wrong_bits.append(errors[:-1])
        curve.squared_error.append(errors[-1])
        curve.seconds.append(seconds)
        if sum(errors[:-1]) == 0:
            return "lossless"
    return None


def fit(
    network: nn.Module,
    form: Representation,
    samples: np.ndarray,
    settings: Settings,
    *,
    iterations: int,
    slice_rows: int,
    device: torch.device,
    look_every: int = 1,
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
    look_every : int
        Iterations between two looks of the host at the device's counts. With more than 1 the
        loop runs on for up to `look_every` - 1 iterations past the first zero; the reported
        iteration and weights are those of the first zero all the same.
    progress : callable, optional
        Called with (iteration, wrong bits) after each look; its time is not counted.

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
    first_zero = FirstZero(network) if look_every > 1 else None
    curve, ssims, flops, status = Curve(), {}, 0, None
    best = torch.tensor(torch.iinfo(torch.int64).max, device=device)
    best_decoded = batch.truth.clone()
    unseen: list[tuple[torch.Tensor, torch.Tensor]] = []
    snapshot, snapshot_due = weights_of(network), SNAPSHOT_EVERY
    watch = Stopwatch(device)

    def similarity(decoded: torch.Tensor) -> float | None:
        return ssim(decoded.cpu().numpy().reshape(form.shape), samples, form.bits)

    for t in range(iterations + 1):
        last = t == iterations
        adam.zero_grad(set_to_none=True)
        decoded, loss, errors = (batch.evaluate if last else batch.train)(network, settings.focus)
        flops += (2 if last else 6) * pass_flops
        better = (errors[-1] < best) & torch.isfinite(loss)
        best = torch.where(better, errors[-1], best)
        best_decoded = torch.where(better, decoded, best_decoded)
        if first_zero is not None:
            first_zero.offer(errors)
        unseen.append((loss, errors))
        scheduled = image and t in SSIM_SCHEDULE
        if last or scheduled or (t + 1) % look_every == 0:
            status = _look(unseen, curve, watch.seconds())
            unseen.clear()
            with watch.excluded():
                if status is None and scheduled and (value := similarity(decoded)) is not None:
                    ssims[t] = value
                if curve.wrong_bits:
                    progress(len(curve.wrong_bits) - 1, sum(curve.wrong_bits[-1]))
                # Only after a look are the weights of this iteration known to be finite.
                if status is None and t >= snapshot_due:
                    snapshot, snapshot_due = weights_of(network), t + SNAPSHOT_EVERY
            if status is not None or last:
                break
        factor = rate_factor(settings, t)
        for group in adam.param_groups:
            group["lr"] = settings.rate * group["scale"] * factor
        adam.step()

    seconds = watch.seconds()
    status = status or "budget_exhausted"
    # Iterations that count: the loop may have run on for up to look_every - 1 more.
    passes, reached = t + 1, len(curve.loss) - 1
    with watch.excluded():
        if status == "lossless" and first_zero is not None:
            network.load_state_dict(first_zero.state, strict=False)
        if status == "diverged":
            reached += 1
            network.load_state_dict(snapshot)
        if status != "budget_exhausted":
            decoded, _, _ = batch.evaluate(network, settings.focus)
        best_iteration = int(np.argmin(curve.squared_error)) if curve.squared_error else 0
        if not curve.squared_error:
            best_decoded = decoded
        if image:
            for iteration, integers in ((best_iteration, best_decoded), (reached, decoded)):
                if iteration not in ssims and (value := similarity(integers)) is not None:
                    ssims[iteration] = value
    return Outcome(
        status=status,
        iterations=reached,
        curve=curve,
        state={k: v.detach().cpu() for k, v in network.state_dict().items()},
        decoded=decoded.cpu().numpy(),
        best_decoded=best_decoded.cpu().numpy(),
        best_iteration=best_iteration,
        ssim=ssims,
        flops=flops,
        rows_seen=passes * form.rows,
        seconds=seconds,
        evaluation_seconds=watch.apart,
    )
