"""What figures show of fits, against values worked out by hand."""

import math
import os
import re
import subprocess
import sys

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from drawing import EACH, MACS, ROWS, TRUTH, Drawn
from matplotlib.cbook import is_math_text
from tiny import ROOT, imported_by

from lossless_inr.analysis.bound import upper_bound
from lossless_inr.experiments.figures import LAYOUTS, draw, style
from lossless_inr.experiments.figures.files import flops_at, longest_runs
from lossless_inr.experiments.figures.pictures import BIT_COLOURS, Panel, bit_picture

NOTHING = [0, 0, 0, 0]  # against 0, 255, 128, 7: 8 + 1 + 3 wrong bits
NEARLY = [0, 255, 128, 0]  # 7 in one sample: the three lowest bits
EXACT = [0, 255, 128, 7]
PEAK = 255**2
# Pictures at the last iteration, and with more planes, are drawn as those at the best one.
DIFFERENT = sorted(set(LAYOUTS) - {"bits", "reconstructions"})


@pytest.fixture
def drawn(tmp_path):
    yield Drawn(tmp_path)
    plt.close("all")


def shown(drawn, layout, *keep):
    """Figure and data of a layout; of all fits unless some are named."""
    table = drawn.table
    chosen = table[table.spec_digest.isin(keep)] if keep else table
    with plt.rc_context(style.RC):
        return LAYOUTS[layout](chosen, drawn.results, drawn.prepared)


def drawn_files(drawn, folder, layout, wanted, **options):
    folder.mkdir(exist_ok=True)
    files = {kind: folder / f"figure.{kind}" for kind in ("svg", "png", "csv")}
    where = {"results": drawn.results, "prepared": drawn.prepared}
    table = drawn.table if drawn.rows else pd.DataFrame()
    draw(layout, table, wanted, **where, **files, **options)
    return files


def titles(figure):
    return [axis.get_title() for axis in figure.axes if axis.get_title()]


# --- curves -------------------------------------------------------------------------------


def test_convergence_has_the_counts_and_the_cost_of_every_iteration(drawn):
    drawn.fit(NOTHING, NEARLY, EXACT, status="lossless")
    drawn.fit(NOTHING, NEARLY, representation="bitplane")
    _, data = shown(drawn, "convergence")
    ours = data[data.method == "SIREN, published"]
    assert ours.iteration.tolist() == [0, 1, 2]
    assert ours.flops.tolist() == [EACH, 2 * EACH, 3 * EACH]
    assert ours.ber.tolist() == [12 / 32, 3 / 32, 0]
    worst = 255**2 + 128**2 + 7**2
    expected = [10 * math.log10(PEAK * 4 / worst), 10 * math.log10(PEAK * 4 / 49), math.inf]
    assert ours.psnr.tolist() == pytest.approx(expected)
    other = data[data.method == "SIREN + bit planes, published"]
    # The weights after the budget are looked at once more, without an update.
    assert other.flops.tolist() == [EACH, EACH + 2 * ROWS * MACS]


def test_convergence_marks_only_what_was_lossless(drawn):
    drawn.fit(NOTHING, NEARLY, EXACT, status="lossless")
    drawn.fit(NOTHING, NEARLY, network="finer")
    figure, data = shown(drawn, "convergence")
    stars = [line for line in figure.axes[0].lines if line.get_marker() == "*"]
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in stars] == [(2, 0.5 / 32)]
    assert set(zip(data.method, data.status, strict=True)) == {
        ("SIREN, published", "lossless"),
        ("FINER, published", "budget_exhausted"),
    }


def test_a_long_curve_is_drawn_with_both_its_ends(drawn):
    drawn.fit(*[NOTHING] * 2000, EXACT, status="lossless")
    _, data = shown(drawn, "convergence")
    assert len(data) <= 300
    assert (data.iteration.iloc[0], data.iteration.iloc[-1]) == (0, 2000)
    assert (data.ber.iloc[-2], data.ber.iloc[-1]) == (12 / 32, 0)


