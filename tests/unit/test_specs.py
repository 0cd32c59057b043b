import json
import math

import pytest
from planning import RECIPE, TABLE, figure, table
from tiny import refusal

from lossless_inr.errors import UserError, suggest
from lossless_inr.experiments.spec import Config, Experiment
from lossless_inr.fitting.recipe import Recipe
from lossless_inr.schema import load, read_yaml, validate

# --- strict files: one line, file, key, nearest key ---------------------------------------


@pytest.mark.parametrize(
    ("model", "data", "key", "near"),
    [
        (Config, {"scal": "quick"}, "scal", "scale"),
        (Config, {"fit": {"thread": 1}}, "fit.thread", "threads"),
        (Recipe, RECIPE | {"bias_facto": 1.0}, "bias_facto", "bias_factor"),
        (Recipe, RECIPE | {"horizon": {"bse": 4}}, "horizon.bse", "base"),
        (Recipe, RECIPE | {"networks": {"siren": {"rte": 1}}}, "networks.siren.rte", "rate"),
        (Experiment, TABLE | {"captoin": "x"}, "captoin", "caption"),
        (Experiment, TABLE | {"beside": [{"sets": "x"}]}, "beside.0.sets", "set"),
        (Experiment, table(signls="all"), "scales.smoke.signls", "signals"),
        (Experiment, table(shape={"widht": 8}), "scales.smoke.shape.widht", "width"),
        (Experiment, table({"netwrk": "a"}), "scales.smoke.fits.0.netwrk", "network"),
        (Experiment, table({}, {"seed": 1}), "scales.smoke.fits.1.seed", "seeds"),
        (Experiment, figure(recipes="fast"), "select.smoke.recipes", "recipe"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_unknown_key_is_refused_with_the_nearest_known_one(tmp_path, model, data, key, near):
    path = tmp_path / "mine.yaml"
    path.write_text(json.dumps(data))
    line = refusal(load, model, path)
    assert str(path) in line
    assert f"unknown key '{key}'" in line
    assert f"did you mean '{near}'?" in line


@pytest.mark.parametrize(
    ("model", "data", "words"),
    [
        (Config, {"fit": {"threads": "1"}}, ["fit.threads", "'1'"]),
        (Config, {"fit": {"shards": 2.5}}, ["fit.shards", "2.5"]),
        (Config, {"fit": 3}, ["fit", "3"]),
        (Config, {"datasets": 3}, ["datasets", "3"]),
        (Config, {"fit": {"device": "gpu"}}, ["fit.device", "'gpu'", "'cuda'"]),
        (Config, {"scale": "quik"}, ["scale", "'quik'", "'quick'"]),
        (Config, {"fit": {"shards": 0}}, ["fit.shards", "(found 0)"]),
        (Config, {"fit": {"threads": 257}}, ["fit.threads", "256"]),
        (Config, {"fit": {"slice_rows": -1}}, ["fit.slice_rows", "-1"]),
        (Config, {1: 2}, ["1"]),
        (Recipe, RECIPE | {"rate": 0}, ["rate", "greater than 0"]),
        (Recipe, RECIPE | {"rate": "1e-4"}, ["rate", "'1e-4'"]),
        (Recipe, RECIPE | {"rate": True}, ["rate", "True"]),
        (Recipe, RECIPE | {"rate": math.inf}, ["rate", "finite"]),
        (Recipe, RECIPE | {"rate": math.nan}, ["rate", "(found nan)"]),
        (Recipe, RECIPE | {"beta2": 1}, ["beta2", "less than 1"]),
        (Recipe, RECIPE | {"floor": 1.5}, ["floor", "1.5"]),
        (Recipe, RECIPE | {"focus": 5}, ["focus", "4"]),
        (Recipe, RECIPE | {"decay": "linear"}, ["decay", "'linear'", "'cosine'"]),
        (Recipe, RECIPE | {"applies_to": []}, ["applies_to", "at least 1"]),
        (Recipe, {"title": "r"}, ["applies_to", "required"]),
        (Experiment, {"title": "x"}, ["layout", "required"]),
        (Experiment, table({"iterations": -1}), ["scales.smoke.fits.0.iterations", "-1"]),
        (Experiment, table({"seeds": 0}), ["scales.smoke.fits.0.seeds", "(found 0)"]),
        (Experiment, table({"network": 3}), ["scales.smoke.fits.0.network", "3"]),
        (Experiment, table({"network": []}), ["scales.smoke.fits.0.network", "[]"]),
        (Experiment, table({"network": ["a", "a"]}), ["fits.0.network", "listed twice"]),
        (Experiment, table({"signals": ["a", "a"]}), ["fits.0.signals", "listed twice"]),
        (Experiment, table(signals=["a", "b", "a"]), ["scales.smoke.signals", "listed twice"]),
        (Experiment, figure(recipe=["a", "a"]), ["select.smoke.recipe", "listed twice"]),
        (Experiment, table(fits=[]), ["scales.smoke.fits", "at least 1"]),
        (Experiment, table(shape={"width": "wide"}), ["scales.smoke.shape.width", "'wide'"]),
        (Experiment, TABLE | {"layout": "tabel"}, ["layout", "'tabel'", "'table'"]),
    ],
    ids=lambda value: "",
)
def test_a_wrong_value_is_refused_with_its_key_and_what_was_found(model, data, words):
    line = refusal(validate, model, data, "mine.yaml")
    assert line.startswith("mine.yaml: ")
    assert all(word in line for word in words), line


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"scale: smoke\nscale: quick\n", ["line 2", "duplicate key", '"scale"']),
        (b"fit:\n  shards: 1\n  shards: 2\n", ["line 3", "duplicate key", '"shards"']),
        (b"fit: {shards: 1\n", ["line 2", "not valid YAML"]),
        (b"\tscale: smoke\n", ["line 1", "not valid YAML"]),
        (b"", ["NoneType"]),
        (b"- scale\n", ["list"]),
        (b"\xff\xfe", ["not UTF-8"]),
    ],
)
def test_a_file_that_is_not_keys_and_values_is_refused(tmp_path, content, words):
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    line = refusal(load, Config, path)
    assert str(path) in line
    assert all(word in line for word in words), line


def test_a_missing_file_is_refused(tmp_path):
    assert "no such file" in refusal(load, Config, tmp_path / "none.yaml")


def test_yaml_numbers_and_words_mean_what_they_look_like(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("a: 1e-4\nb: yes\nc: 010\nd: 12:30\ne: .inf\n")
    assert read_yaml(path) == {"a": 1e-4, "b": "yes", "c": 10, "d": "12:30", "e": math.inf}


@pytest.mark.parametrize(
    ("name", "known", "expected"),
    [
        ("sirne", ["siren", "wire"], " (did you mean 'siren'?)"),
        ("xyz", ["siren", "finer"], " (known: finer, siren)"),
        ("xyz", [], " (none is defined)"),
        (3, ["siren"], " (known: siren)"),
    ],
)
def test_suggestions_are_the_nearest_name_or_all_of_them(name, known, expected):
    assert suggest(name, known) == expected


def test_messages_are_always_one_line():
    assert str(UserError("a\n  b\t c ")) == "a b c"


def test_a_key_that_is_given_twice_is_refused_with_its_line(tmp_path):
    path = tmp_path / "twice.yaml"
    path.write_text("title: a\nlayout: table\ntitle: b\n")
    line = refusal(load, Experiment, path)
    assert "twice.yaml, line 3" in line and "duplicate key" in line
