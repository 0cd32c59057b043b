"""What every representation owes the fitting loop, and the axes they share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch

from lossless_inr.errors import UserError
from lossless_inr.metrics import count_errors
from lossless_inr.representations import _words
from lossless_inr.signals.codes import FLOAT_CODES, from_words, to_words

# Distance between neighbouring samples of a sound. SIREN's first layer, sin(30 w t) with
# |w| <= 1/fan_in, then turns by at most 1 radian (bithead) a sample whatever the length: below
# the Nyquist limit of pi, and about the 0.97 of a 32-pixel image row on [-1, 1].
TIME_STEP = 1 / 30


@dataclass(frozen=True)
class Axis:
    """One input coordinate: `positions` equally spaced points on [-extent, extent].

    `role` is what it counts: "position" in the signal, "bit", or "channel". Networks with a table
    of positions need to know.
    """

    positions: int
    extent: float = 1.0
    role: str = "position"

    def values(self) -> torch.Tensor:
        """Coordinates, float32, shape (positions,); one position sits at -extent."""
        points = torch.linspace(-1, 1, self.positions, dtype=torch.float64) * self.extent
        return points.to(torch.float32)


def signal_axes(shape: tuple[int, ...]) -> list[Axis]:
    """Axes of a signal of shape (height, width, C) or (samples, C).

    Images use [-1, 1] per side, end points included, rows first (paper section 4.1). Sounds use
    a fixed step, so their extent grows with the number of samples.
    """
    if len(shape) == 2:
        return [Axis(shape[0], max(shape[0] - 1, 1) * TIME_STEP / 2)]
    return [Axis(side) for side in shape[:-1]]


class Representation(ABC):
    """Coordinates, targets, loss and the exact inverse, for one shape and bit depth.

    Rows are the samples in C order; `rows_per_sample` consecutive rows belong to one spatial
    position, so any slice of whole positions can be decoded on its own.

    Parameters
    ----------
    shape : tuple of int
        (height, width, channels) or (samples, channels).
    bits : int
        Bit depth n, 1 to 64; values are regressed up to `most_bits`.
    loss : str
        One of `losses`.

    Attributes
    ----------
    code : str
        What the bits of a sample mean, one of `signals.codes.CODES`. A fit is of words: samples
        go through `words` before it, and what it decodes through `samples` after it.
    networks : int
        Networks that stand side by side, of the same input; `outputs` is what each returns, and
        their outputs stand one after another in a row.
    """

    label: str
    losses: tuple[str, ...]
    rows_per_sample: int = 1
    networks: int = 1
    # Precisions of products that training may use. Value targets need float32: the error
    # of a TF32 product, 2**-11, is far above a 16-bit step, and above half an 8-bit one.
    precisions: tuple[str, ...] = ("float32",)
    code: str = "offset"

    def __init__(self, shape: tuple[int, ...], bits: int, loss: str):
        if loss not in self.losses:
            raise UserError(f"loss: {loss!r} is none of {', '.join(self.losses)}")
        self.shape, self.bits, self.channels = tuple(shape), bits, shape[-1]
        self.loss_name = loss
        self.positions = 1
        for side in shape[:-1]:
            self.positions *= side

    def read_as(self, code: str) -> Representation:
        """Choose what the bits mean; returns itself.

        Raises
        ------
        UserError
            If words of this code have another length.
        """
        if FLOAT_CODES.get(code, self.bits) != self.bits:
            raise UserError(f"{code} words have {FLOAT_CODES[code]} bits, not {self.bits}")
        self.code = code
        return self

    @property
    def floats(self) -> bool:
        """Whether the words are floats."""
        return self.code in FLOAT_CODES

    def words(self, samples: torch.Tensor) -> torch.Tensor:
        """Words that are fitted, of int64 samples of any shape."""
        return to_words(samples, self.bits, self.code)

    def samples(self, words: torch.Tensor) -> torch.Tensor:
        """Inverse of `words`."""
        return from_words(words, self.bits, self.code)

    def squared_error(self, decoded: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        """Sum of squared errors of words (..., positions, channels): float64, shape (...).

        In grey levels; exact while it is below 2**53, and 0 only if all words are equal. Of floats,
        in levels of their range (see `_words.squared_error`).
        """
        if self.floats:
            return _words.squared_error(decoded, truth, self.bits, len(self.shape) == 2)
        decoded, truth = self.samples(decoded), self.samples(truth)
        if self.counts_fit:
            return count_errors(decoded, truth, (-2, -1)).double()
        difference = (decoded - truth).double()
        return (difference * difference).sum((-2, -1))

    @property
    def counts_fit(self) -> bool:
        """Whether any sum of squared errors of integers fits in 63 bits."""
        return self.positions * self.channels * 4**self.bits < 2**63

    @property
    @abstractmethod
    def axes(self) -> list[Axis]:
        """Input axes, slowest first."""

    @property
    @abstractmethod
    def outputs(self) -> int:
        """Numbers each network returns per row."""

    @property
    def rows(self) -> int:
        """Rows of one full batch."""
        return self.positions * self.rows_per_sample

    def coordinates(self) -> torch.Tensor:
        """All rows, float32, shape (rows, len(axes)), last axis fastest."""
        grids = torch.meshgrid(*[axis.values() for axis in self.axes], indexing="ij")
        return torch.stack([grid.reshape(-1) for grid in grids], dim=1)

    @abstractmethod
    def targets(self, samples: torch.Tensor) -> torch.Tensor:
        """Targets of int64 `samples` (positions, channels): (rows, networks x outputs)."""

    @abstractmethod
    def loss(
        self, outputs: torch.Tensor, targets: torch.Tensor, focus: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Weighted sum of the elementwise loss, and the sum of weights, over the last two axes.

        Both are sums, so that slices add up to the full batch exactly: the loss of the batch is
        the ratio of the totals. Leading axes of `outputs` are networks of their own; the weights
        are constants of the gradient.
        """

    @abstractmethod
    def decode(self, outputs: torch.Tensor) -> torch.Tensor:
        """Integers from outputs of whole positions: int64, shape (positions, channels)."""

    @abstractmethod
    def margin(self, outputs: torch.Tensor) -> torch.Tensor:
        """Smallest distance of any output to its decision boundary (>= 0, scalar)."""


