import pytest
from planning import FIGURE, METHOD, RECIPES, SCALE, TABLE, figure, plan_of, table
from tiny import refusal

from lossless_inr import registry
from lossless_inr.experiments.shards import work_of
from lossless_inr.fitting.sizes import paper_ratio_width

# --- names across files -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("experiments", "words"),
    [
        ({"table": table({"network": "sirne"})}, ["network 'sirne'", "'siren'"]),
        ({"table": table({"network": ["siren", "all"]})}, ["network 'all'"]),
        ({"table": table({"representation": "bithed"})}, ["'bithed'", "'bithead'"]),
        ({"table": table({"recipe": "fats"})}, ["recipe 'fats'", "'fast'", "fits[0]"]),
        (
            {"table": table({}, {"representation": "direct"})},
            ["fits[1]", "'fast' does not apply", "'direct'"],
        ),
        (
            {"table": table({"signals": "skimage/8x8/cofee"})},
            ["signal 'skimage/8x8/cofee'", "'skimage/8x8/coffee'", "fits[0]"],
        ),
        ({"table": table({"signals": "skimage/8/coffee"})}, ["size '8'", "fits[0]"]),
        (
            {
                "table": table(
                    {
                        "signals": "librispeech/64/2412-153948-0000_20000-float32",
                        "code": "twos-complement",
                    }
                )
            },
            ["words are float32", "'code'", "fits[0]"],
        ),
        (
            {"table": table({"code": "gray"})},
            ["code", "offset"],
        ),
        ({"table": table({"network_parameters": {"omega": 1}})}, ["'omega'", "omega_"]),
        (
            {"table": table({"network": "all", "network_parameters": {"omega": 1}})},
            ["single network"],
        ),
        ({"table": TABLE | {"scales": {"smok": SCALE}}}, ["scale 'smok'", "'smoke'"]),
        ({"table": TABLE | {"select": FIGURE["select"]}}, ["not both"]),
        ({"table": {"title": "T", "layout": "table"}}, ["'scales'", "'select'"]),
        ({"table": TABLE, "fig": figure(experiment="tabel")}, ["'tabel'", "'table'"]),
        ({"fig": FIGURE | {"select": {"smoke": {"experiment": "fig"}}}}, ["'smoke'", "'fig'"]),
        (
            {"table": TABLE, "fig": figure(network="sirne")},
            ["fig.yaml: select.smoke.network", "'sirne'", "'siren'"],
        ),
        (
            {"table": TABLE, "fig": figure(signals="pydicom/8x8/mr")},
            ["select.smoke.signals", "'pydicom/8x8/mr'", "'pydicom/8x8/ct'"],
        ),
        (
            {
                "table": table(
                    {"signals": "pydicom/8x8/ct"},
                    {"signals": "skimage/8x8/coffee", "representation": "bitplane"},
                ),
                "fig": figure(signals="pydicom/8x8/ct", representation="bitplane"),
            },
            ["fig.yaml: select.smoke", "leave no fit"],
        ),
        ({}, ["no experiment (*.yaml)"]),
    ],
    ids=lambda value: "",
)
def test_a_name_that_leads_nowhere_is_refused_with_its_place(folder, experiments, words):
    line = refusal(plan_of, folder, **experiments)
    assert "config/experiments" in line
    assert all(word in line for word in words), line


def test_a_scale_that_no_experiment_has_is_refused_with_those_there_are(folder):
    line = refusal(plan_of, folder, scale="paper", table=TABLE)
    assert "'paper'" in line and "smoke" in line


def test_an_unknown_experiment_is_refused_with_the_nearest(folder):
    assert set(plan_of(folder, only=["table"], table=TABLE, other=TABLE).fits) == {"table"}
    assert "did you mean 'table'?" in refusal(plan_of, folder, only=["tabel"], table=TABLE)


def test_a_figure_alone_brings_the_experiment_whose_fits_it_shows(folder):
    plan = plan_of(folder, only=["fig"], table=TABLE, other=TABLE, fig=figure())
    assert set(plan.fits) == {"table", "fig"}


def test_an_experiment_alone_needs_the_scale(folder):
    line = refusal(plan_of, folder, scale="quick", only=["table"], table=TABLE)
    assert "'table' has no scale 'quick'" in line


def test_a_whole_set_is_one_name(folder):
    fits = plan_of(folder, table=table({"signals": "skimage16/8x8/*"})).all_fits
    assert [f.signal for f in fits] == [
        f"skimage16/8x8/{name}" for name in ("chelsea", "motorcycle_left", "ihc")
    ]


