from collections.abc import Callable
from pathlib import Path

import pytest

from lossless_inr.datasets.catalog import Catalog
from lossless_inr.experiments.plan import plan_fit
from lossless_inr.experiments.spec import Shape
from lossless_inr.fitting.recipe import load_recipes
from lossless_inr.fitting.record import FitSpec

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    """The shipped table of data sets."""
    return Catalog(ROOT / "config/datasets.tsv", ROOT)


@pytest.fixture(scope="session")
def plan_of(catalog) -> Callable[..., FitSpec]:
    """Plan a small fit of a signal, with parameters of its representation."""
    recipes = load_recipes(ROOT / "config/recipes")

    def plan(signal, representation="bitplane", recipe="fast", iterations=40, **parameters):
        return plan_fit(
            catalog,
            recipes[recipe],
            signal=signal,
            network="siren",
            representation=representation,
            recipe_name=recipe,
            shape=Shape(hidden_layers=1, width=16),
            iterations=iterations,
            seed=0,
            representation_parameters=parameters,
        )

    return plan
