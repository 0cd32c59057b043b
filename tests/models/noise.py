"""Pictures that no network can guess."""

import numpy as np


def picture(shape=(12, 10, 3), bits=8, seed=0):
    dtype = np.uint8 if bits <= 8 else np.uint16 if bits <= 16 else np.uint32
    return np.random.default_rng(seed).integers(0, 2**bits, shape).astype(dtype)
