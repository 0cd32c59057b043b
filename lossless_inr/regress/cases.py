"""What the gate measures, as data. Imports no torch.

Networks, representations and recipes are those found on disk, so a new one gets its rows without
an edit here; until they are accepted, the gate calls them new and does not judge them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lossless_inr import registry
from lossless_inr.datasets.catalog import Catalog
from lossless_inr.errors import UserError
from lossless_inr.fitting.recipe import Recipe, load_recipes
from lossless_inr.fitting.record import FitSpec
from lossless_inr.signals import Signal

# All of them come with packages: nothing is downloaded.
PHOTO, SCAN, SOUND = "skimage/16x16/coffee", "pydicom/16x16/ct", "chime/256/warning"
SIGNALS = (PHOTO, SCAN, SOUND)
TRACED, TRACED_SOUND = "skimage/8x8/coffee", "chime/32/warning"
TRACE_STEPS = 20
TRACE_RECIPES = (
    "authors", "decayed", "fast", "fast-sparse", "fast-ternary", "published", "ternary", "tuned",
)  # fmt: skip
# Enough parameters for every bit, so that lossless does not hang on a thread count.
WIDTH, LAYERS, TRACE_WIDTH = 48, 2, 12
# (network, representation, recipe, budget); `*` is every network.
QUICK_FITS = (
    ("siren", "bithead", "fast", 300),
    ("siren", "bitplane", "fast", 300),
    ("finer", "bithead", "fast", 300),
    ("siren", "direct", "decayed", 150),
)
FITS = (
    *QUICK_FITS,
    ("*", "bithead", "authors", 100),
    ("*", "bitplane", "published", 60),
    ("*", "direct", "decayed", 150),
    ("siren", "bithead", "fast-sparse", 300),
    ("siren", "bitchannel", "fast", 300),
    ("siren", "direct", "tuned", 200),
    ("siren", "digits", "decayed", 100),
    ("ternary", "bithead", "fast-ternary", 200),
)
QUICK_SEEDS, SEEDS = 3, 4
# Sizes of a table that a 64-sample signal can fill.
SMALL = {"instant_ngp": {"levels": 4, "log2_table": 8}}
DIGITS = {"digits": {"digit_bits": 4}}


@dataclass(frozen=True)
class Trace:
    """The first losses of one fit in float64, or in float32 through the compiled pass."""

    spec: FitSpec
    compiled: bool = False

    @property
    def name(self) -> str:
        """Row of the gate."""
        spec = self.spec
        arithmetic = "float32" if self.compiled else "float64"
        return f"trace {spec.network} {spec.representation} {spec.recipe} {spec.kind} {arithmetic}"


@dataclass(frozen=True)
class Fit:
    """One whole float32 fit."""

    spec: FitSpec

    @property
    def method(self) -> str:
        """Row of the gate: fits that are tested together."""
        return f"fit {self.spec.network} {self.spec.representation} {self.spec.recipe}"

    @property
    def pair(self) -> str:
        """What pairs it with the baseline's."""
        return f"{self.spec.signal} seed{self.spec.seed}"


class Cases:
    """Every case of the gate.

    Parameters
    ----------
    quick : bool
        Fewer recipes and fits; the rows that remain are the same.
    config : Path
        Folder of `datasets.tsv` and `recipes`.
    """

    def __init__(self, *, quick: bool, config: Path = Path("config")):
        self.quick = quick
        self.recipes: dict[str, Recipe] = load_recipes(config / "recipes")
        catalog = Catalog(config / "datasets.tsv")
        names = (*SIGNALS, TRACED, TRACED_SOUND)
        self.signals: dict[str, Signal] = {name: catalog.prepare(name) for name in names}

    def spec(
        self,
        network: str,
        representation: str,
        recipe: str,
        *,
        signal: str,
        width: int,
        iterations: int,
        seed: int = 0,
    ) -> FitSpec:
        """One fit of the gate in plain numbers.

        Raises
        ------
        UserError
            If the recipe does not apply.
        """
        samples = self.signals[signal]
        settings = self.recipes[recipe].resolve(
            network=network,
            representation=representation,
            bits=samples.bits,
            width=width,
            iterations=iterations,
        )
        return FitSpec(
            signal=signal,
            kind=samples.kind,
            shape=list(samples.samples.shape),
            bits=samples.bits,
            network=network,
            network_parameters=SMALL.get(network, {}),
            width=width,
            hidden_layers=LAYERS,
            representation=representation,
            representation_parameters=DIGITS.get(representation, {}),
            recipe=recipe,
            settings=settings,
            iterations=iterations,
            seed=seed,
        )

    def traces(self) -> list[Trace]:
        """Network x representation x recipe, where the recipe applies."""
        found = []
        kept = [r for r in TRACE_RECIPES if r in self.recipes]
        for network in registry.names("network"):
            for representation in registry.names("representation"):
                for recipe in kept:
                    # A row or two of these recipes, for their settings, are in the quick part.
                    typical = network == "siren" and representation in ("direct", "bithead")
                    if self.quick and recipe in ("authors", "tuned", "decayed") and not typical:
                        continue
                    options = {"width": TRACE_WIDTH, "iterations": TRACE_STEPS}
                    try:
                        spec = self.spec(network, representation, recipe, signal=TRACED, **options)
                    except UserError:
                        continue  # the recipe is for other methods
                    found.append(Trace(spec))
        for representation in registry.names("representation"):
            options = {"width": TRACE_WIDTH, "iterations": TRACE_STEPS}
            options |= {"signal": TRACED_SOUND, "seed": 1}
            found.append(Trace(self.spec("siren", representation, "published", **options)))
        for representation in ("bithead", "bitplane", "direct"):
            recipe = "decayed" if representation == "direct" else "fast"
            options = {"width": TRACE_WIDTH, "iterations": TRACE_STEPS, "signal": TRACED}
            found.append(Trace(self.spec("siren", representation, recipe, **options), True))
        return found

    def fits(self) -> list[Fit]:
        """Whole fits: methods x signals x seeds."""
        rows = {}
        for network, representation, recipe, budget in QUICK_FITS if self.quick else FITS:
            chosen = registry.names("network") if network == "*" else [network]
            for one in chosen:
                if recipe not in self.recipes:
                    continue
                for signal in SIGNALS:
                    for seed in range(QUICK_SEEDS if self.quick else SEEDS):
                        try:
                            spec = self.spec(
                                one,
                                representation,
                                recipe,
                                signal=signal,
                                width=WIDTH,
                                iterations=budget,
                                seed=seed,
                            )
                        except UserError:
                            continue  # e.g. `authors` has no rate for a network that is new
                        rows[one, representation, recipe, signal, seed] = Fit(spec)
        return list(rows.values())
