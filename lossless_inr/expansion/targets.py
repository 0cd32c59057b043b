"""Which expansions a fit answers, and at which depths Table 5 is. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable

from lossless_inr.datasets.table import whole_name
from lossless_inr.errors import UserError
from lossless_inr.fitting.record import FitSpec

# (q, m): 8 to 16 and 8 to 12 are the paper's; 12 and 10 bits are the top ones of 16.
EXPANSIONS = ((8, 16), (8, 12), (8, 10), (10, 16))
# Of networks that keep a table of bit positions, nothing of it was trained below the fitted ones.
TABLES = ("private", "bits_in_grid")


def expansion_name(bits: int, target: int) -> str:
    """Key of an expansion in the printed table, e.g. `8to16`."""
    return f"{bits}to{target}"


def targets_of(spec: FitSpec, depth: int) -> list[int]:
    """Depths that a fit of the top bits of an image can be asked for.

    Parameters
    ----------
    spec : FitSpec
    depth : int
        Bit depth of the whole image.

    Returns
    -------
    list of int
        `of_bits` alone where the planes are those of such a grid; else every m of `EXPANSIONS`
        with this q, or the whole depth if there is none.

    Raises
    ------
    UserError
        If the signal is whole, or the fit has nothing to ask below its planes.
    """
    where = f"{spec.signal}, {spec.method}"
    if whole_name(spec.signal) == spec.signal:
        raise UserError(f"{where}: a whole image has no bits to find; fit {spec.signal}-top8")
    if spec.representation == "bithead":
        raise UserError(
            f"{where}: the bit head has no bit axis: its outputs are the planes it was fitted to, "
            "and there is nothing to ask below them; take bitplane"
        )
    if spec.representation not in ("bitplane", "direct"):
        raise UserError(f"{where}: expansion is written for bitplane and direct; take one of them")
    if any(spec.network_parameters.get(name) for name in TABLES):
        raise UserError(f"{where}: a table of bit positions says nothing below them; leave it out")
    grid = spec.representation_parameters.get("of_bits")
    if grid is not None:
        if grid > depth:
            raise UserError(f"{where}: of_bits {grid} is more than the {depth} bits of the image")
        return [int(grid)]
    if spec.representation == "bitplane" and spec.bits == 1:
        raise UserError(f"{where}: a single plane has no step to go on with below it; give of_bits")
    listed = [m for q, m in EXPANSIONS if q == spec.bits and m <= depth]
    return listed or [depth]


def check_fits(specs: Iterable[FitSpec], depth_of) -> None:
    """Refuse, before anything runs, fits that no expansion can be read from.

    Parameters
    ----------
    specs : iterable of FitSpec
    depth_of : callable
        Name of a whole signal -> its bit depth.

    Raises
    ------
    UserError
        See `targets_of`.
    """
    for spec in specs:
        targets_of(spec, depth_of(whole_name(spec.signal)))
