"""Table 5 from fits to its page: real small fits of real signals, and readings with known ends."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from lossless_inr.analysis.verdicts import FAILS, HOLDS, OPEN
from lossless_inr.datasets.table import whole_name
from lossless_inr.errors import UserError
from lossless_inr.expansion.readings import (
    from_planes,
    from_values,
    neighbour_shares,
    posterior_shares,
)
from lossless_inr.expansion.rules import RULES, midpoint
from lossless_inr.expansion.scores import COLUMNS, DRAWS, score, score_rules
from lossless_inr.expansion.summary import difference, mean_of, summary, theory, verdicts
from lossless_inr.fitting.fit import Resources, run_or_record_failures
from lossless_inr.metrics import psnr
from lossless_inr.published import load_published
from lossless_inr.report.build import environment
from lossless_inr.report.expansion_page import SUPERVISED, expansion_page
from lossless_inr.schema import read_yaml
from lossless_inr.signals import Signal

QUIET = settings(deadline=None, derandomize=True, database=None, max_examples=40)
NAMES = ["skimage16/16x16/chelsea", "skimage16/16x16/motorcycle_left"]


# --- signals of top bits -------------------------------------------------------------------


def test_top_bits_are_cut_from_the_whole_signal_and_never_resampled(catalog):
    whole = catalog.prepare(NAMES[0])
    for bits, kind in ((8, np.uint8), (10, np.uint16), (1, np.uint8), (15, np.uint16)):
        top = catalog.prepare(f"{NAMES[0]}-top{bits}")
        assert top.bits == bits and top.samples.dtype == kind
        assert np.array_equal(top.samples, whole.samples >> (16 - bits))
        assert whole_name(top.name) == whole.name
    assert whole_name(whole.name) == whole.name


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("skimage16/16x16/chelsea-top16", "has 16 bits, so its top 16 leave none"),
        ("skimage/16x16/chelsea-top8", "has 8 bits, so its top 8 leave none"),
        ("skimage16/16x16/chelsae-top8", "did you mean 'skimage16/16x16/chelsea'"),
        ("skimage16/16x16/chelsea-top0", "unknown signal"),
        ("chime/16/warning_float32-top8", "not of float32 words"),
    ],
)
def test_bad_names_of_top_bits_are_one_line(catalog, name, message):
    with pytest.raises(UserError, match=message) as raised:
        catalog.find(name)
    assert "\n" not in str(raised.value)


# --- from outputs to integers --------------------------------------------------------------


def test_planes_are_read_by_threshold_and_as_expected_value():
    known = np.array([[[5]], [[7]]])
    p = np.array([[[[0.9]], [[0.5]]], [[[0.2]], [[0.6]]]])  # plane 0, then plane 1
    found = from_planes(p, known)
    assert found["threshold"].ravel().tolist() == [5 * 4 + 1, 7 * 4 + 2]  # 0.5 is a zero
    assert found["expected"].ravel().tolist() == [5 * 4 + 1, 7 * 4 + 2]  # 1.3 and 1.7, rounded
    assert from_planes(np.full((8, 1, 1, 1), 0.5), known[:1])["expected"].item() == 5 * 256 + 128


@QUIET
@given(st.integers(1, 6), st.integers(0, 2**31))
def test_every_reading_keeps_the_known_bits(count, seed):
    random = np.random.default_rng(seed)
    known = random.integers(0, 256, (3, 4, 2))
    p = random.random((count, 3, 4, 2))
    p.ravel()[0] = np.nan  # a network that diverged
    levels = known + random.normal(0, 3, known.shape)
    levels.ravel()[:3] = np.nan, np.inf, -np.inf
    found = from_planes(p, known) | from_values(levels, known, 8, 8 + count)
    assert set(found) == {"threshold", "expected", "value", "posterior"}
    for one in found.values():
        assert np.array_equal(one >> count, known)


def test_a_fit_that_meets_x_gives_the_midpoint_and_one_beyond_the_end_of_the_interval():
    known = np.arange(12).reshape(2, 2, 3)
    met = from_values(known.astype(float), known, 8, 16)
    assert np.array_equal(met["value"], midpoint(known, 8, 16))
    assert np.array_equal(from_values(known + 9.0, known, 8, 16)["value"], known * 256 + 255)
    assert np.array_equal(from_values(known - 9.0, known, 8, 16)["value"], known * 256)


def test_the_posterior_believes_exact_predictions_and_ignores_bad_ones():
    random = np.random.default_rng(0)
    truth = random.random((40, 40, 3))
    sure = posterior_shares(truth)
    assert abs(sure - truth).mean() < 0.05 < abs(0.5 - truth).mean()
    wild = posterior_shares(truth + random.normal(0, 30, truth.shape))
    assert abs(wild - 0.5).max() < 0.1


@QUIET
@given(st_numpy.arrays(float, (4, 5, 1), elements=st.floats(allow_nan=True, width=32)))
def test_the_posterior_is_a_share_whatever_was_predicted(shares):
    found = posterior_shares(shares)
    assert found.min() >= 0 and found.max() <= 1


def test_neighbours_predict_a_ramp_and_do_not_look_at_the_sample_itself():
    ramp = np.add.outer(3 * np.arange(6), np.arange(6))[..., None]
    assert np.array_equal(neighbour_shares(ramp)[1:-1, 1:-1], np.full((4, 4, 1), 0.5))
    changed = ramp.copy()
    changed[2, 2] += 7
    predicted = (neighbour_shares(changed) + changed)[2, 2]
    assert predicted == (neighbour_shares(ramp) + ramp)[2, 2]


# --- theory and statistics -----------------------------------------------------------------


def test_measured_rules_on_uniform_low_bits_are_the_theory():
    samples = np.random.default_rng(1).integers(0, 2**16, (96, 96, 3)).astype(np.uint16)
    rows = pd.DataFrame(score_rules(Signal("s/96x96/n", samples, 16, "photo"), 8, 16))
    measured = rows.groupby("method").psnr.mean()
    assert set(measured.index) == {*RULES, "random_bits", "neighbours"}
    assert (rows.method == "random_bits").sum() == DRAWS
    for method in (*RULES, "random_bits"):
        assert measured[method] == pytest.approx(theory(method, 8, 16), abs=0.1)
    # Of noise there is nothing to learn from neighbours.
    assert measured["neighbours"] == pytest.approx(measured["midpoint"], abs=0.02)
    assert theory("midpoint", 8, 16) - theory("random_bits", 8, 16) == pytest.approx(3.01, abs=0.01)


def test_scores_of_a_rule_are_psnr_of_integers():
    samples = np.array([[[0x0100], [0x0240]]], np.uint16)
    rows = {r["method"]: r for r in score_rules(Signal("s/1x2/n", samples, 16, "photo"), 8, 16)}
    assert rows["zero_padding"]["squared_error"] == 0x40**2
    assert rows["midpoint"]["squared_error"] == 0x80**2 + 0x40**2
    assert rows["zero_padding"]["psnr"] == pytest.approx(
        20 * np.log10(65535 / np.sqrt(0x40**2 / 2))
    )
    assert rows["zero_padding"]["ssim"] is None  # smaller than its window


def test_means_have_students_interval_and_infinity_has_none():
    found = mean_of([1.0, 2.0, 3.0])
    assert (found.value, found.n) == (2.0, 3)
    assert found.high - found.value == pytest.approx(4.303 / np.sqrt(3), abs=1e-3)
    assert mean_of([4.0]).low is None
    infinite = mean_of([np.inf, 4.0])
    assert infinite.value == np.inf and infinite.low is None
    with pytest.raises(ValueError, match="a value for every image"):
        mean_of([])
    first, second = pd.Series({"a": 2.0, "b": 5.0}), pd.Series({"b": 4.0, "a": 0.0, "c": 9.0})
    assert difference(first, second).value == 1.5
    assert difference(first.head(0), second) is None


def made_scores(gains, images=8, lossless=True):
    """Scores in which methods lie these decibels over the midpoint, with a scatter of 0.01."""
    random, rows = np.random.default_rng(0), []
    for image in range(images):
        for method, gain in gains.items():
            for expansion, bits, target in (("8to16", 8, 16), ("8to12", 8, 12)):
                error = psnr(1, 1, target) - (58.96 + gain + random.normal(0, 0.01))
                squared = round(3000 * 10 ** (error / 10))
                row = {"signal": f"i{image}", "expansion": expansion, "bits": bits}
                row |= {"target": target, "squared_error": squared, "samples": 3000}
                row |= {"method": method, "estimate": "rule", "seed": 0, "ssim": 0.9}
                if method == "inr":
                    row |= {"network": "siren", "representation": "bitplane", "budget": 100}
                    row |= {"variant": f"of_bits={target}", "recipe": "published"}
                    row |= {"estimate": "threshold", "spec_digest": f"d{image}-{target}"}
                    row |= {"status": "lossless" if lossless else "budget_exhausted"}
                rows.append(row)
    return pd.DataFrame(rows, columns=COLUMNS).astype({"budget": "Int64"})


@pytest.mark.parametrize(
    ("gain", "images", "lossless", "over_random", "over_midpoint"),
    [
        (-3.0, 8, True, OPEN, FAILS),
        (-4.0, 8, True, FAILS, FAILS),
        (-1.0, 8, True, HOLDS, FAILS),
        (0.5, 8, True, HOLDS, HOLDS),
        (0.5, 5, True, OPEN, OPEN),  # too few images
        (0.5, 8, False, OPEN, OPEN),  # x itself was not met
    ],
)
def test_verdicts_follow_the_paired_differences(gain, images, lossless, over_random, over_midpoint):
    gains = {"random_bits": -3.0, "midpoint": 0.0, "inr": gain}
    scores = made_scores(gains, images, lossless)
    found = {v.key: v for v in verdicts(summary(scores), scores, load_published())}
    assert found["q"].result == over_random and found["r"].result == over_midpoint
    assert len(found["r"].evidence) == 2 * images
    assert found["p"].result == HOLDS and found["p"].signals == images
    best = HOLDS if gain > 0 and images >= 6 else OPEN if images < 6 else FAILS
    assert found["t"].result == best


def test_printed_rows_are_held_against_theory_alone_too():
    published = {
        "table5": {k: dict(v) for k, v in load_published()["table5"].items()},
    }
    scores = made_scores({"random_bits": -3.0, "midpoint": 0.0})
    assert verdicts(summary(scores), scores, published)[0].result == HOLDS
    published["table5"]["8to16"]["bitplane"] = [58.9, 0.9]
    assert verdicts(summary(scores), scores, published)[0].result == FAILS
    # Of images whose low bits are not uniform, the theory does not speak.
    other = made_scores({"random_bits": -2.5, "midpoint": 0.0})
    assert verdicts(summary(other), other, load_published())[0].result == FAILS


# --- real fits -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scale(tmp_path_factory, catalog, plan_of):
    """Fits of two photographs in both readings, a smooth one, and one that failed."""
    root, rows = tmp_path_factory.mktemp("scale"), []
    for name in NAMES:
        whole, top = catalog.prepare(name), catalog.prepare(f"{name}-top8")
        path = root / f"prepared/{name}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        whole.save(path)
        plans = [
            plan_of(top.name, of_bits=16),
            plan_of(top.name, of_bits=12, recipe="published"),
            plan_of(top.name, recipe="published"),
            plan_of(top.name, "direct", recipe="tuned"),
            plan_of(top.name, recipe="published", iterations=7),
        ]
        for spec in plans:
            folder = root / "results" / spec.folder
            options = Resources(device="cpu", threads=1)
            (record,) = run_or_record_failures([spec], [top], [folder], options)
            if spec.iterations == 7:
                record = record.model_copy(update={"status": "failed", "error": "made to fail"})
                (folder / "weights.safetensors").unlink()
                record.save(folder)
            names = ("signal", "folder", "network", "representation", "variant", "recipe", "seed")
            row = {one: getattr(spec, one) for one in names}
            row |= {"spec_digest": spec.digest, "budget": spec.iterations, "status": record.status}
            rows.append(row)
    fits = pd.DataFrame(rows)
    table = score(fits, root / "results", root / "prepared")
    (root / "results/expansion").mkdir()
    table.to_parquet(root / "results/expansion/scores.parquet", index=False)
    return root / "results", fits, table


def test_every_fit_is_read_at_each_depth_it_answers(scale):
    table = scale[2]
    one = table[(table.signal == NAMES[0]) & (table.estimate != "rule")]
    found = {
        (row.representation, row.variant, row.recipe, row.expansion, row.estimate)
        for row in one[one.status != "failed"].itertuples()
    }
    planes = ("threshold", "expected")
    expected = {("bitplane", "of_bits=16", "fast", "8to16", how) for how in planes}
    expected |= {("bitplane", "of_bits=12", "published", "8to12", how) for how in planes}
    depths = ("8to16", "8to12", "8to10")
    expected |= {("bitplane", "", "published", depth, how) for depth in depths for how in planes}
    values = ("value", "posterior")
    expected |= {("direct", "", "tuned", depth, how) for depth in depths for how in values}
    assert found == expected
    failed = table[table.status == "failed"]
    assert failed.squared_error.isna().all() and set(failed.estimate) == {"none"}
    assert (failed.reason == "failed: no network to ask").all() and len(failed) == 2 * 3


def test_no_reading_is_further_off_than_a_step_and_the_fit_is_asked_again_the_same(scale):
    results, fits, table = scale
    known = table[table.squared_error.notna()]
    worst = known.samples * (2.0 ** (known.target - known.bits) - 1) ** 2
    kept = known[known.method != "ideal_gain"]
    assert (kept.squared_error <= worst[kept.index]).all()
    again = score(fits.head(2), results, results.parent / "prepared")
    first = table[table.spec_digest.isin(fits.head(2).spec_digest)]
    columns = ["expansion", "estimate", "squared_error"]
    mine = again[again.estimate != "rule"][columns].reset_index(drop=True)
    pd.testing.assert_frame_equal(mine, first[columns].reset_index(drop=True), check_dtype=False)


def test_the_page_has_printed_quoted_and_measured_rows(scale):
    results, fits, _ = scale
    page = expansion_page(results, fits, load_published())
    assert [s["title"] for s in page["sections"]] == [
        "8 to 16 bits",
        "8 to 12 bits",
        "8 to 10 bits",
    ]
    deep = page["sections"][0]
    printed = {row["name"].split(" (")[0]: row["printed"] for row in deep["rows"]}
    cells = load_published()["table5"]["8to16"]
    assert printed["Ideal gain"] == cells["ideal_gain"] and printed["Midpoint"] is None
    outside = next(r for r in deep["rows"] if "outside" in r["name"] and "thresh" in r["name"])
    assert outside["printed"] == cells["bitplane"]
    fast = next(r for r in deep["rows"] if "grid of 16" in r["name"])
    assert fast["printed"] is None  # not the paper's recipe
    assert {q["name"] for q in deep["quoted"]} == set(SUPERVISED.values())
    assert len(page["sections"][1]["quoted"]) == 1 and not page["sections"][2]["quoted"]
    html = environment().get_template("page_expansion.html.j2").render(expansion=page)
    assert "ABCD, supervised" in html and "59.39" in html and "No network to ask" in html
    assert "made to fail" not in html and "failed: no network to ask" in html
    assert expansion_page(results / "nowhere", fits, load_published()) is None


def test_an_image_of_padded_bits_and_damaged_weights_are_one_line(scale, tmp_path):
    results, fits, _ = scale
    one = fits.head(1)
    weights = results / one.folder.iloc[0] / "weights.safetensors"
    kept = weights.read_bytes()
    weights.write_bytes(kept[:100])
    try:
        with pytest.raises(UserError, match=r"weights\.safetensors: weights missing, damaged"):
            score(one, results, results.parent / "prepared")
    finally:
        weights.write_bytes(kept)
    padded = Signal(NAMES[0], np.full((16, 16, 3), 0x1200, np.uint16), 16, "photo")
    path = tmp_path / f"{NAMES[0]}.npz"
    path.parent.mkdir(parents=True)
    padded.save(path)
    with pytest.raises(UserError, match=r"zero everywhere.*nothing to expand") as raised:
        score(one, results, tmp_path)
    assert "\n" not in str(raised.value)


# --- the shipped experiment ----------------------------------------------------------------


def test_the_miniature_runs_the_papers_method_in_both_readings_on_the_same_photographs(catalog):
    spec = read_yaml(catalog.path.parent / "experiments/table5.yaml")
    assert spec["on_request"] is True
    content = spec["scales"]["miniature"]
    rgb16 = {entry.name for entry in catalog.of_set("rgb16")}
    assert {whole_name(name).split("/")[2] for name in content["signals"]} == rgb16
    paper = [f for f in content["fits"] if f["recipe"] == "published"]
    grids = [f.get("representation_parameters", {}).get("of_bits") for f in paper]
    assert grids == [16, 12, None]
    assert all(f["signals"] == "all" and f["network"] == "siren" for f in paper)
