"""Which fits figures show, and what they add to a scale."""

from typing import get_args

import pandas as pd
import pytest
from planning import BLOCK, figure, plan_of, table
from tiny import ROOT, refusal

from lossless_inr import registry
from lossless_inr.experiments.figures import LAYOUTS, style
from lossless_inr.experiments.plan import Plan
from lossless_inr.experiments.spec import Config, Experiment
from lossless_inr.registry import PACKAGE
from lossless_inr.report import labels, sources

MORE = {"signals": ["pydicom/8x8/ct"], "fits": [BLOCK | {"iterations": 9}]}


def test_every_layout_of_a_spec_can_be_drawn():
    named = set(get_args(Experiment.model_fields["layout"].annotation))
    assert named - {"table"} == set(LAYOUTS)


def test_a_figure_may_have_fits_of_its_own_after_those_it_selects(folder):
    fig = figure(signals="pydicom/8x8/ct", more=MORE)
    plan = plan_of(folder, table=table(), fig=fig)
    chosen = [fit for fit in plan.fits["table"] if fit.signal == "pydicom/8x8/ct"]
    *selected, own = plan.fits["fig"]
    assert selected == chosen
    assert (own.signal, own.iterations) == ("pydicom/8x8/ct", 9)
    assert own not in plan.fits["table"]
    assert own in plan.all_fits


def test_a_fit_that_is_selected_already_is_not_shown_twice(folder):
    fig = figure(more=MORE | {"shape": {"hidden_layers": 1, "width": 8}, "fits": [BLOCK]})
    plan = plan_of(folder, table=table(), fig=fig)
    assert plan.fits["fig"] == plan.fits["table"]


def test_another_figure_can_select_by_budget(folder):
    blocks = table({"iterations": 5}, {"iterations": 7})
    plan = plan_of(folder, table=blocks, fig=figure(iterations=[7]))
    assert {fit.iterations for fit in plan.fits["fig"]} == {7}
    assert len(plan.fits["fig"]) == 2


@pytest.mark.parametrize(
    ("filters", "words"),
    [
        ({"iterations": [6]}, ["fig.yaml: select.smoke.iterations", "budget of 6", "they have: 5"]),
        ({"iterations": []}, ["select.smoke.iterations", "at least 1"]),
        (
            {"more": MORE | {"fits": [BLOCK | {"network": "sirne"}]}},
            ["fig.yaml: select.smoke.more.fits[0]", "'sirne'", "'siren'"],
        ),
        (
            {"more": MORE | {"fits": [BLOCK | {"cell": "siren"}]}},
            ["'select.smoke.more.fits[0].cell' needs 'published'"],
        ),
        ({"more": MORE | {"signals": ["pydicom/8x8/mr2"]}}, ["select.smoke.more.fits[0]", "mr2'"]),
    ],
    ids=lambda value: "",
)
def test_a_fault_of_a_figure_is_refused_with_its_place(folder, filters, words):
    line = refusal(plan_of, folder, table=table(), fig=figure(**filters))
    assert all(word in line for word in words), line


def test_figures_of_the_miniature_add_no_more_fits_than_they_must():
    plan = Plan(Config(scale="miniature"), ROOT)
    assert plan.fits["profile"] == plan.fits["table1"]
    others = {f.digest for n, fits in plan.fits.items() if n != "figure1" for f in fits}
    own = [fit for fit in plan.fits["figure1"] if fit.digest not in others]
    assert [(fit.variant, fit.iterations) for fit in own] == [("digit_bits=4", 1500), ("", 1500)]
    # The printed order of Figure 2, and one fit of each.
    shown = [fit.network for fit in plan.fits["figure2"]]
    assert sorted(shown) == ["finer", "gauss", "relu_pe", "siren", "siren", "wire"]


def test_an_edit_of_any_figure_module_draws_figures_again():
    files = {p for pattern in sources._STAGES["figures"] for p in PACKAGE.glob(pattern)}
    assert files >= set((PACKAGE / "experiments/figures").glob("*.py"))
    assert all(list(PACKAGE.glob(pattern)) for pattern in sources._STAGES["figures"])


def test_figures_and_report_call_methods_the_same():
    rows = [
        {"signal": str(k), "seed": 0, "budget": fit.iterations, "width": fit.width,
         "bits": fit.bits, "label": registry.describe("network", fit.network).label}
        | {key: getattr(fit, key) for key in ("network", "representation", "variant", "recipe")}
        for k, fit in enumerate(Plan(Config(scale="miniature"), ROOT).all_fits)
    ]  # fmt: skip
    names = style.method_names(pd.DataFrame(rows))
    assert names.tolist() == [labels.method_name(row) for row in rows]
    assert names.nunique() > 20
