"""What the audit recomputes with: sizes and costs of networks, PSNR, bit-depth expansion, rates."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from lossless_inr.metrics import count_errors, psnr

BLOCK_BITS = 16  # KL per block of RECOMBINER: rate = 16 blocks / pixels (its repository)

Layers = list[tuple[int, int]]


def mlp(inputs: int, width: int, hidden: int, outputs: int) -> Layers:
    """(d_in, d_out) of each linear layer; `hidden` counts width x width layers, as in the paper."""
    return [(inputs, width), *[(width, width)] * hidden, (width, outputs)]


def macs(layers: Layers) -> int:
    """Multiply-accumulates per row, which is also the number of weights."""
    return sum(d_in * d_out for d_in, d_out in layers)


def float32_bytes(layers: Layers) -> int:
    """Size of weights and biases at 4 bytes each."""
    return 4 * sum(d_in * d_out + d_out for d_in, d_out in layers)


def ternary_bytes(layers: Layers, networks: int) -> int:
    """Packed size of ternary weights without biases: 5 to a byte, since 3**5 = 243 <= 256."""
    return math.ceil(networks * macs(layers) / 5)


def bitops(layers: Layers, weight_bits: int, activation_bits: int, networks: int = 1) -> int:
    """Bit operations per pixel: the sum of 2 d_in d_out b_w b_a over layers and networks."""
    return networks * bitops_of(macs(layers), weight_bits, activation_bits)


def bitops_of(macs: float, weight_bits: float, activation_bits: float) -> float:
    """Bit operations of multiply-accumulates, two operations each, of these bits."""
    return 2 * macs * weight_bits * activation_bits


def flops_per_step(layers: Layers, rows: int) -> int:
    """Operations of one full-batch step: forward 2, backward 4 per multiply-accumulate."""
    return 6 * macs(layers) * rows


def saved_activation_bytes(width: int, sine_layers: int, rows: int) -> int:
    """Memory autograd keeps: the argument and the value of each sine, float32."""
    return 2 * sine_layers * rows * width * 4


def implied_psnr(rmse: float, bits: int) -> float:
    """PSNR in dB of an RMSE in grey levels."""
    return 20 * math.log10((2**bits - 1) / rmse)


def implied_rmse(decibels: float, bits: int) -> float:
    """RMSE in grey levels of a PSNR in dB."""
    return (2**bits - 1) / 10 ** (decibels / 20)


def expansion_psnr(
    rule: Callable[[np.ndarray, int, int], np.ndarray], bits: int, target: int
) -> float:
    """PSNR in dB of a rule over every `target`-bit value once, known by its top `bits` bits."""
    truth = np.arange(2**target)
    expanded = rule(truth >> (target - bits), bits, target)
    return psnr(int(count_errors(expanded, truth)), truth.size, target)


def random_bits_psnr(bits: int, target: int) -> float:
    """PSNR in dB of independent uniform low bits, over every pair of drawn and true ones."""
    low = np.arange(2 ** (target - bits))
    return psnr(int(count_errors(low[:, None], low[None, :])), low.size**2, target)


def whole_blocks(rate: float, pixels: int, quantum: float = 0.01) -> bool:
    """Whether a rate in bits per pixel, printed in steps of `quantum`, can be 16-bit blocks."""
    low, high = ((rate + sign * quantum / 2) * pixels / BLOCK_BITS for sign in (-1, 1))
    return math.ceil(low) <= high