def test_iterations_that_saw_a_part_cost_what_is_left_of_the_total():
    fit = pd.Series(
        {"macs_per_row": 10, "rows": 4, "flops": 2 * 60 + 3 * EACH, "iterations": 4,
         "exactness": "exact from 2"}
    )  # fmt: skip
    expected = [60, 120, 120 + EACH, 120 + 2 * EACH, 120 + 3 * EACH]
    assert flops_at(fit, np.arange(5)).tolist() == expected


def test_a_run_that_another_continues_is_drawn_once(drawn):
    short = drawn.fit(NOTHING, NEARLY)
    long = drawn.fit(NOTHING, NEARLY, EXACT, status="lossless")
    # Its rate spans the budget: it goes elsewhere.
    other = drawn.fit(NEARLY, NEARLY, NOTHING, NEARLY, EXACT, status="lossless")
    kept = longest_runs(drawn.table, drawn.results)
    assert short not in set(kept.spec_digest)
    assert kept.spec_digest.tolist() == [long, other]
    _, data = shown(drawn, "convergence")
    assert set(data.method) == {f"SIREN, published, {k} iterations" for k in (2, 4)}


def test_planes_have_their_own_error_rates_most_significant_first(drawn):
    drawn.fit(NOTHING, NEARLY, EXACT, status="lossless")
    figure, data = shown(drawn, "planes")
    assert data.plane.tolist() == [7, 6, 5, 4, 3, 2, 1, 0] * 3
    assert data.ber[:8].tolist() == [0.5, *[0.25] * 4, *[0.5] * 3]
    assert data.ber[8:16].tolist() == [0, 0, 0, 0, 0, 0.25, 0.25, 0.25]
    assert data.flops.tolist() == [*[EACH] * 8, *[2 * EACH] * 8, *[3 * EACH] * 8]
    assert [axis.get_xlabel() for axis in figure.axes[:2]] == ["iterations", "FLOPs"]
    assert "lossless at 2" in figure.axes[0].get_ylabel()


def test_a_profile_is_the_share_of_signals_within_a_cost(drawn):
    drawn.signal("tiny/2x2/b", TRUTH)
    drawn.fit(NOTHING, EXACT, status="lossless")
    drawn.fit(NOTHING, NEARLY, NEARLY, signal="tiny/2x2/b")
    drawn.fit(NOTHING, NEARLY, network="gauss")
    figure, data = shown(drawn, "profile")
    steps = data[(data.what == "share") & (data.method == "SIREN, published")]
    budget = 2 * EACH + 2 * ROWS * MACS
    assert steps.cost.tolist() == [0, 2 * EACH, budget]
    assert steps.share.tolist() == [0, 0.5, 0.5]
    ends = data[(data.what == "signal") & data.censored.astype("boolean")]
    assert set(zip(ends.method, ends.signal, ends.cost, strict=True)) == {
        ("SIREN, published", "tiny/2x2/b", budget),
        ("Gauss, published", "tiny/2x2/a", EACH + 2 * ROWS * MACS),
    }
    share, ended = figure.axes
    assert share.lines[0].get_drawstyle() == "steps-post"
    assert [line.get_ydata().tolist() for line in share.lines] == [[0, 0.5, 0.5], [0.5]]
    assert sorted(line.get_xdata()[0] for line in ended.lines) == sorted(ends.cost)


# --- pictures -----------------------------------------------------------------------------


def test_errors_are_those_of_the_best_and_reconstructions_those_of_the_last(drawn):
    drawn.fit(NEARLY, NOTHING)
    facts = {}
    for layout in ("errors", "reconstructions", "bits"):
        _, data = shown(drawn, layout)
        samples = data[data.quantity == "sample"]
        assert samples["original"].tolist() == EXACT
        assert samples[["row", "column", "channel"]].to_numpy().tolist() == [
            [0, 0, 0], [0, 1, 0], [1, 0, 0], [1, 1, 0],
        ]  # fmt: skip
        numbers = data[data.quantity != "sample"].set_index("quantity")["SIREN, published"]
        facts[layout] = (samples["SIREN, published"].tolist(), numbers.to_dict())
    samples, numbers = facts["errors"]
    assert samples == NEARLY
    assert numbers["psnr"] == pytest.approx(10 * math.log10(PEAK * 4 / 49))
    assert (numbers["ber"], numbers["largest_error"]) == (3 / 32, 7)
    assert [numbers[f"wrong_bits_of_plane_{k}"] for k in range(8)] == [1, 1, 1, 0, 0, 0, 0, 0]
    samples, numbers = facts["reconstructions"]
    assert samples == NOTHING
    assert [numbers[f"wrong_bits_of_plane_{k}"] for k in range(8)] == [2, 2, 2, 1, 1, 1, 1, 2]
    assert facts["bits"] == facts["reconstructions"]


