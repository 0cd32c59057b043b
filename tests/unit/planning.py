"""Plans of a project whose experiments a test writes."""

import json

from tiny import ROOT

from lossless_inr.experiments.plan import Plan
from lossless_inr.experiments.spec import Config
from lossless_inr.fitting.recipe import load_recipes

RECIPES = load_recipes(ROOT / "config/recipes")
BLOCK = {
    "signals": "all",
    "network": "siren",
    "representation": "bithead",
    "recipe": "fast",
    "iterations": 5,
}
SCALE = {
    "shape": {"hidden_layers": 1, "width": 8},
    "signals": ["skimage/8x8/coffee", "pydicom/8x8/ct"],
    "fits": [BLOCK],
}
TABLE = {"title": "T", "layout": "table", "scales": {"smoke": SCALE}}
FIGURE = {"title": "F", "layout": "planes", "select": {"smoke": {"experiment": "table"}}}
RECIPE = {"title": "r", "applies_to": ["direct", "bithead"]}
METHOD = {"network": "siren", "representation": "bithead", "bits": 8, "width": 64}


def plan_of(folder, scale="smoke", shards=4, only=(), partial=False, **experiments):
    for name, data in experiments.items():
        # JSON is YAML.
        (folder / f"config/experiments/{name}.yaml").write_text(json.dumps(data))
    settings = {"scale": scale, "only": list(only), "partial": partial}
    return Plan(Config(**settings, fit={"shards": shards}), folder)


def table(*blocks, **changes):
    """The table with these blocks of fits, each the common one with some keys changed."""
    fits = [BLOCK | block for block in blocks] or [BLOCK]
    return TABLE | {"scales": {"smoke": SCALE | {"fits": fits} | changes}}


def figure(**filters):
    return FIGURE | {"select": {"smoke": {"experiment": "table", **filters}}}
