"""The paper's upper bound on the size of a network that is lossless at n bits.

U_d(n) = C epsilon(n)**(-2d) = C (2**(n+1) - 2)**(2d) (equations 3 and 6). Values are given over
C, which depends on the function (its domain and its steepness), not on n.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from lossless_inr.errors import UserError

WHAT_IT_SAYS = """\
U_d(n) bounds from above the size that suffices for a ReLU network to come within epsilon(n) of a \
Lipschitz function everywhere (sup-norm). It is no lower bound, it does not speak of sines, and it \
says nothing about how fast an optimiser finds such a network. Iterations to lossless are not \
proportional to it: 1233, 1288 and 3852 iterations (Table 3) stand against 16, 1296 and 810000. \
They do not fall as it grows, and 1 and 2 bits are equal within one standard deviation. Values for \
different d compare only if C is the same for both; as we remember the theorem, C grows with d."""

# Printed in the main text on the bound (our notes do not give the page), not in published.yaml.
# 2**90 = 1.238e27 suggests that the -2 was dropped and the digits cut.
PRINTED_U_5_8 = 1.23e27
PRINTED_U_2_16_ABOVE = 1e20  # a lower limit, for 16-bit images


def epsilon(bits: int) -> float:
    """Largest error in [0, 1] that still rounds to the right n-bit integer (equation 3).

    Raises
    ------
    UserError
        If `bits` is below 1.

    Examples
    --------
    >>> epsilon(1)
    0.5
    """
    _at_least_one(bits=bits)
    return 1 / (2 * (2**bits - 1))


def upper_bound(bits: int, dimensions: int) -> int:
    """U_d(n)/C, exact (equation 6).

    Parameters
    ----------
    bits : int
        n, the precision of one target.
    dimensions : int
        d, the number of coordinates; a bit coordinate counts.

    Raises
    ------
    UserError
        If either is below 1.

    Examples
    --------
    >>> upper_bound(2, 2)
    1296
    """
    _at_least_one(bits=bits, dimensions=dimensions)
    return (2 ** (bits + 1) - 2) ** (2 * dimensions)


def agrees(value: float, printed: float, quantum: float) -> bool:
    """Whether `printed`, in steps of `quantum`, is `value` rounded or (as the paper does) cut."""
    return -quantum / 2 <= value - printed < quantum


def table(published: dict[str, Any]) -> pd.DataFrame:
    """Every value of the bound beside the printed one.

    Parameters
    ----------
    published : dict
        `load_published()`; Table 3 is read.

    Returns
    -------
    DataFrame
        quantity, formula, value (exact int), published (as text, empty where nothing is printed),
        verdict ("reproduces", "differs" or "not printed").
    """
    printed = {(row["method"], row["n"]): row["upper_bound_over_c"] for row in published["table3"]}
    # (n, d, printed value, one unit of its last printed digit): 1.30K, 0.81M, 67.7G.
    rows = [
        (1, 2, printed["digits", 1], 1),
        (2, 2, printed["digits", 2], 10),
        (4, 2, printed["digits", 4], 1e4),
        (8, 2, printed["siren", 8], 1e8),
        (1, 3, printed["bitplane", 1], 1),
        (16, 2, PRINTED_U_2_16_ABOVE, None),
        (8, 3, None, None),
        (8, 5, PRINTED_U_5_8, 1e25),
    ]
    return pd.DataFrame([_row(*row) for row in rows])


def _row(bits: int, dimensions: int, printed: float | None, quantum: float | None) -> dict:
    value = upper_bound(bits, dimensions)
    if printed is None:
        text, verdict = "", "not printed"
    else:
        same = value > printed if quantum is None else agrees(value, printed, quantum)
        text = f"{'> ' if quantum is None else ''}{printed:g}"
        verdict = "reproduces" if same else "differs"
    return {
        "quantity": f"U_{dimensions}({bits})/C",
        "formula": f"{2 ** (bits + 1) - 2}^{2 * dimensions}",
        "value": value,
        "published": text,
        "verdict": verdict,
    }


def _at_least_one(**arguments: int) -> None:
    for name, value in arguments.items():
        if value < 1:
            raise UserError(f"{name}={value}: the bound is defined from {name}=1 on")
