import json

import pytest
from planning import METHOD, RECIPE, RECIPES
from tiny import FORMS, NETWORKS, refusal

from lossless_inr.fitting.recipe import Recipe, Settings, load_recipes
from lossless_inr.report.build import load_published
from lossless_inr.schema import validate

# --- recipes ------------------------------------------------------------------------------


def test_published_recipe_is_the_papers_setting():
    settings = RECIPES["published"].resolve(**METHOD, iterations=1000)
    assert settings == Settings()  # the defaults are the paper's numbers, too
    assert (settings.rate, settings.beta1, settings.beta2) == (1e-4, 0.9, 0.999)
    assert (settings.output_factor, settings.bias_factor) == (1.0, 1.0)
    assert (settings.warmup, settings.decay, settings.focus) == (0, "constant", 0.0)
    assert settings.output_init == "network"
    printed = load_published()["setup"]
    assert (printed["learning_rate"], printed["optimiser"]) == (settings.rate, "Adam")


def test_published_recipe_applies_to_every_method_and_ignores_width_bits_and_budget():
    found = {
        RECIPES["published"].resolve(
            network=network,
            representation=representation,
            bits=bits,
            width=width,
            iterations=iterations,
        )
        for network in NETWORKS
        for representation in FORMS
        for bits, width, iterations in ((1, 4, 0), (16, 512, 10_000))
    }
    assert found == {Settings()}


def test_fast_recipe_is_refused_for_direct():
    line = refusal(RECIPES["fast"].resolve, **METHOD | {"representation": "direct"}, iterations=500)
    assert "'fast'" in line and "'direct'" in line and "bitplane, bitchannel, bithead" in line


@pytest.mark.parametrize(("width", "rate"), [(10, 1e-3), (50, 1e-3), (100, 5e-4), (500, 1e-4)])
def test_rate_is_capped_by_width(width, rate):
    recipe = Recipe(**RECIPE, rate=1e-3, rate_times_width=0.05)
    settings = recipe.resolve(**METHOD | {"width": width}, iterations=9)
    assert settings.rate == pytest.approx(rate)


@pytest.mark.parametrize(("bits", "horizon"), [(1, 45), (8, 80), (16, 120)])
def test_horizon_grows_with_the_bit_depth(bits, horizon):
    recipe = Recipe(**RECIPE, decay="cosine", horizon={"base": 40, "per_bit": 5})
    assert recipe.resolve(**METHOD | {"bits": bits}, iterations=999).horizon == horizon


@pytest.mark.parametrize("iterations", [1, 500])
def test_cosine_without_a_horizon_decays_over_the_budget(iterations):
    recipe = Recipe(**RECIPE, decay="cosine", floor=0.01)
    assert recipe.resolve(**METHOD, iterations=iterations).horizon == iterations


def test_cosine_resolves_for_a_budget_of_zero():
    settings = Recipe(**RECIPE, decay="cosine").resolve(**METHOD, iterations=0)
    assert settings.decay == "cosine"


def test_a_horizon_of_zero_updates_is_refused():
    def resolve():
        data = RECIPE | {"decay": "cosine", "horizon": {"base": 0}}
        validate(Recipe, data, "r.yaml").resolve(**METHOD, iterations=9)

    assert "horizon" in refusal(resolve)


def test_constant_rate_carries_no_horizon():
    assert Recipe(**RECIPE, horizon={"base": 40}).resolve(**METHOD, iterations=9).horizon is None


def test_overrides_of_one_network_win_and_leave_the_others_alone():
    recipe = Recipe(
        **RECIPE,
        rate=1e-3,
        beta2=0.9,
        networks={"siren": {"rate": 3e-3, "decay": "cosine", "floor": 0.5}, "gauss": {}},
    )
    siren = recipe.resolve(**METHOD, iterations=70)
    assert (siren.rate, siren.decay, siren.horizon, siren.floor) == (3e-3, "cosine", 70, 0.5)
    gauss = recipe.resolve(**METHOD | {"network": "gauss"}, iterations=70)
    assert (gauss.rate, gauss.decay, gauss.horizon, gauss.floor) == (1e-3, "constant", None, 1.0)
    assert siren.beta2 == gauss.beta2 == 0.9


