"""The network of the coder in integers: the same logits on any machine, in any order of summation.

Weights are int8, activations 0 .. 255, biases int16: up to 256 inputs, every sum is an integer
below 2**24, which float32 holds exactly, so matrix products need no special care. Probabilities
come from a table that is computed by correctly rounded decimal arithmetic.
"""

from __future__ import annotations

import decimal
import functools
import struct
from dataclasses import dataclass

import numpy as np

from lossless_inr.coder.context import UNIT, Sight, bounded
from lossless_inr.errors import UserError

ACTIVATION = 255
# A logit is the output over 1024; the table has 16 entries for each unit of it.
LOGIT, STEP, MOST = 1024, 64, 192
SCALE = 1 << 16
MOST_INPUTS = 256  # 256 x 255 x 127 + 2**15 < 2**24
BLOCK = 2048  # positions at a time: what a layer gives stays in the cache
HEAD = struct.Struct("<BBBBHB")  # bits, channels, hidden layers, sight, features, width


@functools.cache
def probabilities() -> np.ndarray:
    """P(bit = 1) of logits -12 .. 12 in steps of 1/16: multiples of 2**-16, float64."""
    with decimal.localcontext(prec=40):
        entries = [
            1 / (1 + (-decimal.Decimal(k) / 16).exp()) * SCALE for k in range(-MOST, MOST + 1)
        ]
        whole = [int(entry.to_integral_value()) for entry in entries]
    return np.array([min(max(entry, 1), SCALE - 1) for entry in whole]) / SCALE


def _activated(z: np.ndarray) -> np.ndarray:
    """Floor, 0 .. ACTIVATION, in place."""
    return bounded(np.floor(z, out=z), 0, ACTIVATION, z)


@dataclass(frozen=True)
class IntegerNetwork:
    """Weights of the coder's network.

    Attributes
    ----------
    bits, channels : int
        Of the samples it is for.
    sight : Sight
    hidden : list of ndarray of int8
        (width, features), then (width, width).
    biases : list of ndarray of int16
        Of the first layer (channels x bits, width), of the others (width,); in 1 / UNIT**2.
    head : ndarray of int8, (channels x bits, width)
    head_bias : ndarray of int16, (channels x bits,)
    """

    bits: int
    channels: int
    sight: Sight
    hidden: list[np.ndarray]
    biases: list[np.ndarray]
    head: np.ndarray
    head_bias: np.ndarray

    @functools.cached_property
    def _floats(self):
        """Weights and biases over `UNIT`, a power of two: every sum stays exact."""
        weights = [w.astype(np.float32) / UNIT for w in self.hidden]
        biases = [b.astype(np.float32)[..., None] / UNIT for b in self.biases]
        head = self.head.astype(np.float32) / STEP
        return weights, biases, head, self.head_bias.astype(np.float32) / STEP + MOST

    def still(self, others: np.ndarray) -> np.ndarray:
        """What features that all planes share add to the first layer.

        Parameters
        ----------
        others : ndarray of int32, (m, n)
            The last m features.

        Returns
        -------
        ndarray of float32, (width, n)
        """
        weight = self._floats[0][0]
        return weight[:, weight.shape[1] - len(others) :] @ others.astype(np.float32)

    def entry(self, moving: np.ndarray, still: np.ndarray, task: int) -> np.ndarray:
        """Which of `probabilities` each bit has.

        Parameters
        ----------
        moving : ndarray of float32, (k, n)
            The first k features.
        still : ndarray of float32, (width, n)
            What the others add.
        task : int
            channel x bits + plane.

        Returns
        -------
        ndarray of uint16, (n,)
        """
        weights, biases, head, head_bias = self._floats
        found = np.empty(moving.shape[1], np.uint16)
        for begin in range(0, len(found), BLOCK):
            part = slice(begin, begin + BLOCK)
            x = weights[0][:, : len(moving)] @ moving[:, part]
            x += still[:, part]
            x += biases[0][task]
            for weight, bias in zip(weights[1:], biases[1:], strict=True):
                x = weight @ _activated(x)
                x += bias
            z = head[task] @ _activated(x)
            z += head_bias[task]
            found[part] = bounded(np.floor(z, out=z), 0, 2 * MOST, z)
        return found

    def probability(self, features: np.ndarray, task: int) -> np.ndarray:
        """P(bit = 1), float64 (n,), of features (n, features); task = channel x bits + plane."""
        nothing = np.zeros((len(self.hidden[0]), len(features)), np.float32)
        moving = np.ascontiguousarray(features.T, dtype=np.float32)
        return probabilities()[self.entry(moving, nothing, task)]

    def to_bytes(self) -> bytes:
        """The file's form: a head, then every array, little-endian."""
        sight = self.sight.neighbours | self.sight.coordinates << 1 | self.sight.window << 2
        width, features = self.hidden[0].shape
        head = HEAD.pack(self.bits, self.channels, len(self.hidden), sight, features, width)
        arrays = [*self.hidden, *self.biases, self.head, self.head_bias]
        return head + b"".join(a.astype(a.dtype.newbyteorder("<")).tobytes() for a in arrays)

    @classmethod
    def from_bytes(cls, content: bytes) -> IntegerNetwork:
        """Inverse of `to_bytes`.

        Raises
        ------
        UserError
            If the length is not that of the sizes in its head.
        """
        try:
            bits, channels, layers, sight, features, width = HEAD.unpack_from(content)
        except struct.error:
            raise UserError("the network is cut short") from None
        tasks = bits * channels
        shapes = [((width, features), "i1")] + [((width, width), "i1")] * (layers - 1)
        shapes += [((tasks, width), "<i2")] + [((width,), "<i2")] * (layers - 1)
        shapes += [((tasks, width), "i1"), ((tasks,), "<i2")]
        sizes = [int(np.prod(shape)) * np.dtype(kind).itemsize for shape, kind in shapes]
        if (
            layers < 1
            or max(features, width) > MOST_INPUTS
            or HEAD.size + sum(sizes) != len(content)
        ):
            raise UserError("the network has another length than its head says")
        arrays, place = [], HEAD.size
        for (shape, kind), size in zip(shapes, sizes, strict=True):
            arrays.append(np.frombuffer(content, kind, int(np.prod(shape)), place).reshape(shape))
            place += size
        return cls(
            bits, channels, Sight(bool(sight & 1), bool(sight & 2), bool(sight & 4)),
            arrays[:layers], arrays[layers : 2 * layers], *arrays[2 * layers :],
        )  # fmt: skip
