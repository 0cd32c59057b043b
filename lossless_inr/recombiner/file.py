"""The bit stream: indices of the blocks and, with bit planes, the residual that makes it exact.

    bytes  0..1    magic b"R1"
           2..5    digest of the shared prior, which says how many blocks there are
           6..9    CRC-32 of the decoded samples
           ...     a 16-bit index for each block, little endian
           ...     the residual (`planes` only): words of constriction's range coder

The residual codes each bit with the probability the network gives it. The network is computed in
float64 and its logits are rounded to sixteenths, so machines agree but for a logit within rounding
(1e-12) of an edge; then the CRC fails and decoding says so. `lossless_inr.coder` is the one whose
agreement is by construction.
"""

from __future__ import annotations

import struct
import zlib

import constriction
import numpy as np
import torch

from lossless_inr.errors import UserError
from lossless_inr.recombiner.model import planes
from lossless_inr.recombiner.posterior import chosen_numbers
from lossless_inr.recombiner.prior import Prior

MAGIC = b"R1"
HEAD = struct.Struct("<2s4sI")


def outputs(prior: Prior, indices: np.ndarray) -> np.ndarray:
    """What the network of these indices gives: float64 (pixels, outputs)."""
    shared = prior.shared.double()
    try:
        with torch.no_grad():
            return shared(chosen_numbers(prior, indices)[None])[0].numpy()
    finally:
        prior.shared.float()


def read_off(prior: Prior, found: np.ndarray) -> np.ndarray:
    """uint8 samples without a residual: values rounded, logits at their sign."""
    if prior.shared.form == "value":
        return np.clip(np.rint(255 * found[:, 0]), 0, 255).astype(np.uint8)
    return np.packbits(found > 0, axis=1)[:, 0]


def write(prior: Prior, indices: np.ndarray, samples: np.ndarray) -> tuple[bytes, np.ndarray]:
    """The file of one image, and its samples as read without a residual.

    Parameters
    ----------
    prior : Prior
        Shared parts.
    indices : ndarray
        uint16 (blocks,).
    samples : ndarray
        uint8 (pixels,).

    Returns
    -------
    content : bytes
        The file.
    plain : ndarray
        uint8 (pixels,): what the network alone gives.
    """
    found = outputs(prior, indices)
    plain = read_off(prior, found)
    residual = b""
    final = plain
    if prior.shared.form == "planes":
        bits = planes(torch.from_numpy(samples.copy())).numpy().astype(np.int32).ravel()
        coder = constriction.stream.queue.RangeEncoder()
        coder.encode(bits, constriction.stream.model.Bernoulli(perfect=False), _chances(found))
        residual, final = coder.get_compressed().astype("<u4").tobytes(), samples
    head = HEAD.pack(MAGIC, prior.digest, zlib.crc32(final.tobytes()))
    return head + indices.astype("<u2").tobytes() + residual, plain


def read(prior: Prior, content: bytes) -> np.ndarray:
    """Samples of a file: uint8 (pixels,), exact with bit planes.

    Raises
    ------
    UserError
        Not such a file, of another prior, cut, or damaged.
    """
    if len(content) < HEAD.size or content[:2] != MAGIC:
        raise UserError("not a RECOMBINER file (R1)")
    _, digest, crc = HEAD.unpack_from(content)
    count = prior.count
    if digest != prior.digest:
        raise UserError("the file was made with another prior: decode it with that one")
    body = content[HEAD.size :]
    if len(body) < 2 * count or (len(body) - 2 * count) % 4:
        raise UserError("the file is cut or damaged: its length is not that of its blocks")
    found = outputs(prior, np.frombuffer(body, "<u2", count))
    if prior.shared.form == "planes":
        words = np.frombuffer(body, "<u4", offset=2 * count).astype(np.uint32)
        chances = _chances(found)
        coder = constriction.stream.queue.RangeDecoder(words)
        try:
            bits = coder.decode(constriction.stream.model.Bernoulli(perfect=False), chances)
        except (AssertionError, ValueError):
            raise UserError("the file is damaged: its residual does not decode") from None
        samples = np.packbits(bits.reshape(-1, 8).astype(bool), axis=1)[:, 0]
    else:
        samples = read_off(prior, found)
    if zlib.crc32(samples.tobytes()) != crc:
        raise UserError("the file is damaged, or this machine rounds differently: CRC differs")
    return samples


def _chances(logits: np.ndarray) -> np.ndarray:
    """Probability of each bit being 1, from logits in sixteenths, bounded: float64 (bits,)."""
    steps = np.clip(np.rint(16 * logits.ravel()), -160, 160)
    return 1 / (1 + np.exp(-steps / 16))