def test_a_set_whose_names_are_not_here_is_left_out_and_told(folder, caplog):
    block = {"signals": ["skimage/8x8/coffee", "fivek/8x8/*"]}
    assert len(plan_of(folder, table=table(block)).all_fits) == 1
    assert "make data DATASET=fivek" in caplog.text


def test_the_first_signal_whose_file_is_here_is_taken(folder, monkeypatch):
    monkeypatch.delenv("LOSSLESS_INR_MIRROR", raising=False)  # of whoever runs the tests
    names = "kodak/8x8/kodim05 | skimage/8x8/coffee"
    experiments = {"table": table({"signals": names}), "fig": figure(signals=names)}
    assert plan_of(folder, **experiments).all_fits[0].signal == "skimage/8x8/coffee"
    (folder / "data/raw/kodak").mkdir(parents=True)
    (folder / "data/raw/kodak/kodim05.png").write_bytes(b"")
    plan = plan_of(folder, **experiments)
    assert [fit.signal for fit in plan.fits["fig"]] == ["kodak/8x8/kodim05"]


def test_equal_flops_are_as_many_steps_as_the_bits_they_stand_for(folder):
    blocks = [
        {"recipe": "published", "equal_flops": True, "iterations": 790, "representation": name}
        | ({"representation_parameters": {"digit_bits": 2}} if name == "digits" else {})
        for name in ("direct", "digits", "bitplane", "bitchannel")
    ]
    fits = plan_of(folder, table=table(*blocks, signals=["skimage/8x8/coffee"])).all_fits
    assert [fit.iterations for fit in fits] == [6320, 1580, 790, 263]
    assert {round(fit.cost / (fit.iterations + 1) * fit.iterations, -6) for fit in fits}
    work = [fit.cost * fit.iterations / (fit.iterations + 1) for fit in fits]
    assert max(work) / min(work) < 1.005


def test_a_network_with_a_size_of_its_own_keeps_it_unless_the_block_says_otherwise(folder):
    blocks = [{"network": "diner", "recipe": "published", **more} for more in (
        {}, {"shape": {"hidden_layers": 1, "width": 8}},
    )]  # fmt: skip
    fits = plan_of(folder, table=table(*blocks)).all_fits
    assert {(fit.width, fit.hidden_layers) for fit in fits} == {(64, 2), (8, 1)}


def test_parallel_networks_can_share_the_parameters_of_one():
    one = paper_ratio_width((32, 32, 3), 5)
    eight = paper_ratio_width((32, 32, 3), 5, together=8)
    assert (one, eight) == (64, 20)


def test_printed_rows_are_kept_with_the_fits_that_answer_to_them(folder):
    block = {"recipe": "published", "representation": "direct", "cell": "{network}"}
    plan = plan_of(
        folder, table=table(block | {"network": ["siren", "wire"]}) | {"published": "table1"}
    )
    assert sorted(plan.cells["table"].values()) == ["siren"] * 2 + ["wire"] * 2
    wrong = table(block | {"cell": "sirne"}) | {"published": "table1"}
    assert "did you mean 'siren'?" in refusal(plan_of, folder, table=wrong)
    assert "needs 'published'" in refusal(plan_of, folder, table=table(block))


def test_a_printed_set_that_no_signal_stands_beside_is_refused(folder):
    def beside(**entry):
        answers = {"published": "table1", "beside": [{"kind": "photo", "bits": 8} | entry]}
        return refusal(plan_of, folder, table=table() | answers)

    assert "beside[0]" in beside(bits=16, set="testimages")
    assert "set 'testimages'" in beside(bits=16, set="testimages")
    plan = plan_of(
        folder,
        table=table()
        | {"published": "table1", "beside": [{"kind": "photo", "bits": 8, "set": "kodak"}]},
    )
    assert plan.experiments["table"].beside


def test_two_fits_that_answer_to_one_printed_row_are_refused_with_both_places(folder):
    block = {"recipe": "published", "representation": "bitplane", "cell": "bitplane"}
    answers = {"published": "table1"}
    twice = table(block, {}, block | {"iterations": 9}) | answers
    line = refusal(plan_of, folder, table=twice)
    assert "scales.smoke.fits[0] and" in line and "scales.smoke.fits[2]" in line
    assert "'bitplane'" in line and "seed 0" in line
    plan = plan_of(folder, table=table(block, {}, block | {"seeds": 2}) | answers)
    assert len(plan.cells["table"]) == 4  # the same fit named twice is one fit


