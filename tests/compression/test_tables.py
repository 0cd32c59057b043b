"""Tables 6 and 7 and their verdicts, from rows made by hand."""

import math

import numpy as np
import pandas as pd
import pytest

from lossless_inr.compression import tables
from lossless_inr.published import load_published

PRINTED = {"mnist": "mnist", "kodak64": None}
CODECS = {
    "PNG, level 1, RLE (OpenCV's default)": 3.49,
    "WebP lossless (Pillow's default)": 2.10,
    "JPEG 2000, box (Pillow)": 6.76,
    "TIFF, LZW and predictor (OpenCV's default)": 3.94,
}


def rows6(ours=1.3, blind=1.31, **codecs):
    rates = CODECS | codecs
    rows = [
        {"coder": name, "file": rate, "set": "mnist", "images": 9} for name, rate in rates.items()
    ]
    for name, rate in ((tables.OURS, ours), (tables.BLIND, blind)):
        rows.append(
            {"coder": name, "file": rate, "set": "mnist", "images": 9, "exact": 9, "seen": 0}
        )
    return pd.DataFrame(rows)


def said(rows, word):
    found = tables.verdicts6(rows, load_published(), PRINTED)
    return next(v["verdict"] for v in found if word in v["claim"])


def test_rows_stand_by_length_beside_the_print():
    table = tables.table6(rows6(), load_published(), PRINTED)
    assert list(table.coder[:2]) == [tables.OURS, tables.BLIND]
    assert table.file.is_monotonic_increasing
    assert dict(zip(table.coder, table.printed, strict=True))["JPEG 2000, box (Pillow)"] == 6.75
    assert math.isnan(table.printed[0])


def test_verdicts_follow_the_rates():
    assert said(rows6(), "printed rates") == "holds"
    assert said(rows6(**{"JPEG 2000, box (Pillow)": 6.9}), "printed rates") == "does not hold"
    assert said(rows6(), "shorter than codecs") == "does not hold"
    slow = dict.fromkeys(CODECS, 4.0)
    assert said(rows6(**slow), "shorter than codecs") == "holds"
    assert said(rows6(), "coordinates'") == "does not hold"
    assert said(rows6(blind=1.9), "coordinates'") == "holds"
    assert said(rows6(), "decodes exactly") == "holds"
    lost = rows6()
    lost.loc[lost.coder == tables.OURS, "exact"] = 8
    assert said(lost, "decodes exactly") == "does not hold"
    lost["seen"] = 1
    assert said(lost, "trained on") == "does not hold"


def test_own_networks_stand_image_by_image():
    rows = pd.DataFrame(
        [
            {"set": f"own kodak/native/{name}", "coder": coder, "file": rate}
            for name, coder, rate in (
                ("a", "PNG", 16.0), ("b", "PNG", 14.0), ("a", "ours", 10.0), ("b", "ours", 8.0)
            )
        ]
    )  # fmt: skip
    means = tables.own_means(rows)
    assert list(means.index) == ["ours", "PNG"] and list(means.columns) == ["a", "b", "mean"]
    assert means.loc["PNG"].tolist() == [16, 14, 15]


def scores(variant, exact, network_ber, residual=100, file=2240, n=4):
    rmse = 0.0 if exact else 2.0
    return pd.DataFrame(
        {
            "set": "mnist", "variant": variant, "name": [f"{k:04d}" for k in range(n)],
            "pixels": 784, "head_bits": 80, "block_bits": 2016, "residual_bits": residual,
            "file_bits": file, "kl_bits": 2020.0, "exact": exact, "rmse": rmse, "ssim": 0.9,
            "ber": 0.0 if exact else 0.1, "network_ber": network_ber, "network_rmse": 3.0,
            "network_ssim": 0.8, "updates": 10, "tune": 2, "prior_bytes": 900_000,
            "encode_s": 3.0, "decode_s": 0.01,
        }
    )  # fmt: skip


def test_bit_planes_have_a_row_with_and_one_without_the_residual():
    every = pd.concat([scores("value", False, 0.2), scores("planes", True, [0, 0, 0.1, 0.3])])
    table = tables.table7(every, load_published(), PRINTED).set_index("variant")
    assert list(table.index) == ["value", tables.THRESHOLDED, "planes"]
    plain, exact = table.loc[tables.THRESHOLDED], table.loc["planes"]
    assert (plain.exact, exact.exact) == (2, 4)
    assert plain.file == pytest.approx((80 + 2016) / 784) and exact.file == pytest.approx(
        2240 / 784
    )
    assert exact.psnr == math.inf and plain.psnr == pytest.approx(20 * math.log10(255 / 3))
    assert (plain.printed, plain.printed_psnr) == (2.58, math.inf)
    assert table.loc["value"].printed == 4.20 and np.isnan(exact.printed)


def test_verdicts_of_table7_follow_the_counts():
    other = pd.DataFrame(
        [{"set": "mnist", "coder": "ours, digits", "file": 1.3, "network_bytes": 9000}]
    )

    def verdict(every, word):
        table = tables.table7(every, load_published(), PRINTED)
        return next(v for v in tables.verdicts7(table, other) if word in v["claim"])["verdict"]

    some = scores("planes", True, [0, 0, 0.1, 0.3])
    assert verdict(some, "thresholded sample") == "not decided"
    assert verdict(scores("planes", True, 0.0), "thresholded sample") == "holds"
    assert verdict(some, "With a residual") == "holds"
    assert verdict(scores("planes", False, 0.1), "With a residual") == "does not hold"
    assert verdict(some, "shorter than a shared network") == "does not hold"
    short = scores("planes-free", True, 0.1, file=784)
    assert verdict(pd.concat([some, short]), "shorter than a shared network") == "holds"
    lossy = scores("value", False, 0.2)
    assert verdict(lossy, "printed PSNR") == "not decided"
    near = lossy.assign(rmse=0.9)
    assert verdict(near, "printed PSNR") == "holds"
