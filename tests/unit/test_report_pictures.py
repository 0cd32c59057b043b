"""Pictures of a fit: what they show, and what they weigh."""

import base64
import io

import numpy as np
import pandas as pd
import pytest
from made import Scale, signals
from PIL import Image

from lossless_inr.report import pictures
from lossless_inr.report.curves import Curves
from lossless_inr.report.drawers import drawers
from lossless_inr.signals import Signal


def opened(uri: str) -> Image.Image:
    kind, content = uri.split(";base64,")
    image = Image.open(io.BytesIO(base64.b64decode(content)))
    assert kind == f"data:image/{image.format.lower()}"
    return image


def fit_of(status="lossless", bits=8, samples=192, flops=6e9):
    return pd.Series({"status": status, "bits": bits, "samples": samples, "flops": flops})


def curve_of(wrong, bits=8):
    return pd.DataFrame(
        {"iteration": range(len(wrong))} | {f"plane_{k}": wrong for k in range(bits)}
    )


@pytest.mark.parametrize("last", [0, 1, 5, 100, 55_200])
def test_thinning_keeps_both_ends_and_few_points(last):
    steps = pictures.thin(last)
    assert steps[0] == 0 and steps[-1] == last
    assert len(steps) <= pictures.POINTS and (np.diff(steps) > 0).all()


def test_a_curve_ends_with_a_star_only_if_it_is_lossless():
    wrong = np.linspace(90, 0, 500).astype(int)
    line = pictures.ber_line(curve_of(wrong), fit_of())
    x, y = map(float, line.points.split(" ")[-1].split(","))
    assert line.end == pytest.approx((x, y), abs=0.1)
    assert x == pictures.WIDTH - pictures.RIGHT and y == pictures.HEIGHT - pictures.BOTTOM
    assert pictures.ber_line(curve_of(wrong + 1), fit_of("budget_exhausted")).end is None


def test_axes_have_decades_of_iterations_and_flops_at_their_places():
    # 1,000 passes of 6 MFLOP each.
    line = pictures.ber_line(curve_of(np.full(1000, 90)), fit_of("budget_exhausted"))
    places = {text: x for x, _, text, side in line.ticks if side in ("bottom", "top")}
    assert {"1", "10", "100", "10 M", "100 M", "1 G"} <= set(places)
    # 100 MFLOP are 16.7 passes, so they lie between the 10th and the 100th iteration.
    assert places["10"] < places["100 M"] < places["100"]
    assert all(pictures.LEFT <= x <= pictures.WIDTH for x in places.values())


def test_a_fit_that_never_began_has_a_curve_of_one_point():
    line = pictures.ber_line(curve_of([96]), fit_of("diverged", flops=6e6))
    assert len(line.points.split(" ")) == 1


def test_small_pictures_are_exact_and_large_ones_small():
    samples = np.random.default_rng(0).integers(0, 256, (32, 32, 3))
    image = opened(pictures.picture(samples, 8, side=64))
    np.testing.assert_array_equal(np.asarray(image), samples)
    large = np.random.default_rng(0).integers(0, 2**16, (256, 200, 3))
    assert max(opened(pictures.picture(large, 16, side=64)).size) == 64


def test_a_scan_is_stretched_between_its_limits():
    samples = np.array([[[100], [150]], [[200], [300]]])
    image = np.asarray(opened(pictures.picture(samples, 16, side=8, limits=(100, 200))))
    assert image.tolist() == [[0, 128], [255, 255]]
    constant = opened(pictures.picture(np.full((2, 2, 1), 7), 8, side=8))
    assert not np.asarray(constant).any()


def test_an_error_map_is_black_where_nothing_is_wrong():
    error = np.zeros((4, 4, 3), dtype=int)
    error[1, 2, 0], error[3, 3, 2] = -255, 1
    image = np.asarray(opened(pictures.error_map(error, 8, side=8)))
    assert image[0, 0] == 0 and image[1, 2] == 255 and 0 < image[3, 3] < 255


def test_the_most_significant_plane_is_the_top_row():
    curve = curve_of(np.zeros(50, dtype=int))
    curve["plane_7"] = 96  # of 192 samples: chance
    image = np.asarray(opened(pictures.plane_map(curve, fit_of())))
    assert image.shape[0] == 8
    assert (image[0] == 255).all() and (image[1:] == 0).all()


def test_a_sound_has_waveforms_and_a_residual():
    sound = signals()["set/200/c"]
    best = sound.samples.astype(int).copy()
    best[5] += 3
    shown = pictures.of_fit(
        fit_of("budget_exhausted", 16, 200), curve_of([5, 4, 3], 16), best, sound, side=64
    )
    assert "images" not in shown
    assert shown["wrong_samples"] == 1 and shown["largest_error"] == 3
    ys = [float(p.split(",")[1]) for p in shown["sound"]["residual"].split(" ")]
    assert min(ys) == 2 and sum(y != 40 for y in ys) == 1  # upwards is positive


def test_pictures_of_a_fit_weigh_less_than_promised():
    random = np.random.default_rng(0)
    noise = Signal("n", random.integers(0, 256, (32, 32, 3)).astype(np.uint8), 8, "photo")
    best = random.integers(0, 256, (32, 32, 3))
    side = pictures.largest_side(250)
    assert side >= 32  # the miniature's pictures are shown as they are
    wrong = random.integers(0, 1500, 4000)
    shown = pictures.of_fit(
        fit_of("budget_exhausted", samples=3072), curve_of(wrong), best, noise, side
    )
    assert pictures.weight(shown) < 30_000


def test_with_too_many_fits_every_method_keeps_pictures_of_one(tmp_path, monkeypatch):
    scale = Scale(tmp_path)
    fits, folders = scale.fits, (scale.results, scale.prepared)

    def shown():
        found = drawers(fits, *folders, "tiny", Curves(scale.results))
        return {d["digest"]: d["pictures"] for d in found if not d["left_out"]}

    every = shown()
    assert len(every) == len(fits)
    sizes = sorted(map(pictures.weight, every.values()))
    kinds = ["method", "variant", "width", "bits"]
    methods = fits.groupby(kinds).ngroups
    room = sum(sizes[-methods:]) + sizes[0] // 2
    monkeypatch.setattr(pictures, "room_for", lambda fits: room)
    some = shown()
    assert methods <= len(some) < len(fits)
    assert fits[fits.spec_digest.isin(some)].groupby(kinds).ngroups == methods


def test_thumbnails_shrink_with_the_number_of_fits():
    sides = [pictures.largest_side(n) for n in (1, 55, 250, 2000, 10**6)]
    assert sides == sorted(sides, reverse=True) and sides[0] == 96 and sides[-1] == 32
