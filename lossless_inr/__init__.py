"""Reproducible benchmark suite for lossless implicit neural representations (INRs).

A network f(coordinates) is fitted to one signal; it is lossless when every decoded integer is
right. Rooms, each importing only those before it:

`signals`          which integers must come back exactly
`metrics`          exact error counts, and ratios made from counts (arrays only)
`representations`  samples <-> coordinates, targets and loss (Eq. 8 of the paper, and siblings)
`networks`         coordinates -> outputs; one file each
`fitting`          the loop, recipes, records, verification
`models`           lossless fits of a user's own files: `fit`, `Model`, the `.linr` format
`experiments`      which fits make a table or figure, and how it is laid out
`report`           how it is shown; reads files only
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lossless_inr.models.fitting import fit
    from lossless_inr.models.model import Model

__version__ = "0.1.0"
__all__ = ["Model", "fit"]


def __getattr__(name: str) -> Any:
    """`fit` and `Model`, imported when asked for: they bring torch."""
    if name == "fit":
        from lossless_inr.models.fitting import fit

        return fit
    if name == "Model":
        from lossless_inr.models.model import Model

        return Model
    raise AttributeError(f"module 'lossless_inr' has no attribute '{name}'")
