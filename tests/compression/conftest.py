import numpy as np
import pytest


@pytest.fixture(scope="session")
def smooth():
    """Six grey images of 28x28, smooth but for noise: uint8, (28, 28, 1) each."""
    generator = np.random.default_rng(3)
    rows, columns = np.mgrid[0:28, 0:28] / 28
    waves = [
        127 + 90 * np.sin(a * rows + b * columns) + generator.normal(0, 4, (28, 28))
        for a, b in generator.uniform(1, 9, (6, 2))
    ]
    return [np.clip(wave, 0, 255).astype(np.uint8)[..., None] for wave in waves]