def test_a_recipe_with_networks_is_refused_for_any_other():
    recipe = Recipe(**RECIPE, networks={"siren": {}})
    line = refusal(recipe.resolve, **METHOD | {"network": "sirne"}, iterations=9)
    assert "'sirne'" in line and "did you mean 'siren'?" in line


# --- precision ----------------------------------------------------------------------------


def write_recipes(folder, **recipes):
    for name, data in recipes.items():
        (folder / f"{name}.yaml").write_text(json.dumps(data))
    return folder


@pytest.mark.parametrize("precision", ["tf32", "bfloat16"])
def test_a_recipe_for_direct_trains_in_float32_only(tmp_path, precision):
    write_recipes(tmp_path, low=RECIPE | {"precision": precision})
    line = refusal(load_recipes, tmp_path)
    assert "low.yaml: precision" in line and "'direct'" in line and precision in line
    write_recipes(
        tmp_path, low=RECIPE | {"precision": precision, "applies_to": ["bithead", "bitplane"]}
    )
    assert load_recipes(tmp_path)["low"].precision == precision


def test_bfloat16_is_for_networks_from_128_wide_on():
    recipe = Recipe(title="r", applies_to=["bithead"], precision="bfloat16")
    found = [
        recipe.resolve(**METHOD | {"width": width}, iterations=9).precision
        for width in (64, 127, 128, 512)
    ]
    assert found == ["float32", "float32", "bfloat16", "bfloat16"]
    tf32 = recipe.model_copy(update={"precision": "tf32"})
    assert tf32.resolve(**METHOD, iterations=9).precision == "tf32"


def test_shipped_recipes_of_lower_precision_differ_from_their_base_in_nothing_else():
    for name, base, precision in (
        ("published-tf32", "published", "tf32"),
        ("fast-tf32", "fast", "tf32"),
        ("fast-bf16", "fast", "bfloat16"),
    ):
        wide = METHOD | {"width": 256}
        low, exact = (RECIPES[n].resolve(**wide, iterations=9) for n in (name, base))
        assert low == exact.model_copy(update={"precision": precision})
        assert exact.precision == "float32"
        assert "direct" not in RECIPES[name].applies_to


# --- recipes on top of others -------------------------------------------------------------


def test_a_recipe_takes_over_the_keys_of_its_base_unless_it_sets_them(tmp_path):
    base = RECIPE | {"rate": 3e-3, "warmup": 7}
    write_recipes(tmp_path, a={"base": "z", "title": "a", "warmup": 2}, z=base)
    found = load_recipes(tmp_path)
    assert found["z"] == Recipe(**base)
    assert found["a"] == Recipe(**base | {"title": "a", "warmup": 2})


def test_an_unknown_base_is_refused_with_the_nearest_name(tmp_path):
    write_recipes(tmp_path, quick={"base": "fsat", "title": "q"}, fast=RECIPE)
    line = refusal(load_recipes, tmp_path)
    assert "quick.yaml: base" in line and "did you mean 'fast'?" in line


def test_a_base_of_a_base_is_refused(tmp_path):
    write_recipes(tmp_path, a={"base": "b"}, b={"base": "c"}, c=RECIPE)
    assert "a.yaml: base: 'b' has a base itself" in refusal(load_recipes, tmp_path)


def test_a_wrong_key_of_a_recipe_with_a_base_is_refused_in_its_own_file(tmp_path):
    write_recipes(tmp_path, a={"base": "z", "wamup": 2}, z=RECIPE)
    line = refusal(load_recipes, tmp_path)
    assert "a.yaml" in line and "wamup" in line and "warmup" in line
