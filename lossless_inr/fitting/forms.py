"""What a plan knows of a representation without importing it, and so without torch."""

from __future__ import annotations

from lossless_inr import registry
from lossless_inr.errors import UserError, suggest
from lossless_inr.signals.codes import FLOAT_CODES

# `ValueRepresentation.most_bits`.
MOST_REGRESSED_BITS = 24
# Of a grid of bit-planes whose top ones are fitted.
MOST_PLANES = 24
# Losses that the classes of `representations/_base.py` implement, their defaults first.
LOSSES = {
    "BitRepresentation": ("bce", "bce-probability", "mse", "mae"),
    "ValueRepresentation": ("mse", "mae", "bce"),
}


def regresses_values(representation: str) -> bool:
    """Whether a representation regresses numbers, rather than predicting bits."""
    return "ValueRepresentation" in registry.describe("representation", representation).bases


def passes_per_iteration(representation: str, parameters: dict, bits: int, channels: int) -> float:
    """How often an iteration evaluates a network at each position of the signal.

    Examples
    --------
    >>> passes_per_iteration("direct", {}, 8, 3), passes_per_iteration("bitplane", {}, 8, 3)
    (1, 8)
    """
    if representation == "digits":
        return bits / parameters["digit_bits"]
    return {"bitplane": bits, "bitchannel": bits * channels}.get(representation, 1)


def check_parameters(representation: str, parameters: dict, bits: int) -> None:
    """Refuse, before anything runs, what the representation would refuse in every fit.

    Parameters
    ----------
    representation : str
    parameters : dict
        Those of `representations/<name>.py`, defaults included.
    bits : int
        Bit depth of the signal.

    Raises
    ------
    UserError
        For a loss that the representation does not have, digits that do not fill a sample, or a
        grid of bit-planes with no room below those of the signal.
    """
    loss = parameters.get("loss")
    for base in registry.describe("representation", representation).bases:
        if loss is not None and loss not in LOSSES.get(base, (loss,)):
            raise UserError(
                f"representation '{representation}': no loss '{loss}'{suggest(loss, LOSSES[base])}"
            )
    size = parameters.get("digit_bits")
    if size is not None and (size != int(size) or size < 1 or bits % size):
        raise UserError(
            f"representation '{representation}': digit_bits {size} does not divide the {bits} bits "
            "of a sample"
        )
    grid = parameters.get("of_bits")
    if grid is not None and (not isinstance(grid, int) or not bits < grid <= MOST_PLANES):
        raise UserError(
            f"representation '{representation}': of_bits {grid}: a whole number above the {bits} "
            f"bits of the signal, up to {MOST_PLANES}"
        )


def check_code(representation: str, parameters: dict, bits: int, code: str) -> None:
    """Refuse words that a representation cannot have.

    Parameters
    ----------
    representation : str
    parameters : dict
    bits : int
    code : str
        One of `signals.codes.CODES`.

    Raises
    ------
    UserError
        For numbers of more than 24 bits that are to be regressed, or for digits of floats.
    """
    if not regresses_values(representation):
        return
    if code in FLOAT_CODES:
        if "digit_bits" in parameters or parameters.get("loss") == "bce":
            raise UserError(
                f"representation '{representation}': {code} is regressed whole, by mse or mae; "
                "take the representation direct"
            )
    elif bits > MOST_REGRESSED_BITS:
        raise UserError(
            f"representation '{representation}': {bits} bits; a float32 output tells up to "
            f"{MOST_REGRESSED_BITS} apart: take bitplane or bithead"
        )
