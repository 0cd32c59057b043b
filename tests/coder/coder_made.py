"""Pictures and networks for the exact coder."""

import zlib

import numpy as np
import pytest
import torch

from lossless_inr.coder.context import Context
from lossless_inr.coder.training import Trainable
from lossless_inr.errors import UserError


def random_network(bits, channels, sight, width=8, layers=2, seed=0):
    torch.manual_seed(seed)
    features = Context((1, 4, 4, channels), bits, sight).features
    return Trainable(features, width, layers, bits * channels).frozen(bits, channels, sight)


def smooth(shape, bits, seed=0):
    """Waves and noise: what predictors are for."""
    generator = np.random.default_rng(seed)
    _, height, width, channels = shape
    y, x = np.mgrid[:height, :width]
    waves = np.sin(x / 5)[..., None] + np.cos(y / 7)[..., None] + 0.1 * np.arange(channels)
    noisy = waves + generator.normal(0, 0.05, shape)
    top = 2**bits - 1
    return np.clip((noisy + 2) / 4.5 * top, 0, top).astype(np.uint8 if bits <= 8 else np.uint16)


def refused(words, function, *arguments, **options):
    with pytest.raises(UserError) as caught:
        function(*arguments, **options)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def resealed(content, changes):
    """A file of one band with changed bytes and a checksum that is right for them."""
    body = bytearray(content[:-4])
    for place, value in changes.items():
        body[place] = value
    return bytes(body) + zlib.crc32(body).to_bytes(4, "little")
