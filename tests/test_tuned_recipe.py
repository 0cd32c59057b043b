"""`tuned` is what the committed search found, not what somebody typed."""

import sys

import pandas as pd
import pytest

from lossless_inr import registry
from lossless_inr.fitting.recipe import load_recipes


@pytest.fixture(scope="module")
def search(root):
    sys.path.insert(0, str(root / "benchmarks"))
    import tune_direct

    return tune_direct


def test_tuned_rates_are_the_best_of_the_search_table(search, root):
    table = pd.read_csv(search.TABLE)
    networks = load_recipes(root / "config/recipes")["tuned"].networks
    chosen = {name: setting.model_dump(exclude_none=True) for name, setting in networks.items()}
    assert chosen == search.choose(table)


def test_the_search_covers_its_declared_grid_and_no_best_rate_lies_at_its_end(search):
    table = pd.read_csv(search.TABLE)
    best = search.choose(table)
    for network in registry.every("network"):
        rows = table[table.network == network]
        tried = set(zip(rows.rate, rows.decay, rows.signal, strict=True))
        grid = {(r, d, s) for r in search.RATES for d in search.DECAYS for s in search.SIGNALS}
        assert grid <= tried, network
        assert rows.rate.min() < best[network]["rate"] < rows.rate.max(), network


def test_the_search_signals_carry_no_direct_baseline_in_quick(search, root):
    from lossless_inr.experiments.plan import Plan
    from lossless_inr.experiments.spec import Config

    plan = Plan(Config(scale="quick"), root)
    shown = {fit.signal for fit in plan.all_fits if fit.representation == "direct"}
    assert not shown & set(search.SIGNALS)