def test_wrong_bits_have_colours_of_their_own():
    samples = np.array([[[1], [0]], [[1], [0]]])
    truth = np.array([[[1], [0]], [[0], [1]]])
    found = bit_picture(Panel("", samples, truth, 8, samples, truth, 8), 0)
    right0, right1, missing, false = BIT_COLOURS
    assert np.array_equal(found, [[right1, right0], [false, missing]])
    assert len({tuple(colour) for colour in BIT_COLOURS}) == 4


def test_panels_stand_in_the_printed_order_with_their_outcome(drawn):
    drawn.fit(NOTHING, EXACT, status="lossless", representation="bitplane")
    drawn.fit(NOTHING, NEARLY, network="finer")
    drawn.fit(NOTHING, NEARLY, network="relu_pe")
    figure, data = shown(drawn, "errors")
    names = ["original", "ReLU+PE, published", "FINER, published", "SIREN + bit planes, published"]
    assert list(data.columns[-4:]) == names or set(names) <= set(data.columns)
    found = [title.replace("\n", " ") for title in titles(figure)]
    assert [title for title in found if title in names] == names
    outcomes = [title for title in found if "lossless" in title or "dB" in title]
    assert outcomes == ["37.2 dB BER 0.094 error ≤ 7"] * 2 + ["lossless"]


@pytest.mark.parametrize(
    ("layout", "planes"), [("errors", [7, 4, 0]), ("bits", [7, 6, 4, 3, 1, 0])]
)
def test_the_highest_and_the_lowest_plane_are_shown(drawn, layout, planes):
    drawn.fit(NOTHING, NEARLY)
    figure, _ = shown(drawn, layout)
    labels = [axis.get_ylabel() for axis in figure.axes]
    assert [label for label in labels if label.startswith("bit ")] == [f"bit {k}" for k in planes]


def test_a_sound_stands_above_its_residual(drawn):
    wave = np.array([[0], [40_000], [65_535]], dtype=np.uint16)
    drawn.signal("tiny/3/sound", wave, kind="audio", bits=16)
    drawn.fit(wave - np.uint16([[0], [9], [0]]), signal="tiny/3/sound")
    figure, data = shown(drawn, "errors")
    axes = {axis.get_title(): axis for axis in figure.axes}
    original = axes["original"].lines[0].get_ydata().tolist()
    assert original == [-32_768, 40_000 - 32_768, 32_767]
    (residual,) = [axis for title, axis in axes.items() if "dB" in title]
    assert residual.lines[0].get_ydata().tolist() == [0, -9, 0]
    assert data[data.quantity == "sample"]["SIREN, published"].tolist() == [0, 39_991, 65_535]


def test_floats_are_drawn_in_their_range_and_judged_by_their_words(drawn):
    wave = np.array([[-1.0], [0.0], [0.5]], dtype=np.float32)
    words = wave.view(np.uint32)
    found = np.array([[-1.0], [-0.0], [np.inf]], dtype=np.float32).view(np.uint32)
    drawn.signal("tiny/3/sound", words, kind="audio", bits=32, encoding="float32")
    drawn.fit(found, signal="tiny/3/sound")
    drawn.fit(words, signal="tiny/3/sound", status="lossless", representation="bithead")
    figure, data = shown(drawn, "errors")
    axes = {axis.get_title(): axis for axis in figure.axes}
    original = axes["original"].lines[0].get_ydata()
    # 0 lies between two levels.
    assert original.tolist() == pytest.approx([-1, 0, 0.5], abs=2**-23)
    (outcome,) = [title for title in axes if "wrong" in title]
    assert "2 of 3 words wrong" in outcome.replace("\n", " ") and "lossless" in axes
    residual = axes[outcome].lines[0].get_ydata().tolist()
    assert residual == pytest.approx([0, 0, 0.5], abs=2**-22)
    numbers = data[data.quantity == "wrong_bits_of_plane_31"]
    assert numbers["SIREN, published"].tolist() == [1]  # the sign of -0.0


