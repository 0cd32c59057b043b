"""Scales that widen others, experiments on request, plans of what is finished, and estimates."""

import itertools
import json

import numpy as np
import pytest
from planning import BLOCK, SCALE, TABLE, figure, plan_of, table
from tiny import FORMS, ROOT, entry_of, refusal

from lossless_inr import registry
from lossless_inr.experiments import estimate
from lossless_inr.experiments.plan import Plan
from lossless_inr.experiments.reference import merge
from lossless_inr.experiments.spec import Config
from lossless_inr.fitting.record import FitSpec


def extended(*blocks, scale="quick", **extension):
    """The table, and a wider version of its smoke scale at another."""
    return table(*blocks) | {"extend": {scale: {"extends": "smoke", **extension}}}


# --- extensions ---------------------------------------------------------------------------


def test_an_extension_adds_signals_of_a_blocks_own_sizes_and_depths_and_seeds(folder):
    more = ["skimage/8x8/astronaut", "skimage16/8x8/chelsea", "skimage/4x4/astronaut"]
    blocks = [{"signals": "skimage/8x8/coffee"}, {"signals": "pydicom/8x8/ct", "seeds": 3}]
    plan = plan_of(folder, scale="quick", table=extended(*blocks, signals=more, seeds=2))
    found = [(fit.signal, fit.seed) for fit in plan.fits["table"]]
    # The 16-bit photograph has the scan's depth but not its one channel.
    assert found == [
        ("skimage/8x8/coffee", 0),
        ("skimage/8x8/coffee", 1),
        ("skimage/8x8/astronaut", 0),
        ("skimage/8x8/astronaut", 1),
        *[("pydicom/8x8/ct", seed) for seed in range(3)],
    ]


def test_an_extension_holds_every_fit_of_the_scale_that_it_widens(folder):
    experiment = extended({"seeds": 2, "recipe": ["fast", "published"]}, seeds=3)
    narrow = {f.digest for f in plan_of(folder, table=experiment).all_fits}
    wide = {f.digest for f in plan_of(folder, scale="quick", table=experiment).all_fits}
    assert narrow < wide and len(wide) == len(narrow) * 3 / 2


def test_a_figure_shows_the_fits_of_an_extension(folder):
    fig = figure(seeds=1) | {"select": {"quick": {"experiment": "table", "seeds": 1}}}
    plan = plan_of(folder, scale="quick", table=extended(seeds=4), fig=fig)
    assert [len(plan.fits[name]) for name in ("table", "fig")] == [8, 2]


@pytest.mark.parametrize(
    ("experiment", "words"),
    [
        (extended(scale="quik"), ["unknown scale 'quik'", "'quick'"]),
        (extended(scale="smoke"), ["'smoke' is under 'scales' and under 'extend'"]),
        (
            table() | {"extend": {"quick": {"extends": "smok"}}},
            ["extend.quick.extends", "'smok'", "'smoke'"],
        ),
        (
            extended(signals=["skimage/8x8/cofee"]),
            ["extend.quick", "'skimage/8x8/cofee'", "'skimage/8x8/coffee'"],
        ),
        (extended(signals=["skimage/8x8/coffee"] * 2), ["listed twice"]),
        (extended(seeds=0), ["seeds"]),
    ],
    ids=lambda value: "",
)
def test_a_wrong_extension_is_refused_with_its_place(folder, experiment, words):
    line = refusal(plan_of, folder, scale="quick", table=experiment)
    assert all(word in line for word in ["table.yaml", *words]), line


# --- what is not always there -------------------------------------------------------------


def test_an_optional_signal_is_left_out_where_its_file_is_not_here(folder, monkeypatch):
    monkeypatch.delenv("LOSSLESS_INR_MIRROR", raising=False)  # of whoever runs the tests
    experiment = table({"signals": ["skimage/8x8/coffee", "kodak/8x8/kodim05 | nothing"]})
    assert [f.signal for f in plan_of(folder, table=experiment).all_fits] == ["skimage/8x8/coffee"]
    (folder / "data/raw/kodak").mkdir(parents=True)
    (folder / "data/raw/kodak/kodim05.png").write_bytes(b"")
    assert len(plan_of(folder, table=experiment).all_fits) == 2
    line = refusal(plan_of, folder, table=table({"signals": "nothing"}))
    assert "fits[0]" in line and "write: signal | nothing" in line


def test_an_experiment_on_request_runs_when_it_is_named_only(folder):
    rare = table({"seeds": 4}) | {"on_request": True}
    assert set(plan_of(folder, table=TABLE, rare=rare).fits) == {"table"}
    assert set(plan_of(folder, only=["rare"], table=TABLE, rare=rare).fits) == {"rare"}


def test_all_means_every_representation_that_the_recipe_applies_to(folder):
    experiment = table({"representation": "all", "recipe": "published"})
    assert {f.representation for f in plan_of(folder, table=experiment).all_fits} == set(FORMS)


def test_the_matrix_has_every_network_and_representation_on_every_kind_of_signal():
    plan = Plan(Config(scale="smoke", only=["matrix"]), ROOT)
    found = {(fit.kind, fit.network, fit.representation) for fit in plan.all_fits}
    assert found == set(
        itertools.product(["photo", "scan", "audio"], registry.every("network"), FORMS)
    )


@pytest.mark.parametrize(
    ("block", "words"),
    [
        (
            {"representation": "bitplane", "representation_parameters": {"loss": "bec"}},
            ["fits[0]", "'bitplane'", "no loss 'bec'", "'bce'"],
        ),
        (
            {
                "representation": "digits",
                "recipe": "published",
                "representation_parameters": {"digit_bits": 3},
            },
            ["fits[0]", "digit_bits 3 does not divide the 8 bits"],
        ),
    ],
)
def test_a_parameter_that_cannot_be_is_refused_before_anything_runs(folder, block, words):
    line = refusal(plan_of, folder, table=table(block))
    assert all(word in line for word in words), line