# --- expansion ----------------------------------------------------------------------------


def test_a_block_is_the_product_of_its_lists(folder):
    block = {
        "network": ["siren", "wire"],
        "representation": ["bithead", "bitplane"],
        "recipe": ["fast", "published"],
        "seeds": 3,
    }
    fits = plan_of(folder, table=table(block)).fits["table"]
    keys = [(f.signal, f.network, f.representation, f.recipe, f.seed) for f in fits]
    assert len(keys) == len(set(keys)) == 2 * 2 * 2 * 2 * 3
    assert keys == sorted(keys, key=lambda k: SCALE["signals"].index(k[0]))
    assert {f.seed for f in fits} == {0, 1, 2}
    assert {f.iterations for f in fits} == {5}


def test_all_means_every_network_and_every_signal_of_the_scale(folder):
    fits = plan_of(folder, table=table({"network": "all"})).fits["table"]
    assert {(f.signal, f.network) for f in fits} == {
        (signal, network) for signal in SCALE["signals"] for network in registry.every("network")
    }


def test_a_fit_carries_plain_numbers_for_its_signal_network_and_recipe(folder):
    block = {"signals": "pydicom/8x8/ct", "network_parameters": {"omega_first": 20}}
    (fit,) = plan_of(folder, table=table(block)).fits["table"]
    assert (fit.shape, fit.bits, fit.kind) == ([8, 8, 1], 16, "scan")
    assert (fit.width, fit.hidden_layers) == (8, 1)
    assert fit.network_parameters == {"omega_first": 20.0, "omega_hidden": 30.0}
    method = METHOD | {"bits": 16, "width": 8}
    assert fit.settings == RECIPES["fast"].resolve(**method, iterations=5)


def test_fits_that_several_blocks_or_experiments_ask_for_are_made_once(folder):
    plan = plan_of(folder, table=table({}, {"seeds": 2}), again=table({"seeds": 2}), fig=FIGURE)
    assert [len(plan.fits[name]) for name in ("table", "again", "fig")] == [4, 4, 4]
    assert len(plan.all_fits) == 4
    assert plan.fits["fig"] == plan.fits["table"]


def test_filters_of_a_selection_keep_what_they_list(folder):
    block = {"representation": ["bithead", "bitplane"], "recipe": ["fast", "published"]}
    filters = {"representation": ["bithead"], "recipe": "fast", "seeds": 2}
    plan = plan_of(folder, table=table(block | {"seeds": 3}), fig=figure(**filters))
    assert plan.fits["fig"] == [
        fit
        for fit in plan.fits["table"]
        if fit.representation == "bithead" and fit.recipe == "fast" and fit.seed < 2
    ]
    assert len(plan.fits["fig"]) == 2 * 2


@pytest.mark.parametrize("shards", [1, 3, 7, 1000])
def test_shards_hold_every_fit_exactly_once(folder, shards):
    experiment = table({"network": "all", "seeds": 2})
    plan = plan_of(folder, shards=shards, table=experiment)
    found = [fit.digest for shard in plan.shards().values() for fit in shard.fits]
    assert sorted(found) == sorted(fit.digest for fit in plan.all_fits)
    assert len(set(found)) == len(found) == 2 * 2 * len(registry.every("network"))
    assert len(plan.shards()) == min(shards, len(found))
    assert all(shard.fits for shard in plan.shards().values())
    for shard in plan.shards().values():
        assert set(shard.signals) == {fit.signal for fit in shard.fits}


def test_shards_have_about_equal_cost(folder):
    plan = plan_of(folder, shards=3, table=table({"network": "all", "seeds": 4}))
    costs = [sum(work_of(fit) for fit in shard.fits) for shard in plan.shards().values()]
    assert max(costs) - min(costs) <= max(work_of(fit) for fit in plan.all_fits)


def test_a_shard_changes_its_digest_with_its_fits_only(folder):
    before = plan_of(folder, table=table({"seeds": 2})).shards()
    same = plan_of(folder, table=table({"seeds": 2}) | {"title": "Another title"}).shards()
    other = plan_of(folder, table=table({"seeds": 2, "iterations": 6})).shards()
    digests = [{k: s.digest for k, s in shards.items()} for shards in (before, same, other)]
    assert digests[0] == digests[1]
    assert all(digests[2][name] != digest for name, digest in digests[0].items())
