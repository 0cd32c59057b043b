"""Seeds from named axes, so that two fits share randomness on purpose or not at all."""

from __future__ import annotations

import hashlib
import json


def derive_seed(**axes: str | int) -> int:
    """A seed in 0 .. 2**63 - 1 that depends on the named axes and on nothing else.

    Examples
    --------
    >>> derive_seed(signal="a", repeat=0) == derive_seed(repeat=0, signal="a")
    True
    >>> derive_seed(signal="a", repeat=0) == derive_seed(signal="a", repeat=1)
    False
    """
    text = json.dumps(axes, sort_keys=True)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
