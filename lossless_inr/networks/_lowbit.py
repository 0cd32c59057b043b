"""Linear layers of few bits: quantisation-aware training, and weights stored as packed codes.

Absmean ternary weights and per-row activations follow BitNet b1.58 (Ma et al., "The Era of 1-bit
LLMs: All Large Language Models are in 1.58 Bits", 2024) as the paper's Eq. 12 uses it. A weight is
an integer code times the step of its tensor; an activation is an integer code over the gain of its
row. So the product of a layer is one of integers: as long as a sum stays below 2**24, which it does
for ternary weights, 16-bit activations and up to 256 inputs, float32 holds it exactly in any order.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import torch
from torch import nn

from lossless_inr.errors import UserError

TERNARY = 1.58
# Step in standard deviations of the uniform quantiser of least squared error for a Gaussian
# (Max, "Quantizing for minimum distortion", IRE Trans. Inf. Theory, 1960).
GAUSSIAN_STEPS = {2: 0.9957, 3: 0.5860, 4: 0.3352, 8: 0.03077}
# More codes than that: the whole range is covered.
WHOLE_RANGE = 16
PRECISIONS = (TERNARY, *GAUSSIAN_STEPS, WHOLE_RANGE, 32)
TRITS = 5  # of a byte: 3**5 = 243
SMALLEST = 1e-5  # of a scale, as in the authors' code
POWERS = 3 ** torch.arange(TRITS)


class StraightThrough(torch.autograd.Function):
    """Values to the nearest code; the gradient passes as if nothing had happened.

    `levels` None: the nearest integer, half to even. 3: the nearest of -1, 0, 1. 2k: the nearest
    odd number of -(2k - 1) .. 2k - 1.
    """

    @staticmethod
    def forward(ctx, values, levels):
        """Codes of `values`."""
        if levels is None:
            return values.round()
        if levels == 3:
            return values.round().clamp(-1, 1)
        return ((values / 2).floor() * 2 + 1).clamp(1 - levels, levels - 1)

    @staticmethod
    def backward(ctx, gradient):
        """Unchanged."""
        return gradient, None


def levels(bits: float) -> int:
    """Number of codes of a precision."""
    return 3 if bits == TERNARY else 2 ** int(bits)


def quantise(weight: torch.Tensor, bits: float) -> tuple[torch.Tensor, torch.Tensor | float]:
    """Codes of a tensor and its step, so that codes x step is near the tensor (paper Eq. 12).

    Parameters
    ----------
    weight : Tensor
    bits : float
        One of `PRECISIONS`. 1.58: round(w / mean|w|) to -1, 0, 1. 2, 3, 4, 8: the uniform
        quantiser of least error for a Gaussian of this mean|w|. 16: the whole range. 32: as it is.

    Returns
    -------
    codes : Tensor
        As `weight`, with its gradient; see `StraightThrough`.
    step : Tensor (scalar) or float
    """
    if bits == 32:
        return weight, 1.0
    size = weight.detach().abs()
    if bits == TERNARY:
        step = size.mean().clamp_min(SMALLEST)
    elif bits == WHOLE_RANGE:
        step = size.max().clamp_min(SMALLEST) / (levels(bits) - 1)
    else:
        # Odd codes are two steps apart; mean|w| of a Gaussian is sqrt(2 / pi) deviations.
        deviation = size.mean().clamp_min(SMALLEST) * math.sqrt(math.pi / 2)
        step = GAUSSIAN_STEPS[int(bits)] * deviation / 2
    return StraightThrough.apply(weight / step, levels(bits)), step


class LowBitLinear(nn.Linear):
    """y = step / gain(x) * codes(W) codes(x) + b.

    Parameters
    ----------
    in_features, out_features : int
    weight_bits : float
        One of `PRECISIONS`; 1.58 are ternary codes, 32 leaves the weights as they are.
    activation_bits : int
        b of the codes round(x (2**b - 1) / max|x|) of a row, so b + 1 bits with the sign; 32
        leaves the activations as they are.
    normalise : bool
        Normalise each row first, without affine parameters (LayerNorm).
    bias : bool
        Biases stay float32.

    Attributes
    ----------
    step : Tensor or None
        Of loaded codes, scalar; `weight` then holds the codes. None while the weights are latent.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        weight_bits: float,
        activation_bits: int,
        normalise: bool,
        bias: bool = False,
    ):
        super().__init__(in_features, out_features, bias=bias)
        self.weight_bits, self.activation_bits = weight_bits, activation_bits
        self.normalise = normalise
        self.step: torch.Tensor | None = None

    def quantised(self) -> tuple[torch.Tensor, torch.Tensor | float]:
        """Codes of the weights, in their dtype, and the number that a code of 1 stands for."""
        if self.step is not None:
            return self.weight, self.step.to(self.weight)
        return quantise(self.weight, self.weight_bits)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(rows, in_features) -> (rows, out_features)."""
        if self.normalise:
            x = nn.functional.layer_norm(x, x.shape[-1:])
        codes, scale = self.quantised()
        if self.activation_bits != 32:
            top = 2**self.activation_bits - 1
            gain = top / x.detach().abs().amax(-1, keepdim=True).clamp_min(SMALLEST)
            # The authors clamp to +-2**b, which nothing exceeds.
            x, scale = StraightThrough.apply(x * gain, None), scale / gain
        y = nn.functional.linear(x, codes) * scale
        return y if self.bias is None else y + self.bias

    # --- storage ------------------------------------------------------------------------

    def pack(self, weight: torch.Tensor) -> dict[str, torch.Tensor]:
        """What is stored of latent weights: packed codes and their step.

        Parameters
        ----------
        weight : Tensor of float32, (out_features, in_features)

        Returns
        -------
        dict
            `codes` (uint8): ternary codes + 1 as digits of base 3, five to a byte, the first the
            least significant; others as numbers 0 .. 2**bits - 1 bit by bit, the least significant
            first, eight to a byte. The last byte is filled with zeros. `step` (float32, scalar).
            With 32 bits `weight` as it is.
        """
        if self.weight_bits == 32:
            return {"weight": weight}
        codes, step = quantise(weight, self.weight_bits)
        codes = codes.long().flatten()
        if self.weight_bits == TERNARY:
            packed = pack_trits(codes)
        else:
            most = levels(self.weight_bits) - 1
            packed = pack_numbers((codes + most) // 2, int(self.weight_bits))
        return {"codes": packed, "step": step.float()}

    def unpack(self, stored: dict[str, torch.Tensor]) -> torch.Tensor:
        """Codes of what `pack` returned, (out_features, in_features); sets `step`.

        Raises
        ------
        UserError
            If the length is wrong, a code is none of the codes, or the step is no positive number.
        """
        if self.weight_bits == 32:
            return stored["weight"]
        if missing := {"codes", "step"} - set(stored):
            raise UserError(f"there are no '{min(missing)}' of a layer")
        packed, step = stored["codes"], stored["step"]
        count = self.weight.numel()
        bits, ternary = self.weight_bits, self.weight_bits == TERNARY
        size = math.ceil(count / TRITS if ternary else count * bits / 8)
        if packed.dtype != torch.uint8 or packed.shape != (size,):
            raise UserError(
                f"{packed.numel()} bytes of codes where {count} weights of {bits:g} bits take "
                f"{size}"
            )
        if step.numel() != 1 or not math.isfinite(float(step)) or float(step) <= 0:
            raise UserError(f"the step of the codes is {step.tolist()}, no positive number")
        if ternary:
            codes = unpack_trits(packed, count)
        else:
            codes = 2 * unpack_numbers(packed, int(bits), count) - (levels(bits) - 1)
        self.step = step.detach().clone()
        return codes.view_as(self.weight).to(torch.float32)


def pack_trits(trits: torch.Tensor) -> torch.Tensor:
    """int64 of -1, 0, 1, shape (n,) -> uint8, shape (ceil(n / 5),).

    Examples
    --------
    >>> pack_trits(torch.tensor([1, 1, 1, 1, 1, -1])).tolist()
    [242, 0]
    """
    digits = nn.functional.pad(trits + 1, (0, -len(trits) % TRITS)).view(-1, TRITS)
    return (digits * POWERS.to(digits.device)).sum(1).to(torch.uint8)


def unpack_trits(packed: torch.Tensor, count: int) -> torch.Tensor:
    """Inverse of `pack_trits`, int64, for `count` trits.

    Raises
    ------
    UserError
        If a byte is above 242, or the rest of the last byte is not empty.
    """
    if int(packed.max()) >= 3**TRITS:
        raise UserError(f"a byte of ternary weights is {int(packed.max())}; 242 is the largest")
    digits = ((packed.long()[:, None] // POWERS.to(packed.device)) % 3).flatten()
    if bool(digits[count:].any()):
        raise UserError("there are ternary weights behind the last one")
    return digits[:count] - 1


def pack_numbers(numbers: torch.Tensor, bits: int) -> torch.Tensor:
    """int64 in 0 .. 2**bits - 1, shape (n,) -> uint8, shape (ceil(n bits / 8),)."""
    shifted = numbers.cpu().numpy()[:, None] >> np.arange(bits)
    return torch.from_numpy(np.packbits((shifted & 1).astype(np.uint8), bitorder="little"))


def unpack_numbers(packed: torch.Tensor, bits: int, count: int) -> torch.Tensor:
    """Inverse of `pack_numbers`, int64, for `count` numbers."""
    single = np.unpackbits(packed.cpu().numpy(), bitorder="little")
    if single[count * bits :].any():
        raise UserError("there are weights behind the last one")
    single = single[: count * bits].reshape(count, bits).astype(np.int64)
    return torch.from_numpy((single << np.arange(bits)).sum(1))


class LowBitMLP(nn.Module):
    """`CoordinateMLP` of `LowBitLinear` layers.

    Parameters
    ----------
    in_features, outputs, width, hidden_layers : int
    activation : callable, (tensor, layer index) -> tensor
        Applied after every layer but the last.
    encoding : nn.Module, optional
        Applied to the coordinates first; `in_features` counts its output.
    layer
        Of `LowBitLinear`.

    Raises
    ------
    UserError
        For a precision that is not offered.
    """

    def __init__(
        self, in_features, outputs, width, hidden_layers, activation, encoding=None, **layer
    ):
        super().__init__()
        if layer["weight_bits"] not in PRECISIONS:
            offered = ", ".join(f"{bits:g}" for bits in PRECISIONS)
            raise UserError(f"weight_bits: {layer['weight_bits']:g} is none of {offered}")
        if not 2 <= layer["activation_bits"] <= 32:
            raise UserError(f"activation_bits: {layer['activation_bits']:g} is not in 2 .. 32")
        layer["activation_bits"] = int(layer["activation_bits"])
        sizes = [in_features, *[width] * (hidden_layers + 1), outputs]
        self.encoding, self.activation = encoding, activation
        self.layers = nn.ModuleList(LowBitLinear(a, b, **layer) for a, b in pairwise(sizes))

    def forward(self, coordinates: torch.Tensor) -> torch.Tensor:
        """Outputs of shape (rows, outputs)."""
        x = coordinates if self.encoding is None else self.encoding(coordinates)
        for index, layer in enumerate(self.layers[:-1]):
            x = self.activation(layer(x), index)
        return self.layers[-1](x)