# --- scaling ------------------------------------------------------------------------------


def test_capacity_joins_the_medians_of_lossless_fits(drawn):
    for seed, steps in enumerate((1, 3)):
        drawn.fit(*[NOTHING] * steps, EXACT, status="lossless", seed=seed, iterations=9)
    drawn.fit(*[NOTHING] * 9, NEARLY, seed=2)
    figure, data = shown(drawn, "capacity")
    assert data.iterations.tolist() == [1, 3, 9]
    assert data.median_iterations.tolist() == [2, 2, 2]
    assert data.parameters_per_bit.tolist() == [100 / 32] * 3
    line, full, unfilled = figure.axes[0].lines[:3]
    assert (line.get_ydata().tolist(), full.get_ydata().tolist()) == ([2], [1, 3])
    assert (unfilled.get_ydata().tolist(), unfilled.get_markerfacecolor()) == ([9], "none")


def test_precision_is_drawn_by_the_bits_of_a_weight_with_zero_on_the_lower_edge(drawn):
    for bits, end in ((1.58, NEARLY), (8.0, EXACT)):
        method = {"network_parameters": {"weight_bits": bits}, "representation": "bithead"}
        status = "lossless" if end is EXACT else "budget_exhausted"
        drawn.fit(NOTHING, end, status=status, network="ternary", **method, iterations=9)
        drawn.fit(NOTHING, NOTHING, network="low_bit_siren", **method, iterations=9)
    for row, ber in zip(drawn.rows, (0.1, 0.4, 0.0, 0.4), strict=True):
        row["ber"] = ber
    figure, data = shown(drawn, "precision")
    ber, _ = figure.axes
    assert [label.get_text() for label in ber.get_xticklabels()] == ["1.58", "8"]
    first, full, unfilled = ber.lines[:3]
    assert first.get_ydata().tolist() == [0.1, 0.01]  # a decade below the least wrong
    assert full.get_ydata().tolist() == [0.01] and unfilled.get_ydata().tolist() == [0.1]
    assert unfilled.get_markerfacecolor() == "none"
    assert data.ber.tolist() == [0.1, 0.4, 0.0, 0.4]
    assert data.weight_bits.tolist() == [1.58, 1.58, 8.0, 8.0]


def test_the_bound_stands_beside_what_digits_cost(drawn):
    one = {"representation": "digits", "representation_parameters": {"digit_bits": 1}}
    four = {"representation": "digits", "representation_parameters": {"digit_bits": 4}}
    drawn.fit(*[NOTHING] * 1500, NEARLY, EXACT, status="lossless", iterations=6000, **four)
    drawn.fit(*[NOTHING] * 1500, NEARLY, **four)
    drawn.fit(NOTHING, NEARLY, EXACT, status="lossless", iterations=6000, width=4, **one)
    drawn.fit(NOTHING, NEARLY, EXACT, status="lossless", iterations=6000, **one)
    figure, data = shown(drawn, "bound")
    values = data[data.panel == "bound"].set_index(["dimensions", "n"]).value
    assert values[2, 8] == upper_bound(8, 2) and values[3, 1] == 64
    measured = data[data.panel == "measured"][["n", "reading", "iterations", "flops"]]
    assert measured.to_numpy().tolist() == [
        [4, "each network", 1501, 1502 * EACH],
        [1, "all together", 2, 3 * EACH],
        [1, "each network", 2, 3 * EACH],
    ]
    maps = data[data.panel == "map"]
    assert set(maps.columns) >= {"SIREN + digits of 1 bit, published"}
    # Each map is named by the fit that it shows.
    outcome = "37.2 dB\nBER 0.094\nerror ≤ 7"
    assert titles(figure) == ["original", "n = 1", "n = 4", "lossless at 2", outcome]


# --- legibility ---------------------------------------------------------------------------

LONG = "A title of $x_1$ and $y_2$ that goes on and on until it must leave any panel it stands over"


