"""What decides a model's weights, tile by tile: a job."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from dataclasses import dataclass, fields

from lossless_inr import registry
from lossless_inr.fitting import digests
from lossless_inr.fitting.recipe import Recipe, load_recipes
from lossless_inr.fitting.record import FitSpec
from lossless_inr.fitting.sizes import paper_ratio_width
from lossless_inr.models import format as linr
from lossless_inr.models.tiling import Tiling

RECIPES = registry.PACKAGE.parent / "config/recipes"
NETWORK, REPRESENTATION, HIDDEN_LAYERS = "siren", "bithead", 5
# Updates that a tile may take, margin included; the fast recipe needs 40 to 300.
ITERATIONS = 1500
# Widths that a tile is tried with, as parts of the usual one, and those of a search for the
# smallest, which ends near a quarter of a parameter per bit (docs/miniature.md, capacity).
FACTORS = (1.0, 1.0, 1.5, 2.0, 3.0)
SMALLEST = (0.5, 0.625, 0.75, 0.875, *FACTORS)
# |logit| that stored weights must keep: some 1000 times what sums in another order change it by.
STORED_MARGIN = 0.05
MARGIN = 1.0


@functools.cache
def recipes() -> dict[str, Recipe]:
    """The shipped recipes; reading them takes as long as fitting three tiles."""
    return load_recipes(RECIPES)


@dataclass(frozen=True)
class Job:
    """Everything that decides a model's weights, but the samples."""

    shape: tuple[int, ...]
    bits: int
    side: int
    recipe: str
    settings: Recipe
    margin: float
    seed: int
    samples_sha256: str
    code: str = "offset"
    storages: tuple[str, ...] = tuple(linr.STORAGES)
    factors: tuple[float, ...] = FACTORS
    repairs: bool = False

    @functools.cached_property
    def tiling(self) -> Tiling:
        """The grid of tiles."""
        return Tiling.of(self.shape, self.side)

    @functools.cached_property
    def width(self) -> int:
        """Width of the largest tile's network, at the paper's parameters per sample.

        Beyond the paper's 16 bits, parameters grow with the bits.
        """
        width = paper_ratio_width(self.tiling.largest, HIDDEN_LAYERS)
        return max(8, 4 * round(width * max(1.0, self.bits / 16) ** 0.5 / 4))

    @property
    def identity(self) -> str:
        """Digest by which finished tiles are known to belong to this job."""
        facts = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "settings"}
        facts["settings"] = self.settings.model_dump(mode="json")
        return digests.of_json(
            [json.loads(json.dumps(facts)), digests.of_code(NETWORK, REPRESENTATION)]
        )

    def spec(self, tile: int, width: int, seed: int) -> FitSpec:
        """The fit of one tile."""
        described = {
            kind: registry.describe(kind, name).parameters
            for kind, name in (("network", NETWORK), ("representation", REPRESENTATION))
        }
        settings = self.settings.resolve(
            network=NETWORK,
            representation=REPRESENTATION,
            bits=self.bits,
            width=width,
            iterations=ITERATIONS,
        )
        return FitSpec(
            signal=f"linr/{self.samples_sha256[:12]}/{tile}",
            kind="photo" if len(self.shape) == 3 else "audio",
            shape=list(self.tiling.tile_shape(tile)),
            bits=self.bits,
            code=self.code,
            network=NETWORK,
            network_parameters=described["network"],
            width=width,
            hidden_layers=HIDDEN_LAYERS,
            representation=REPRESENTATION,
            representation_parameters=described["representation"],
            recipe=self.recipe,
            settings=settings.model_copy(update={"margin": self.margin}),
            iterations=ITERATIONS,
            seed=seed,
        )

    def attempts(self) -> Iterator[tuple[int, int]]:
        """(width, seed) in the order they are tried."""
        tried: set[tuple[int, int]] = set()
        for factor in self.factors:
            width = max(8, 4 * round(factor * self.width / 4))
            seed = self.seed + 1000 * ((width, self.seed) in tried)
            if (width, seed) not in tried:
                tried.add((width, seed))
                yield width, seed

    @property
    def stored_margin(self) -> float:
        """|logit| that stored weights must keep."""
        return min(STORED_MARGIN, self.margin / 2)
