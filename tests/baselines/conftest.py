import json

import numpy as np
import pytest

from lossless_inr.signals import Signal


@pytest.fixture
def signal() -> Signal:
    samples = np.random.default_rng(0).integers(0, 4096, (12, 13, 3)).astype(np.uint16)
    return Signal(name="mine/12x13/noise", samples=samples, bits=12, kind="photo")


@pytest.fixture
def answer(tmp_path):
    """A folder in which a program has ended well after two steps of 0.5 s."""
    steps = [
        {"step": name, "command": ["x"], "seconds": 0.5, "reason": ""}
        for name in ("encode", "decode")
    ]
    (tmp_path / "run.json").write_text(json.dumps(steps))
    return tmp_path
