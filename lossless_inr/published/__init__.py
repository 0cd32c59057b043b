"""Numbers as printed in the paper (`published.yaml`), cell by cell."""

from __future__ import annotations

import functools
from importlib import resources
from typing import Any


@functools.cache
def load_published() -> dict[str, Any]:
    """Every printed number; `.inf` is a float, `null` is "not reported"."""
    from lossless_inr.schema import read_yaml

    return read_yaml(resources.files("lossless_inr.published") / "published.yaml")
