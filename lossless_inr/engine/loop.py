"""The fitting loop: full batches, exact integer counts at every iteration.

One iteration is one pass over all rows. Its forward pass also gives the integers the network
decodes to *before* the update, so iteration t has the errors after t updates, and the first t
with no wrong bit is the paper's iterations-to-lossless (the published loop counts the same).

Several fits of one shape (signals x seeds, tiles) run as one batch. Each has its own first zero,
outcome and curve, and leaves the batch when it is done.
"""

from __future__ import annotations

import math
import time
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from lossless_inr.engine import slicing
from lossless_inr.engine.compiled import CompiledPass
from lossless_inr.engine.passes import AutogradPass, Batch, Counts, LayerwisePass, Pass
from lossless_inr.engine.settings import Settings
from lossless_inr.engine.state import State
from lossless_inr.metrics import ssim
from lossless_inr.networks._base import macs_per_row
from lossless_inr.representations._base import Representation

# SSIM is too dear for every iteration; this schedule, the best RMSE and the end are recorded.
SSIM_SCHEDULE = [round(10 ** (k / 4)) for k in range(0, 24)]
# Updates between copies of the weights, so that a diverged fit still has a last good state.
SNAPSHOT_EVERY = 50
# With less than float32 in training, only a pass in float32 can find a zero. It is tried at
# every look at which the training pass has fewer wrong bits than this share.
CHECK_BELOW = 1e-2