# --- plans of what is finished ------------------------------------------------------------


def finish(folder, fit: FitSpec):
    path = folder / "results/smoke" / fit.folder / "record.json"
    path.parent.mkdir(parents=True)
    path.write_text("{}")


def test_a_partial_plan_keeps_finished_fits_and_counts_the_planned_ones(folder):
    experiments = {
        "table": table({"seeds": 2}),
        "other": table({"recipe": "published"}),
        "fig": figure(),
    }
    whole = plan_of(folder, **experiments)
    finish(folder, whole.fits["table"][1])
    plan = plan_of(folder, partial=True, **experiments)
    assert plan.fits == {"table": [whole.fits["table"][1]], "fig": [whole.fits["table"][1]]}
    assert set(plan.experiments) == {"table", "fig"}
    assert plan.planned == whole.planned == {"table": 4, "other": 2, "fig": 4}


def test_a_partial_plan_without_a_record_is_refused(folder):
    line = refusal(plan_of, folder, partial=True, table=TABLE)
    assert "no fit of scale 'smoke' has a record" in line


# --- estimates ----------------------------------------------------------------------------


def throughput(folder, kind, fractions):
    rows = [
        {"width": 512, "pass": name, "median_fraction": value} for name, value in fractions.items()
    ]
    rows.append({"width": 256, "pass": "layerwise", "median_fraction": 0.01})
    machine = {"gpu": "H200", "processor": "EPYC"}
    (folder / f"throughput-{kind}.json").write_text(json.dumps({"rows": rows, "machine": machine}))


def test_the_fraction_of_peak_is_that_of_pytorch_at_512_wide_on_a_gpu_if_measured(tmp_path):
    assert estimate.measured_fraction(tmp_path)[0] == 0.5
    assert "assumed" in estimate.measured_fraction(tmp_path)[1]
    throughput(tmp_path, "cpu", {"layerwise": 0.7, "autograd": 0.5, "compiled": 0.9})
    assert estimate.measured_fraction(tmp_path) == (pytest.approx(0.6), "CPU, EPYC")
    throughput(tmp_path, "cuda", {"layerwise": 0.8})
    assert estimate.measured_fraction(tmp_path) == (0.8, "CUDA, H200")


def test_hours_are_flops_over_printed_peak_times_measured_fraction(folder, tmp_path):
    throughput(tmp_path, "cpu", {"layerwise": 0.5})
    plan = plan_of(folder, table=table({"seeds": 2}), again=table())
    found = estimate.estimate(plan, tmp_path).set_index("experiment")
    # One square layer of 8 x 8 at 64 positions of 2 signals, 6 FLOPs each, 5 updates and a check.
    once = 2 * 64 * 64 * 6 * (5 + 1)
    assert dict(found.fits) == {"again": 2, "table": 4, "all, each fit once": 4}
    np.testing.assert_allclose(found["PFLOP at most"] * 1e15, [once, 2 * once, 2 * once])
    np.testing.assert_allclose(
        found["H200 h at most"] * 67e12 * 0.5 * 3600, found["PFLOP at most"] * 1e15
    )
    np.testing.assert_allclose(found["RTX 3090 h at most"] / found["H200 h at most"], 67 / 35.6)
    assert (found["as printed"] == found["PFLOP at most"]).all()


def test_fits_that_the_paper_prints_iterations_for_end_there(folder):
    block = {
        "recipe": "published",
        "representation": "bitplane",
        "iterations": 5000,
        "cell": "bitplane",
        "signals": "skimage/8x8/coffee",
    }
    answers = {"published": "table1", "beside": [{"kind": "photo", "bits": 8, "set": "kodak"}]}
    plan = plan_of(folder, table=table(block) | answers)
    (fit,) = plan.all_fits
    printed = estimate.printed_iterations(plan, "table")
    assert 0 < printed[fit.digest] < 5000
    found = estimate.estimate(plan).iloc[0]
    assert found["as printed"] / found["PFLOP at most"] == pytest.approx(printed[fit.digest] / 5000)


def test_hours_here_follow_from_the_records_of_the_same_method(folder, tmp_path):
    plan = plan_of(folder, table=table({"representation": ["bithead", "bitplane"]}))
    heads = [fit for fit in plan.all_fits if fit.representation == "bithead"]
    # Half of its budget took as long as the whole would take at twice the speed.
    entries = [entry_of(fit, iterations=2, seconds=fit.cost * 1e-9 / 2) for fit in heads]
    merge(entries, tmp_path)
    seconds = sum(fit.cost for fit in plan.all_fits) * 1e-9
    path = tmp_path / "records.jsonl"
    assert estimate.local_hours(plan.all_fits, 2, path) == pytest.approx(seconds / 3600 / 2)
    assert estimate.local_hours(plan.all_fits, 2, tmp_path / "none") is None


def test_the_paper_scale_prints_hours_and_small_scales_do_not(folder):
    experiments = {"table": table() | {"scales": {"smoke": SCALE, "paper": SCALE}}}
    assert "GPU" not in estimate.as_text(plan_of(folder, **experiments))
    text = estimate.as_text(plan_of(folder, scale="paper", **experiments))
    assert "H200 h at most" in text and "RTX 3090 h as printed" in text
    assert "An estimate" in text and f"{BLOCK['iterations']}" not in text.split("\n")[0][:12]