def words_of(figure):
    """Text of a figure that is drawn, with the box that each stands in, in inches."""
    beyond = set()  # labels of ticks outside of their axis's limits, which exist all the same
    for axes in figure.axes:
        for side, limits in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
            for tick in [*side.get_major_ticks(), *side.get_minor_ticks()]:
                if not min(limits) <= tick.get_loc() <= max(limits):
                    beyond.add(tick.label1)
    inches = figure.dpi_scale_trans.inverted()
    for text in figure.findobj(plt.Text):
        drawn = text.get_visible() and text not in beyond
        if drawn and text.get_text().strip() and (text.axes is None or text.axes.axison):
            yield text, text.get_window_extent().transformed(inches)


@pytest.mark.parametrize("layout", sorted(set(LAYOUTS) - {"errors", "reconstructions"}))
def test_text_is_large_enough_within_the_page_and_never_on_other_text(drawn, layout):
    drawn.signal("tiny/2x2/b", TRUTH, title=LONG)
    for signal in ("tiny/2x2/a", "tiny/2x2/b"):
        drawn.fit(NOTHING, EXACT, status="lossless", signal=signal)
        drawn.fit(NOTHING, NEARLY, signal=signal, network="instant_ngp", representation="bitplane",
                  network_parameters={"bits_in_grid": 0.0})  # fmt: skip
    figure, _ = shown(drawn, layout)
    assert figure.get_figwidth() == 7
    with plt.rc_context(style.RC):
        figure.draw_without_rendering()
    found = list(words_of(figure))
    assert min(text.get_fontsize() for text, _ in found) >= 6.5
    for k, (text, box) in enumerate(found):
        words = text.get_text()
        assert box.x0 >= -0.02 and box.x1 <= 7.02, words
        assert box.y0 >= -0.02 and box.y1 <= figure.get_figheight() + 0.02, words
        for other, over in found[:k]:
            across = min(box.x1, over.x1) - max(box.x0, over.x0)
            down = min(box.y1, over.y1) - max(box.y0, over.y0)
            assert across < 0.02 or down < 0.02, (words, other.get_text())


def test_a_title_is_never_read_as_a_formula():
    assert is_math_text(LONG)
    assert not is_math_text(style.wrapped(LONG, 3.0))


def looks_of(*methods):
    columns = ["network", "representation", "variant", "recipe"]
    fits = pd.DataFrame([dict(zip(columns, method, strict=True)) for method in methods])
    labels = {"siren": "SIREN", "finer": "FINER", "gauss": "Gauss"}
    facts = {"signal": "a", "seed": 0, "width": 8, "budget": 9, "bits": 8}
    fits = fits.assign(label=fits.network.map(labels), **facts)
    return style.method_styles(fits, style.method_names(fits))


def test_a_method_looks_the_same_in_every_figure():
    plain = [("siren", "direct", "", "published"), ("siren", "direct", "", "tuned")]
    more = [("siren", "bitplane", "", "fast"), ("siren", "direct", "loss=bce", "decayed")]
    few, many = looks_of(plain[1]), looks_of(*more, *plain, ("gauss", "direct", "", "published"))
    assert few["SIREN, tuned"] == many["SIREN, tuned"]
    assert looks_of(plain[0])["SIREN, published"] == many["SIREN, published"]
    assert list(many) == [
        "Gauss, published",
        "SIREN, published",
        "SIREN (loss=bce), decayed",
        "SIREN, tuned",
        "SIREN + bit planes, fast",
    ]


def test_no_two_methods_look_alike_without_colour():
    networks = ["siren", "finer", "gauss"]
    forms = ["direct", "bitplane", "bithead", "digits"]
    recipes = ["published", "fast", "tuned", "authors"]
    looks = looks_of(*((n, f, "", r) for n in networks for f in forms for r in recipes if
                       f == "direct" or n == "siren"))  # fmt: skip
    assert len({(look["marker"], str(look["ls"])) for look in looks.values()}) == len(looks) == 24


# --- what is not shown --------------------------------------------------------------------


def words_in(svg):
    """Text of a file, which is drawn as outlines after a comment with its words."""
    return " ".join(re.findall("<!-- (.*?) -->", svg.read_text(), re.DOTALL))


