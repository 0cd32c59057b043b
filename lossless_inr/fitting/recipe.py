"""Recipes: how a network is trained, as data (`config/recipes/*.yaml`).

A recipe file may follow width and bit depth by rule; `Recipe.resolve` turns it into plain
numbers for one fit, and those numbers are what a record shows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from lossless_inr import registry
from lossless_inr.engine.settings import Decay, Positive, Precision, Settings, SparsePhases
from lossless_inr.errors import UserError, suggest
from lossless_inr.fitting.forms import regresses_values
from lossless_inr.schema import Strict, read_yaml, validate

# Narrower products are too small to gain by bfloat16.
BFLOAT16_FROM = 128


class Horizon(Strict):
    """Length of the decay in updates: base + per_bit * n."""

    base: Annotated[int, Field(ge=1)]
    per_bit: Annotated[int, Field(ge=0)] = 0


class Overrides(Strict):
    """What a recipe changes for one network."""

    rate: Positive | None = None
    beta2: Annotated[float, Field(ge=0, lt=1)] | None = None
    epsilon: Positive | None = None
    decay: Decay | None = None
    floor: Annotated[float, Field(ge=0, le=1)] | None = None


class Recipe(Strict):
    """One recipe file; defaults are the published settings (paper section 4.1).

    `base` names a recipe whose keys this one takes over unless it sets them itself.
    `applies_to: [all]` stands for every representation. `rate_times_width` caps the rate at
    rate_times_width / width. A decay without a `horizon` goes over the whole budget. `networks`
    holds what differs per network; a recipe that has it applies to those networks only.
    """

    title: str
    applies_to: Annotated[list[str], Field(min_length=1)]
    rate: Positive = 1e-4
    rate_times_width: Positive | None = None
    output_factor: Positive = 1.0
    bias_factor: Positive = 1.0
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    epsilon: Positive = 1e-8
    warmup: Annotated[int, Field(ge=0)] = 0
    decay: Decay = "constant"
    horizon: Horizon | None = None
    floor: Annotated[float, Field(ge=0, le=1)] = 1.0
    focus: Annotated[float, Field(ge=0, le=4)] = 0.0
    output_init: Literal["network", "zero"] = "network"
    precision: Precision = "float32"
    sparse: SparsePhases = ()
    margin: Annotated[float, Field(ge=0)] = 0.0
    networks: dict[str, Overrides] = {}

    def resolve(
        self, *, network: str, representation: str, bits: int, width: int, iterations: int
    ) -> Settings:
        """Plain numbers for one fit.

        Raises
        ------
        UserError
            If the recipe does not apply to the representation or network.
        """
        if representation not in self.applies_to:
            raise UserError(
                f"recipe '{self.title}' does not apply to the representation '{representation}' "
                f"(it applies to {', '.join(self.applies_to)})"
            )
        if self.networks and network not in self.networks:
            raise UserError(
                f"recipe '{self.title}' has no settings for the network '{network}'"
                f"{suggest(network, self.networks)}"
            )
        skip = {"title", "applies_to", "rate_times_width", "horizon", "networks"}
        values = {k: getattr(self, k) for k in type(self).model_fields if k not in skip}
        if self.rate_times_width is not None:
            values["rate"] = min(self.rate, self.rate_times_width / width)
        if width < BFLOAT16_FROM and self.precision == "bfloat16":
            values["precision"] = "float32"
        values |= self.networks[network].model_dump(exclude_none=True) if self.networks else {}
        if values["decay"] != "constant":
            horizon = self.horizon
            values["horizon"] = (
                horizon.base + horizon.per_bit * bits if horizon else max(1, iterations)
            )
        return Settings(**values)


def load_recipes(folder: Path) -> dict[str, Recipe]:
    """All recipes of a folder; the file name is the name.

    Raises
    ------
    UserError
        For the first fault: a key, a value, or the name of a representation or network.
    """
    files = {path.stem: path for path in sorted(Path(folder).glob("*.yaml"))}
    recipes = {}
    for name, path in files.items():
        recipe = validate(Recipe, _with_base(path, files), str(path))
        if recipe.applies_to == ["all"]:
            every = registry.usable("representation")
            recipe = recipe.model_copy(update={"applies_to": every})
        recipes[name] = recipe
        try:
            for used in recipe.applies_to:
                registry.check("representation", used)
            for used in recipe.networks:
                registry.check("network", used)
        except UserError as error:
            raise UserError(f"{path}: {error}") from None
        for used in filter(regresses_values, recipe.applies_to):
            if recipe.focus > 0:
                raise UserError(
                    f"{path}: focus: the representation '{used}' has no bits to focus on"
                )
            if recipe.precision != "float32":
                raise UserError(
                    f"{path}: precision: the representation '{used}' trains in float32 only (the "
                    f"error of a {recipe.precision} product is larger than a step of its targets)"
                )
    return recipes


def _with_base(path: Path, files: dict[str, Path]) -> dict:
    """Keys of a recipe file on top of those of its base, which has no base itself."""
    own = read_yaml(path)
    base = own.pop("base", None) if isinstance(own, dict) else None
    if base is None:
        return own
    if base not in files:
        raise UserError(f"{path}: base: unknown recipe '{base}'{suggest(str(base), files)}")
    below = read_yaml(files[base])
    if not isinstance(below, dict) or "base" in below:
        raise UserError(f"{path}: base: '{base}' has a base itself; name that one instead")
    return below | own
