"""What every representation owes the fitting loop, and the axes they share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch

# Distance between neighbouring samples of a sound. SIREN's first layer, sin(30 w t) with
# |w| <= 1/fan_in, then turns by at most 1 radian (bithead) a sample whatever the length: below
# the Nyquist limit of pi, and about the 0.97 of a 32-pixel image row on [-1, 1].
TIME_STEP = 1 / 30


@dataclass(frozen=True)
class Axis:
    """One input coordinate: `positions` equally spaced points on [-extent, extent]."""

    positions: int
    extent: float = 1.0

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
        Bit depth n, 1 to 16.
    """

    label: str
    rows_per_sample: int = 1
    # Precisions of products that training may use. Value targets need float32: the error
    # of a TF32 product, 2**-11, is far above a 16-bit step, and above half an 8-bit one.
    precisions: tuple[str, ...] = ("float32",)

    def __init__(self, shape: tuple[int, ...], bits: int):
        self.shape, self.bits, self.channels = tuple(shape), bits, shape[-1]
        self.positions = 1
        for side in shape[:-1]:
            self.positions *= side

    @property
    @abstractmethod
    def axes(self) -> list[Axis]:
        """Input axes, slowest first."""

    @property
    @abstractmethod
    def outputs(self) -> int:
        """Numbers the network returns per row."""

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
        """Targets of int64 `samples` (positions, channels): shape (rows, outputs)."""

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


class BitRepresentation(Representation):
    """Shared by the forms that predict single bits with binary cross-entropy.

    The logit form of BCE is used: the published code applies a sigmoid and then the probability
    form, whose gradient vanishes once float32 saturates on the wrong side (|logit| > 17).
    """

    # The sign of a logit survives rounding of the factors; a check in float32 decides anyway.
    precisions = ("float32", "tf32", "bfloat16")

    def targets(self, samples):
        """Bits as uint8 (rows, outputs)."""
        return to_planes(samples, self.bits).reshape(self.rows_in(samples), self.outputs)

    def rows_in(self, samples: torch.Tensor) -> int:
        """Rows that belong to these positions."""
        return len(samples) * self.rows_per_sample

    def loss(self, outputs, targets, focus):
        """BCE on logits; `focus` p weights each bit by |sigmoid(logit) - bit|**p, no gradient."""
        truth = targets.to(outputs.dtype)
        each = torch.nn.functional.binary_cross_entropy_with_logits(
            outputs, truth, reduction="none"
        )
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