@dataclass
class Curve:
    """What happened at each iteration; index t = after t updates.

    Counts are those of the training pass; of a sparse update they are its part's, scaled to the
    whole signal. `seconds` are those of the host's look at which the
    iteration was read.
    """

    loss: list[float] = field(default_factory=list)
    squared_error: list[float] = field(default_factory=list)
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
    check_every : int or None
        None: counts are exact at every iteration. k: training used less than float32, and every
        k-th iteration was checked in float32; `iterations` is the first that read 0.
    margin, margin_iterations : float, int
        Smallest distance to a decision boundary of the weights that are kept, and their updates
        (more than `iterations` if the fit went on for the margin).
    state : dict of str to Tensor
        Weights that were evaluated last (of the last good snapshot when diverged).
    decoded, best_decoded : ndarray of int64, (positions, channels)
        Samples of `state`, and of the iteration with the smallest squared error.
    best_iteration : int or None
        None if no pass over every position gave a finite loss.
    ssim : dict of int to float
        Iteration -> SSIM, by schedule, at the best RMSE and at the end; empty if undefined.
    flops : int
        6 x MAC x rows per training pass, 2 x for a pass without gradients, checks included.
    rows_seen : int
    seconds, evaluation_seconds : float
        Of the loop itself, and of SSIM and snapshots, which are not counted in it. In a batch,
        each member's equal share.
    engine : str
        Name of the pass that computed it.
    slice_rows : int
        Rows evaluated at once.
    """

    status: str
    iterations: int
    check_every: int | None
    margin: float
    margin_iterations: int
    curve: Curve
    state: dict[str, torch.Tensor]
    decoded: np.ndarray
    best_decoded: np.ndarray
    best_iteration: int | None
    ssim: dict[int, float]
    flops: int
    rows_seen: int
    seconds: float
    evaluation_seconds: float
    engine: str
    slice_rows: int


class OutOfTime(Exception):
    """The fit was told to stop before it was done; its state is kept if it has a checkpoint."""


class Stopwatch:
    """Seconds of the loop, with what does not belong to it counted apart."""

    def __init__(self, device: torch.device, seconds: float = 0.0, apart: float = 0.0):
        self.device, self.apart = device, apart
        self.start = self._now() - seconds - apart

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

    @contextmanager
    def stopped(self):
        """Count what happens inside nowhere."""
        begun = self._now()
        yield
        self.start += self._now() - begun


class Kept:
    """Copies made on the device, without asking the host whether they are due.

    Between two looks of the host the loop goes on. Weights are copied by a condition that the
    device evaluates, so those of the first zero are kept exactly, and the result does not depend
    on how often the host looks. With a margin to reach, each later zero with a larger margin
    replaces them.
    """

    def __init__(self, state: State, batch: Batch, margin: float):
        members, device = batch.members, batch.truth.device
        self.wanted = margin
        self.weights = state.weights.clone()
        self.margin = torch.full((members,), -1.0, dtype=torch.float64, device=device)
        self.iteration = torch.full((members,), -1, dtype=torch.int64, device=device)
        self.best = torch.full((members,), math.inf, dtype=torch.float64, device=device)
        self.best_decoded = torch.zeros_like(batch.truth)

    def offer_weights(self, iteration: int, counts: Counts, weights: torch.Tensor) -> None:
        """Keep these weights if they are the first, or the safest, without a wrong bit."""
        margin = counts.margin.double()
        due = counts.right() & (
            (self.margin < 0) | ((margin > self.margin) & (self.margin < self.wanted))
        )
        iteration = torch.full_like(self.iteration, iteration)
        self._copy(due, weights=weights, margin=margin, iteration=iteration)

    def offer_decoded(self, counts: Counts) -> None:
        """Keep the integers with the smallest squared error."""
        better = (counts.squared < self.best) & torch.isfinite(counts.loss)
        self._copy(better, best=counts.squared, best_decoded=counts.decoded)

    def take_decoded(self, counts: Counts, rows: list[int]) -> None:
        """Keep the integers of these rows: the host has seen that they are better."""
        if len(rows) == len(counts.decoded):
            self.best_decoded = counts.decoded
        elif rows:
            self.best_decoded[rows] = counts.decoded[rows]

    @torch.no_grad()
    def _copy(self, due: torch.Tensor, **new: torch.Tensor) -> None:
        if due.device.type == "cpu" and due.all():
            for name, value in new.items():
                setattr(self, name, value.clone())
            return
        for name, value in new.items():
            condition = due.view(-1, *[1] * (value.dim() - 1))
            setattr(self, name, torch.where(condition, value, getattr(self, name)))

    def keep(self, rows: list[int]) -> None:
        """Drop every member but these."""
        for name in ("weights", "margin", "iteration", "best", "best_decoded"):
            setattr(self, name, getattr(self, name)[rows])


@dataclass
class Member:
    """The host's side of one fit."""

    number: int
    samples: np.ndarray
    curve: Curve = field(default_factory=Curve)
    ssim: dict[int, float] = field(default_factory=dict)
    first_zero: int | None = None
    lowest: float | None = None
    best_iteration: int | None = None
    improved: bool = False
    status: str | None = None
    seconds: float = 0.0
    apart: float = 0.0

    def read(
        self,
        losses: list[float],
        errors: list[list[int]],
        squared: list[float],
        whole: list[bool],
        exact: bool,
    ) -> None:
        """Take in what the device counted since the last look, up to the end of the fit.

        Where a pass was not `whole`, counts are estimates: neither a zero nor the best.
        """
        self.improved = False
        for loss, wrong, square, sure in zip(losses, errors, squared, whole, strict=True):
            if not math.isfinite(loss):
                # A fit that has found its zero and only wants a margin keeps what it has.
                self.status = "diverged" if self.first_zero is None else "lossless"
                return
            self.curve.loss.append(loss)
            self.curve.wrong_bits.append(wrong)
            self.curve.squared_error.append(square)
            iteration = len(self.curve.loss) - 1
            if sure and (self.lowest is None or square < self.lowest):
                self.lowest, self.best_iteration, self.improved = square, iteration, True
            if sure and exact and self.first_zero is None and sum(wrong) == 0:
                self.first_zero = iteration


def used_precision(settings: Settings, device: torch.device) -> str:
    """Precision that the products really have: a CPU has no TF32."""
    tf32_on_cpu = settings.precision == "tf32" and device.type == "cpu"
    return "float32" if tf32_on_cpu else settings.precision


def make_pass(networks: list[nn.Module], batch: Batch, state: State, compiled: bool = True) -> Pass:
    """The fastest pass that can take these networks on this device."""
    device = batch.truth.device
    exact = used_precision(state.settings, device) == "float32"
    if compiled and exact and CompiledPass.fits(networks[0], batch.form, device):
        kind = CompiledPass
    else:
        kind = LayerwisePass if LayerwisePass.fits(networks[0]) else AutogradPass
    return kind(networks, batch, state, batch.form.rows)