def to_planes(samples: torch.Tensor, bits: int) -> torch.Tensor:
    """Bit-planes B(i) of I = sum 2**i B(i) (paper Eq. 7), least significant first.

    int64 (positions, channels) -> uint8 (positions, bits, channels).
    """
    shift = torch.arange(bits, device=samples.device).view(1, bits, 1)
    return ((samples[:, None, :] >> shift) & 1).to(torch.uint8)


def from_planes(planes: torch.Tensor) -> torch.Tensor:
    """Inverse of `to_planes`: (positions, bits, channels) of 0/1 or bool -> int64."""
    shift = torch.arange(planes.shape[1], device=planes.device).view(1, -1, 1)
    return (planes.to(torch.int64) << shift).sum(dim=1)


def elementwise(name: str, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """A loss of each number; for all but "mse" and "mae", `outputs` are logits of [0, 1].

    `bce` is binary cross-entropy on logits. `bce-probability` is what the published code computes:
    a sigmoid, then the probability form with its logarithm clamped at -100. The two differ where
    float32 saturates: on the wrong side beyond |logit| = 17 the second has no gradient.
    """
    functional = torch.nn.functional
    if name == "bce":
        return functional.binary_cross_entropy_with_logits(outputs, targets, reduction="none")
    if name == "bce-probability":
        return functional.binary_cross_entropy(torch.sigmoid(outputs), targets, reduction="none")
    error = outputs - targets
    return error * error if name == "mse" else error.abs()


class BitRepresentation(Representation):
    """Shared by the forms that predict single bits.

    Losses other than cross-entropy are of the probability sigmoid(output), as in the paper's
    ablation of losses (Figure 11).
    """

    losses = ("bce", "bce-probability", "mse", "mae")
    # The sign of a logit survives rounding of the factors; a check in float32 decides anyway.
    precisions = ("float32", "tf32", "bfloat16")

    def targets(self, samples):
        """Bits as uint8 (rows, outputs)."""
        return to_planes(samples, self.bits).reshape(self.rows_in(samples), self.outputs)

    def rows_in(self, samples: torch.Tensor) -> int:
        """Rows that belong to these positions."""
        return len(samples) * self.rows_per_sample

    def loss(self, outputs, targets, focus):
        """Loss of each bit; `focus` p weights it by |sigmoid(logit) - bit|**p, no gradient."""
        truth = targets.to(outputs.dtype)
        if self.loss_name in ("mse", "mae"):
            each = elementwise(self.loss_name, torch.sigmoid(outputs), truth)
        else:
            each = elementwise(self.loss_name, outputs, truth)
        if focus == 0:
            return each.sum((-2, -1)), torch.ones_like(each).sum((-2, -1))
        with torch.no_grad():
            weight = (torch.sigmoid(outputs) - truth).abs()
            if focus != 1:
                weight = weight**focus
        return (weight * each).sum((-2, -1)), weight.sum((-2, -1))

    def decode(self, outputs):
        """Bit = 1 iff logit > 0: the published round(sigmoid), half to even, without saturation."""
        return from_planes((outputs > 0).reshape(-1, self.bits, self.channels))

    def margin(self, outputs):
        """Smallest |logit|."""
        return outputs.abs().min()


class ValueRepresentation(Representation):
    """Shared by the forms that regress numbers: the digits of a sample, or the sample itself.

    A sample is K digits of `digit_bits` bits, least significant first, each the work of a network
    of its own. Targets are 2 D / (2**digit_bits - 1) - 1 in [-1, 1], the convention of Sitzmann et
    al., NeurIPS 2020; the paper does not state its own. With `bce` the outputs are logits of
    D / (2**digit_bits - 1).

    Floats are regressed as the numbers they are, without a scale (sounds lie in [-1, 1] already),
    and decoded to the nearest word; NaN and infinities have the target 0 and are never met.
    """

    losses = ("mse", "mae", "bce")
    # A float32 output can be told from its neighbours at 24 bits, and no further.
    most_bits = 24

    def __init__(self, shape, bits, loss, digit_bits):
        super().__init__(shape, bits, loss)
        self.digit_bits, self.networks = digit_bits, bits // digit_bits

    @property
    def axes(self):
        """Signal axes only."""
        return signal_axes(self.shape)

    @property
    def outputs(self):
        """One value per channel."""
        return self.channels

    @property
    def top(self) -> int:
        """The largest digit."""
        return 2**self.digit_bits - 1

    def read_as(self, code):
        """Choose what the bits mean; returns itself."""
        super().read_as(code)
        if self.floats and (self.networks != 1 or self.loss_name == "bce"):
            raise UserError(f"{code}: floats are regressed whole, by mse or mae")
        if not self.floats and self.bits > self.most_bits:
            raise UserError(f"{self.bits} bits: values are regressed up to {self.most_bits}")
        return self

    def targets(self, samples):
        """float32 values; float32 separates all 2**16 levels with a factor of 64 to spare."""
        if self.floats:
            values = _words.values_of(samples, self.bits)
            return torch.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0).to(torch.float32)
        shift = self.digit_bits * torch.arange(self.networks, device=samples.device)
        digits = (samples[:, None, :] >> shift[:, None]) & self.top
        share = digits.to(torch.float64).reshape(len(samples), -1) / self.top
        return (share if self.loss_name == "bce" else share * 2 - 1).to(torch.float32)

    def loss(self, outputs, targets, focus):
        """Loss of each value; there is no notion of a wrong bit to focus on."""
        if focus != 0:
            raise ValueError("a form of values has no focus")
        each = elementwise(self.loss_name, outputs, targets.to(outputs.dtype))
        return each.sum((-2, -1)), torch.ones_like(each).sum((-2, -1))

    def _levels(self, outputs):
        outputs = outputs.to(torch.float64)
        share = torch.sigmoid(outputs) if self.loss_name == "bce" else (outputs + 1) / 2
        return share * self.top

    def decode(self, outputs):
        """Nearest digit, half to even, clamped; then I = sum 2**(digit_bits k) D_k."""
        if self.floats:
            return _words.words_of(outputs, self.bits).reshape(-1, self.channels)
        # NaN has no integer: a diverged output decodes to 0 rather than to an undefined value.
        levels = torch.nan_to_num(self._levels(outputs), nan=0.0)
        digits = levels.round().clamp(0, self.top).to(torch.int64)
        digits = digits.reshape(-1, self.networks, self.channels)
        shift = self.digit_bits * torch.arange(self.networks, device=outputs.device)
        return (digits << shift[:, None]).sum(1)

    def margin(self, outputs):
        """Smallest distance to a rounding boundary, in steps of a digit (at most 0.5).

        Outputs beyond the range are clamped, so there the boundary is the outermost one only. Of
        floats, the smallest distance to the edge of what rounds to the same word.
        """
        if self.floats:
            outputs = outputs.double()
            near = outputs.to(_words.FLOATS[self.bits][0])
            step = torch.nextafter(near.abs(), torch.full_like(near, torch.inf)) - near.abs()
            return (step.double() / 2 - (outputs - near.double()).abs()).min()
        levels, top = self._levels(outputs), self.top
        inside = 0.5 - (levels - levels.round()).abs()
        beyond = torch.where(levels < 0, 0.5 - levels, levels - (top - 0.5))
        return torch.where((levels < 0) | (levels > top), beyond, inside).min()