@pytest.fixture(scope="module")
def partial(tmp_path_factory):
    """Figures of two fits, one that failed, one without a count, and two not run."""
    folder = tmp_path_factory.mktemp("partial")
    drawn = Drawn(folder)
    wanted = [drawn.fit(NOTHING, EXACT, status="lossless", network="gauss")]
    wanted.append(drawn.fit(NOTHING, NEARLY))
    wanted.append(drawn.fit(status="failed", network="wire"))
    wanted.append(drawn.fit(status="diverged", network="finer"))
    drawn.table.to_pickle(folder / "table.pkl")
    options = {"results": drawn.results, "prepared": drawn.prepared, "planned": 6}
    for layout in DIFFERENT:
        files = {kind: folder / f"{layout}.{kind}" for kind in ("svg", "png", "csv")}
        draw(layout, drawn.table, wanted, **options, **files)
    return folder


@pytest.mark.parametrize("layout", DIFFERENT)
def test_a_partial_figure_names_what_it_lacks(partial, layout):
    words = words_in(partial / f"{layout}.svg")
    assert "4 of 6 fits were run." in words
    assert "WIRE, published on tiny/2x2/a (failed)" in words
    assert "FINER, published on tiny/2x2/a (diverged before its first" in words
    data = pd.read_csv(partial / f"{layout}.csv")
    absent = data[data.status.isin(["failed", "diverged"])]
    assert set(absent.method) == {"WIRE, published", "FINER, published"}
    assert len(data) > len(absent)


def test_figures_repeat_byte_by_byte_in_another_process(partial, tmp_path):
    layouts = ["convergence", "bound"]
    code = f"""
import pandas as pd, pathlib
from lossless_inr.experiments.figures import draw
here, there = pathlib.Path({str(partial)!r}), pathlib.Path({str(tmp_path)!r})
table = pd.read_pickle(here / "table.pkl")
for layout in {layouts}:
    files = {{kind: there / f"{{layout}}.{{kind}}" for kind in ("svg", "png", "csv")}}
    draw(layout, table, list(table.spec_digest), results=here / "results",
         prepared=here / "prepared", planned=6, **files)
"""
    environment = os.environ | {"PYTHONHASHSEED": "7", "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    for name in (f"{layout}.{kind}" for layout in layouts for kind in ("svg", "png", "csv")):
        assert (tmp_path / name).read_bytes() == (partial / name).read_bytes(), name


def test_a_complete_figure_says_nothing_of_fits(drawn, tmp_path):
    wanted = [drawn.fit(NOTHING, EXACT, status="lossless")]
    words = words_in(drawn_files(drawn, tmp_path / "figure", "planes", wanted)["svg"])
    assert "were run" not in words and "not drawn" not in words


def test_a_fit_whose_files_are_gone_is_named(drawn, tmp_path):
    wanted = [drawn.fit(NOTHING, EXACT, status="lossless"), drawn.fit(NOTHING, network="wire")]
    (drawn.results / drawn.rows[1]["folder"] / "curve.parquet").unlink()
    words = words_in(drawn_files(drawn, tmp_path / "figure", "planes", wanted)["svg"])
    assert "WIRE, published on tiny/2x2/a (its files are gone)" in words


def test_a_figure_without_fits_says_so(drawn, tmp_path):
    files = drawn_files(drawn, tmp_path / "figure", "convergence", ["one", "two"])
    assert "no fit was run yet (2 planned)" in words_in(files["svg"])
    assert pd.read_csv(files["csv"]).empty and files["png"].stat().st_size > 1000


def test_a_figure_of_failed_fits_only_says_so(drawn, tmp_path):
    wanted = [drawn.fit(status="failed")]
    files = drawn_files(drawn, tmp_path / "figure", "bound", wanted)
    assert "SIREN, published on tiny/2x2/a (failed)" in words_in(files["svg"])
    assert pd.read_csv(files["csv"]).status.tolist() == ["failed"]


def test_drawing_does_not_import_torch():
    modules = imported_by("import lossless_inr.experiments.figures")
    assert "matplotlib" in modules and "torch" not in modules