class Loop:
    """One batch of fits on its way; see `fit_many` for the parameters."""

    def __init__(
        self,
        networks,
        form,
        samples,
        settings,
        *,
        iterations,
        device,
        slice_rows=None,
        look_every=1,
        compiled=True,
        checkpoint=None,
        stop=lambda: False,
        progress=lambda iteration, wrong: None,
        finished=lambda number, outcome: None,
    ):
        if settings.precision not in form.precisions:
            raise ValueError(
                f"the representation trains in {', '.join(form.precisions)}, "
                f"not in {settings.precision}"
            )
        if slice_rows is not None and slice_rows < 1:
            raise ValueError(f"slice_rows must be at least 1, not {slice_rows}")
        if look_every < 1:
            raise ValueError(f"look_every must be at least 1, not {look_every}")
        if iterations < 0:
            raise ValueError(f"iterations must be at least 0, not {iterations}")
        self.form, self.settings, self.iterations, self.device = form, settings, iterations, device
        self.look_every, self.stop = look_every, stop
        self.progress, self.finished, self.checkpoint = progress, finished, checkpoint
        self.precision = used_precision(settings, device)
        self.exact = self.precision == "float32"
        self.image = len(form.shape) == 3 and not form.floats  # SSIM is of integers
        self.row_macs = macs_per_row(networks[0])
        self.batch = Batch(form, samples, device)
        self.state = State(networks, settings)
        self.passes = make_pass(networks, self.batch, self.state, compiled)
        wanted = slice_rows or slicing.chosen(self.passes, self.precision)
        self.passes.slice_rows = min(wanted, form.rows)
        self.passes.bind()
        self.kept = Kept(self.state, self.batch, settings.margin)
        self.members = [Member(k, s) for k, s in enumerate(samples)]
        self.unseen: list[tuple[torch.Tensor, ...]] = []
        self.whole: list[bool] = []  # of `unseen`: whether the pass saw every position
        self.iteration = self.flops = self.rows_seen = 0
        # Weights that are known to be good, and their updates.
        self.snapshot = (self.state.weights.clone(), torch.zeros_like(self.kept.iteration))
        self.snapshot_due = SNAPSHOT_EVERY
        self.watch, self.looked = Stopwatch(device), (0.0, 0.0)

    # --- one iteration ------------------------------------------------------------------

    def run(self) -> None:
        """Iterate until every member is done."""
        if self.checkpoint and (found := self.checkpoint.load(self.device)):
            self._restore(*found)
        while self.members:
            last = self.iteration == self.iterations
            part = None if last else self._part()
            counts = self._counted(training=not last, precision=self.precision, part=part)
            share = self.form.rows / part.rows if part else 1
            wrong, squared = (counts.errors * share).round().long(), counts.squared * share
            self.unseen.append((counts.loss, wrong, squared.round() if part else squared))
            self.whole.append(part is None)
            if part is None and self.look_every > 1:  # else the look knows whether there is cause
                self.kept.offer_decoded(counts)
                if self.exact:
                    self.kept.offer_weights(self.iteration, counts, self.state.weights)
            scheduled = self.image and self.iteration in SSIM_SCHEDULE and part is None
            if last or scheduled or (self.iteration + 1) % self.look_every == 0:
                self._look(counts, last, scheduled)
                if not self.members:
                    return
            self.passes.update()
            self.iteration += 1

    def _part(self) -> Batch | None:
        """What this update is to see, if not everything."""
        sparse = self.settings.sparse_part(self.iteration)
        return self.batch.part(*sparse) if sparse else None

    def _counted(self, training: bool, precision: str, part: Batch | None = None) -> Counts:
        """One pass, in smaller slices if memory runs out."""
        rows = (part or self.batch).rows
        self.flops += (6 if training else 2) * self.row_macs * rows
        self.rows_seen += rows if training else 0
        while True:
            try:
                return self.passes.run(training=training, precision=precision, part=part)
            except (torch.OutOfMemoryError, RuntimeError) as error:
                smallest = self.passes.slice_rows <= self.form.rows_per_sample
                if smallest or not _out_of_memory(error):
                    raise
                self.passes.slice_rows //= 2
                self.passes.bind()
                torch.cuda.empty_cache()

    # --- looks of the host --------------------------------------------------------------

    def _look(self, counts: Counts, last: bool, scheduled: bool) -> None:
        """Read what the device has counted; conclude the members that are done."""
        losses, errors, squared = (
            torch.stack(each, dim=1).tolist() if len(each) > 1 else each[0][:, None].tolist()
            for each in zip(*self.unseen, strict=True)
        )
        for row, member in enumerate(self.members):
            member.read(losses[row], errors[row], squared[row], self.whole, self.exact)
        self.unseen.clear()
        self.whole.clear()
        if self.look_every == 1:
            self.kept.take_decoded(counts, [r for r, m in enumerate(self.members) if m.improved])
            if self.exact and any(member.first_zero is not None for member in self.members):
                self.kept.offer_weights(self.iteration, counts, self.state.weights)
        if not self.exact:
            checked = self._check(last)
            counts = checked if last else counts
        seconds = self.watch.seconds()
        for row, member in enumerate(self.members):
            if member.first_zero is not None and (
                last or float(self.kept.margin[row]) >= self.settings.margin
            ):
                member.status = "lossless"
            elif last and member.status is None:
                member.status = "budget_exhausted"
            member.seconds += (seconds - self.looked[0]) / len(self.members)
            member.curve.seconds += [member.seconds] * (
                len(member.curve.loss) - len(member.curve.seconds)
            )
        with self.watch.excluded():
            if scheduled:
                for row, member in enumerate(self.members):
                    if member.status is None:
                        self._add_ssim(member, self.iteration, counts.decoded[row])
            self.progress(
                max(len(m.curve.loss) for m in self.members) - 1,
                sum(sum(m.curve.wrong_bits[-1]) for m in self.members if m.curve.wrong_bits),
            )
            if any(member.status == "diverged" for member in self.members):
                counts = self._go_back(counts)
            # Only after a look are the weights of this iteration known to be finite.
            elif self.iteration >= self.snapshot_due:
                iteration = torch.full_like(self.kept.iteration, self.iteration)
                self.snapshot = (self.state.weights.clone(), iteration)
                self.snapshot_due = self.iteration + SNAPSHOT_EVERY
            for row, member in enumerate(self.members):
                if member.status:
                    self._conclude(row, member, counts)
        apart = self.watch.apart
        for member in self.members:
            member.apart += (apart - self.looked[1]) / len(self.members)
        self.looked = (seconds, apart)
        for member in self.members:
            if member.status:
                member.outcome.evaluation_seconds = member.apart
                with self.watch.stopped():  # writing files is the caller's time
                    self.finished(member.number, member.outcome)
        self._drop()
        if self.members:
            self._pause()

    def _check(self, last: bool) -> Counts | None:
        """Full pass in float32 where the training pass is near zero: only it finds a zero."""
        bits = self.batch.truth[0].numel() * self.form.bits
        near = any(
            m.curve.wrong_bits and sum(m.curve.wrong_bits[-1]) <= CHECK_BELOW * bits
            for m in self.members
        )
        if not near and not last:
            return None
        counts = self._counted(training=False, precision="float32")
        self.kept.offer_weights(self.iteration, counts, self.state.weights)
        for member, right in zip(self.members, counts.right().tolist(), strict=True):
            if right and member.first_zero is None and member.status is None:
                member.first_zero = self.iteration
        return counts

    def _go_back(self, counts: Counts) -> Counts:
        """Give members that diverged their last good weights, and count what those decode to."""
        rows = [row for row, m in enumerate(self.members) if m.status == "diverged"]
        self.state.weights[rows] = self.snapshot[0][rows]
        good = self.passes.run(training=False)
        for name in ("decoded", "margin"):
            getattr(counts, name)[rows] = getattr(good, name)[rows]
        return counts

    def _drop(self) -> None:
        rows = [row for row, member in enumerate(self.members) if member.status is None]
        if len(rows) < len(self.members):
            self.members = [self.members[row] for row in rows]
            self.snapshot = tuple(part[rows] for part in self.snapshot)
            self.kept.keep(rows)
            if rows:
                self.passes.keep(rows)

    # --- the end of a member ------------------------------------------------------------

    def _add_ssim(self, member: Member, iteration: int, decoded: torch.Tensor) -> None:
        shape, bits = self.form.shape, self.form.bits
        integers = self.form.samples(decoded).cpu().numpy()
        value = ssim(integers.reshape(shape), member.samples, bits)
        if value is not None:
            member.ssim[iteration] = value

    def _conclude(self, row: int, member: Member, counts: Counts) -> None:
        """Build the outcome of a member that is done."""
        curve, margin, margin_iterations = member.curve, counts.margin[row], None
        decoded = counts.decoded[row]
        if member.status == "lossless":
            weights, decoded = self.kept.weights[row], self.batch.truth[row]
            margin, margin_iterations = self.kept.margin[row], int(self.kept.iteration[row])
            iterations = member.first_zero
            if not self.settings.margin:  # the loop may have gone on until this look
                for values in (curve.loss, curve.squared_error, curve.wrong_bits, curve.seconds):
                    del values[iterations + 1 :]
        elif member.status == "diverged":
            weights, iterations = self.state.weights[row], len(curve.loss)
            margin_iterations = int(self.snapshot[1][row])
        else:
            weights, iterations = self.state.weights[row], self.iteration
        best_iteration, best_decoded = member.best_iteration, decoded
        if member.status == "lossless":
            best_iteration = iterations
        elif best_iteration is not None:
            best_decoded = self.kept.best_decoded[row]
        if self.image:
            for iteration, integers in ((best_iteration, best_decoded), (iterations, decoded)):
                if iteration is not None and iteration not in member.ssim:
                    self._add_ssim(member, iteration, integers)
        names = dict(self.passes.networks[row].named_parameters())
        state = {}
        for name, tensor in self.state.views(weights).items():
            tensor = tensor.detach().cpu().clone()
            state[name] = torch.view_as_complex(tensor) if names[name].is_complex() else tensor
        member.outcome = Outcome(
            status=member.status,
            iterations=iterations,
            check_every=None if self.exact else self.look_every,
            margin=float(margin),
            margin_iterations=iterations if margin_iterations is None else margin_iterations,
            curve=curve,
            state=state,
            decoded=self.form.samples(decoded).cpu().numpy(),
            best_decoded=self.form.samples(best_decoded).cpu().numpy(),
            best_iteration=best_iteration,
            ssim=member.ssim,
            flops=self.flops,
            rows_seen=self.rows_seen,
            seconds=member.seconds,
            evaluation_seconds=member.apart,
            engine=self.passes.name,
            slice_rows=self.passes.slice_rows,
        )

    # --- resuming -----------------------------------------------------------------------

    def _pause(self) -> None:
        """Keep the state of the fit if it is time, and end here if told to."""
        stopping = self.stop()
        if self.checkpoint and (stopping or self.checkpoint.due()):
            with self.watch.excluded():
                self._save()
        if stopping:
            raise OutOfTime(f"stopped at iteration {self.iteration}")

    def _save(self) -> None:
        member, curve = self.members[0], self.members[0].curve
        state, kept = self.state, self.kept
        tensors = {
            "weights": state.weights,
            "mean": state.mean,
            "square": state.square,
            "kept_weights": kept.weights,
            "kept_margin": kept.margin,
            "kept_iteration": kept.iteration,
            "best": kept.best,
            "best_decoded": kept.best_decoded,
            "snapshot_weights": self.snapshot[0],
            "snapshot_iteration": self.snapshot[1],
            "loss": torch.tensor(curve.loss, dtype=torch.float64),
            "squared_error": torch.tensor(curve.squared_error, dtype=torch.float64),
            "wrong_bits": torch.tensor(curve.wrong_bits),
            "seconds": torch.tensor(curve.seconds, dtype=torch.float64),
        }
        facts = {
            "step": state.step,
            "iteration": self.iteration,
            "flops": self.flops,
            "rows_seen": self.rows_seen,
            "snapshot_due": self.snapshot_due,
            "ssim": list(member.ssim.items()),
            "first_zero": member.first_zero,
            "lowest": [member.lowest, member.best_iteration],
            "slice_rows": self.passes.slice_rows,
            "member_seconds": [member.seconds, member.apart],
            "looked": self.looked,
        }
        self.checkpoint.save(tensors, facts)

    def _restore(self, tensors: dict[str, torch.Tensor], facts: dict) -> None:
        """Go on right after the look at which the state was kept, with its update."""
        state, kept, member = self.state, self.kept, self.members[0]
        state.weights.copy_(tensors["weights"])
        state.mean.copy_(tensors["mean"])
        state.square.copy_(tensors["square"])
        state.step = facts["step"]
        kept.weights, kept.margin = tensors["kept_weights"], tensors["kept_margin"]
        kept.iteration, kept.best = tensors["kept_iteration"], tensors["best"]
        kept.best_decoded = tensors["best_decoded"]
        self.snapshot = (tensors["snapshot_weights"], tensors["snapshot_iteration"])
        for name in ("loss", "squared_error", "wrong_bits", "seconds"):
            setattr(member.curve, name, tensors[name].tolist())
        member.ssim = {int(iteration): value for iteration, value in facts["ssim"]}
        member.first_zero = facts["first_zero"]
        member.lowest, member.best_iteration = facts["lowest"]
        member.seconds, member.apart = facts["member_seconds"]
        self.iteration, self.flops = facts["iteration"], facts["flops"]
        self.rows_seen, self.snapshot_due = facts["rows_seen"], facts["snapshot_due"]
        self.passes.slice_rows = facts["slice_rows"]
        self.passes.bind()
        self.looked = tuple(facts["looked"])
        self.watch = Stopwatch(self.device, *self.looked)
        # The gradient of this iteration was not kept: computing it again gives the same one. It
        # is not work of the fit, so it is not counted as such.
        with self.watch.excluded():
            self.passes.run(training=True, precision=self.precision, part=self._part())
        self.passes.update()
        self.iteration += 1


