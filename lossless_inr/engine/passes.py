"""One pass over all rows: loss, exact counts, and the gradient of the full batch.

Three ways to the same numbers. `CompiledPass` (sine networks, CPU, float32) is the fastest and
needs a C++ compiler; `LayerwisePass` writes the gradients of a multilayer perceptron out by hand,
with reused buffers, for several networks at once and on any device; `AutogradPass` takes any
network. Losses and weights are summed over slices of rows and divided once, so memory is that of
one slice and the gradient is the full batch's.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from lossless_inr.engine.state import State
from lossless_inr.metrics import wrong_bits_per_plane
from lossless_inr.networks._base import Activation, CoordinateMLP
from lossless_inr.representations._base import Representation


@dataclass
class Counts:
    """What one pass found; every tensor stays on the device, first axis = members.

    Attributes
    ----------
    loss : Tensor, (B,)
    errors : Tensor of int64, (B, bits)
        Wrong bits of each plane.
    squared : Tensor of float64, (B,)
        Sum of squared errors (see `Representation.squared_error`).
    decoded : Tensor of int64, (B, positions, channels)
    margin : Tensor, (B,)
        Smallest distance to a decision boundary.
    """

    loss: torch.Tensor
    errors: torch.Tensor
    squared: torch.Tensor
    decoded: torch.Tensor
    margin: torch.Tensor

    def right(self) -> torch.Tensor:
        """Members without a wrong bit: bool, (B,). What is no number decodes to 0, but is wrong."""
        return (self.errors.sum(1) == 0) & torch.isfinite(self.loss)


class Batch:
    """Signals of one shape and bit depth on one device: coordinates, targets and the truth."""

    def __init__(self, form: Representation, samples: list[np.ndarray], device: torch.device):
        self.form = form
        self.truth = torch.stack(
            [
                form.words(torch.as_tensor(s.astype(np.int64).reshape(-1, form.channels)))
                for s in samples
            ]
        ).to(device)
        self.targets = torch.stack([form.targets(truth) for truth in self.truth])
        self.coordinates = form.coordinates().to(device).contiguous()

    @property
    def members(self) -> int:
        """Number of signals."""
        return len(self.truth)

    def keep(self, rows: list[int]) -> None:
        """Drop every member but these."""
        self.truth, self.targets = self.truth[rows], self.targets[rows]

    @property
    def rows(self) -> int:
        """Rows of one signal that a pass goes through."""
        return len(self.coordinates)

    def part(self, turn: int, number: int, parts: int) -> Batch:
        """One of `parts` parts of the positions, in the random order of round `turn`.

        All members share it, and it depends on nothing else: a fit that is resumed, or is alone
        in its batch, sees the same parts.
        """
        positions = self.truth.shape[1]
        order = np.random.default_rng(turn).permutation(positions)
        first = positions * number // parts
        # A signal of fewer positions than parts still shows one of them at each update.
        chosen = order[first : max(first + 1, positions * (number + 1) // parts)]
        chosen = torch.from_numpy(np.sort(chosen)).to(self.truth.device)
        k = self.form.rows_per_sample
        rows = (chosen[:, None] * k + torch.arange(k, device=chosen.device)).flatten()
        small = copy.copy(self)
        small.truth, small.targets = self.truth[:, chosen], self.targets[:, rows]
        small.coordinates = self.coordinates[rows]
        return small

    def slices(self, slice_rows: int) -> list[slice]:
        """Row ranges of at most `slice_rows` rows that hold whole positions."""
        return slices(self.rows, self.form.rows_per_sample, slice_rows)


def slices(rows: int, rows_per_sample: int, slice_rows: int) -> list[slice]:
    """Ranges of at most `slice_rows` of `rows` rows that hold whole positions."""
    step = max(1, slice_rows // rows_per_sample) * rows_per_sample
    return [slice(s, min(s + step, rows)) for s in range(0, rows, step)]


class Pass(ABC):
    """Evaluates all members on all rows; gradients go to `state.gradients`.

    Parameters
    ----------
    networks : list of nn.Module
        One of each member, for their structure; their weights are those of `state`.
    batch : Batch
    state : State
    slice_rows : int
        Rows evaluated at once.
    """

    name: str

    def __init__(self, networks: list[nn.Module], batch: Batch, state: State, slice_rows: int):
        self.networks, self.batch, self.state = networks, batch, state
        self.slice_rows = slice_rows
        self.bind()

    def bind(self) -> None:  # noqa: B027  (a hook, not a duty)
        """Take up the buffers of `batch` and `state`, which change when members leave."""

    def keep(self, rows: list[int]) -> None:
        """Drop every member but these, here and in `batch` and `state`."""
        self.networks = [self.networks[row] for row in rows]
        self.batch.keep(rows)
        self.state.keep(rows)
        self.bind()

    @abstractmethod
    def run(
        self, *, training: bool, precision: str = "float32", part: Batch | None = None
    ) -> Counts:
        """One pass over all rows, or those of `part` (see `Batch.part`).

        `precision` is that of the hidden products.
        """

    def update(self) -> None:
        """One step of the optimiser."""
        self.state.update()


class TorchPass(Pass):
    """What the two PyTorch passes share: the loop over slices, the loss and the counts."""

    @abstractmethod
    def begin(self, precision: str) -> None:
        """Prepare one pass."""

    @abstractmethod
    def forward(self, coordinates: torch.Tensor) -> torch.Tensor:
        """Outputs of these rows, (B, n, outputs)."""

    @abstractmethod
    def backward(self, gradient: torch.Tensor) -> None:
        """Add the gradients of the last slice, given the loss' gradient by its outputs."""

    def run(self, *, training, precision="float32", part=None):
        """One pass over all slices."""
        batch = part or self.batch
        decoded, margins, errors, total, weights = [], [], 0, 0.0, 0.0
        with torch.set_grad_enabled(training), tf32(precision == "tf32"):
            if training:
                self.state.gradients.zero_()
            self.begin(precision)
            for rows in batch.slices(self.slice_rows):
                loss, weight, wrong, words, margin = self.one_slice(batch, rows, training)
                errors = errors + wrong
                margins.append(margin)
                decoded.append(words)
                total, weights = total + loss, weights + weight
            # Weights underflow to zero only when every output is right by a wide margin.
            weights = weights.clamp_min(1e-30)
            if training:
                self.state.gradients.div_(weights[:, None])
        whole = torch.cat(decoded, dim=1)
        return Counts(
            loss=total / weights,
            errors=errors,
            squared=batch.form.squared_error(whole, batch.truth),
            decoded=whole,
            margin=torch.stack(margins).amin(0),
        )

    def one_slice(self, batch: Batch, rows: slice, training: bool) -> tuple[torch.Tensor, ...]:
        """Sums of loss and weights, wrong bits, words, margin; adds the slice's gradients."""
        form = batch.form
        outputs = self.forward(batch.coordinates[rows])
        with torch.enable_grad():
            leaf = outputs.detach().requires_grad_()
            loss, weight = form.loss(leaf, batch.targets[:, rows], self.state.settings.focus)
            if training:
                (gradient,) = torch.autograd.grad(loss.sum(), leaf)
                self.backward(gradient)
        outputs = outputs.detach()
        decoded = form.decode(outputs).view(batch.members, -1, form.channels)
        k = form.rows_per_sample
        truth = batch.truth[:, rows.start // k : rows.stop // k]
        wrong = wrong_bits_per_plane(decoded, truth, form.bits, (1, 2))
        margin = torch.stack([form.margin(one) for one in outputs])
        return loss.detach(), weight, torch.stack(wrong, dim=1), decoded, margin


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Products with TF32 factors inside, IEEE float32 ones after; on CUDA only."""
    torch.backends.cuda.matmul.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = False


class AutogradPass(TorchPass):
    """Any network; members one after another."""

    name = "autograd"

    def __init__(self, networks, *rest):
        # Their parameters become views of the state; the caller's stay what they are.
        super().__init__(copy.deepcopy(networks), *rest)

    def bind(self):
        """Make the networks' parameters and gradients views of the state's rows."""
        weights = self.state.views(self.state.weights)
        gradients = self.state.views(self.state.gradients)
        for row, network in enumerate(self.networks):
            for name, parameter in network.named_parameters():
                data, gradient = weights[name][row], gradients[name][row]
                if parameter.is_complex():
                    data, gradient = torch.view_as_complex(data), torch.view_as_complex(gradient)
                parameter.data, parameter.grad = data, gradient

    def begin(self, precision):
        """Nothing to prepare."""
        if precision == "bfloat16":
            raise ValueError("bfloat16 products need a CoordinateMLP with a known activation")

    def forward(self, coordinates):
        """Outputs with their graph."""
        self.outputs = torch.stack([network(coordinates) for network in self.networks])
        return self.outputs

    def backward(self, gradient):
        """Adds into the views of the state's gradients."""
        self.outputs.backward(gradient)


class LayerwisePass(TorchPass):
    """A CoordinateMLP whose activation knows its slope: gradients by hand, buffers reused.

    All members go through each layer as one batched product. With `bfloat16`, the factors of
    the hidden layers' products are rounded; weights, sums over slices, activations and the first
    and the last layer stay float32.
    """

    name = "layerwise"

    @staticmethod
    def fits(network: nn.Module) -> bool:
        """Whether this pass can take the network."""
        return (
            isinstance(network, CoordinateMLP)
            and isinstance(network.activation, Activation)
            and not any(True for _ in getattr(network.encoding, "parameters", tuple)())
            and not any(p.is_complex() for p in network.parameters())
        )

    def bind(self):
        """Views of every layer's weights; without a member axis if there is only one member."""
        network, one = self.networks[0], self.batch.members == 1
        weights = self.state.views(self.state.weights)
        gradients = self.state.views(self.state.gradients)

        def layers(views, kind):
            named = [views[f"layers.{i}.{kind}"] for i in range(len(network.layers))]
            return [view[0] if one else view for view in named]

        self.weights, self.biases = layers(weights, "weight"), layers(weights, "bias")
        self.weight_gradients = layers(gradients, "weight")
        self.bias_gradients = layers(gradients, "bias")
        self.affine = torch.addmm if one else torch.baddbmm
        self.product = torch.mm if one else torch.bmm
        self.scales = [*network.scales, 1.0]
        self.buffers: dict[tuple, torch.Tensor] = {}

    def _buffer(self, name: str, index: int, rows: int) -> torch.Tensor:
        width = self.weights[index].shape[-2]
        shape = (*self.weights[0].shape[:-2], rows, width)
        key = (name, index, rows)
        if key not in self.buffers:
            self.buffers[key] = torch.empty(
                shape, device=self.weights[0].device, dtype=self.weights[0].dtype
            )
        return self.buffers[key]

    @torch.no_grad()
    def begin(self, precision):
        """Fold each layer's scale into its weights, once a pass."""
        self.scaled = [w * s for w, s in zip(self.weights, self.scales, strict=True)]
        self.scaled_biases = [
            (b * s).unsqueeze(-2) for b, s in zip(self.biases, self.scales, strict=True)
        ]
        last = len(self.scaled) - 1
        self.low = [precision == "bfloat16" and 0 < i < last for i in range(last + 1)]
        self.factors = [
            w.bfloat16() if low else w for w, low in zip(self.scaled, self.low, strict=True)
        ]

    @torch.no_grad()
    def forward(self, coordinates):
        """Outputs; keeps each layer's input and slope for `backward`."""
        encoding = self.networks[0].encoding
        x = coordinates if encoding is None else encoding(coordinates)
        x = x.to(self.weights[0].dtype)
        if self.weights[0].dim() == 3:
            x = x.expand(len(self.weights[0]), *x.shape)
        self.inputs, self.slopes = [], []
        last = len(self.factors) - 1
        for index, (factor, bias) in enumerate(zip(self.factors, self.scaled_biases, strict=True)):
            if self.low[index]:
                x = x.bfloat16()
            self.inputs.append(x)
            n = x.shape[-2]
            if self.low[index]:
                z = self.product(x, factor.mT).float().add_(bias)
            else:
                z = self.affine(bias, x, factor.mT, out=self._buffer("slope", index, n))
            if index == last:
                return z if z.dim() == 3 else z[None]
            x = self._buffer("value", index, n)
            self.networks[0].activation.with_slope(z, index, x)
            self.slopes.append(z)

    @torch.no_grad()
    def backward(self, gradient):
        """Gradients of every layer, last to first."""
        delta = gradient if self.weights[0].dim() == 3 else gradient[0]
        for index in range(len(self.factors) - 1, -1, -1):
            scale = self.scales[index]
            low = delta.bfloat16() if self.low[index] else delta
            grown = self.weight_gradients[index]
            if self.low[index]:
                grown.add_(self.product(low.mT, self.inputs[index]), alpha=scale)
            else:
                self.affine(grown, low.mT, self.inputs[index], alpha=scale, out=grown)
            self.bias_gradients[index].add_(delta.sum(-2), alpha=scale)
            if index == 0:
                return
            if self.low[index]:
                back = self.product(low, self.factors[index]).float()
            else:
                # The layer's own value has served: the next delta takes its place.
                back = self._buffer("value", index - 1, delta.shape[-2])
                self.product(low, self.factors[index], out=back)
            delta = back.mul_(self.slopes[index - 1])