def _out_of_memory(error: Exception) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "not enough memory" in str(error)


def fit_many(
    networks: list[nn.Module],
    form: Representation,
    samples: list[np.ndarray],
    settings: Settings,
    **options,
) -> list[Outcome]:
    """Fit each network to its signal until every integer is right or the budget ends.

    Parameters
    ----------
    networks : list of nn.Module
        Of one structure, already on `device`, each with a `layers` list (see
        `networks._base.CoordinateMLP`). They are not changed; results are in the outcomes.
    form : Representation
        Built for the shape and bit depth of the signals.
    samples : list of ndarray of unsigned int
        The signals, each of shape `form.shape`.
    settings : Settings
        From `Recipe.resolve`.
    iterations : int
        Budget: most updates that may be applied.
    device : torch.device
    slice_rows : int, optional
        Rows evaluated at once; memory, not the result, depends on it. Measured by default.
    look_every : int, optional
        Iterations between two looks of the host at the device's counts (default 1). With more
        the loop runs on for up to `look_every` - 1 iterations past the first zero; the reported
        iteration and weights are those of the first zero all the same. With less than float32 in
        training it is the interval of the checks in float32 instead.
    compiled : bool, optional
        Whether the compiled pass may be used (default True).
    checkpoint : Checkpoint, optional
        Where the state of the fit is kept now and then, and taken up from. One member only.
    stop : callable, optional
        Asked at each look; if it returns True the state is kept and `OutOfTime` raised.
    progress : callable, optional
        Called with (iteration, wrong bits of all members) after each look; not timed.
    finished : callable, optional
        Called with (number of the member, Outcome) as each is done.

    Returns
    -------
    list of Outcome
        In the order of `networks`. A fit that diverges is an outcome, not an exception.

    Raises
    ------
    ValueError
        If the representation does not allow the precision, or an option is out of range.
    OutOfTime
        If `stop` said so.
    """
    outcomes: dict[int, Outcome] = {}
    if options.get("checkpoint") and len(networks) > 1:
        raise ValueError("a checkpoint holds the state of one fit")
    finished = options.pop("finished", lambda number, outcome: None)

    def done(number: int, outcome: Outcome) -> None:
        outcomes[number] = outcome
        finished(number, outcome)

    Loop(networks, form, samples, settings, finished=done, **options).run()
    return [outcomes[number] for number in range(len(networks))]


def fit(network: nn.Module, form: Representation, samples: np.ndarray, settings, **options):
    """`fit_many` for one network; the outcome's weights are loaded into it."""
    (outcome,) = fit_many([network], form, [samples], settings, **options)
    network.load_state_dict(outcome.state, strict=False)
    return outcome
