"""The report's page of compression: rows by length, printed rates beside, exact files counted."""

import json

import pandas as pd
import pytest
from bs4 import BeautifulSoup

from lossless_inr.published import load_published
from lossless_inr.report.build import build_compression, environment
from lossless_inr.report.compression_page import compression_page

TABLE6 = """\
set,coder,images,file,low,high,payload,together,how,exact,network_bytes,train_s,encode_ms,decode_ms,peak_mib,library,settings,printed
mnist,"ours, digits",10,1.25,1.2,1.3,1.03,1.01,1 streams,10,8900,,8,7,300,lossless-inr,shared,
mnist,WebP,10,2.1,2.0,2.2,1.8,1.7,1 mosaic,10,,,0.3,0.2,90,pillow,level 100,2.11
own kodak/native/a,PNG,1,16,,,15,15,1 mosaic,1,,,1,1,90,imagecodecs,level 9,
own kodak/native/a,"ours, a network of its own",1,10,,,9,,,1,4000,30,20000,21000,500,lossless-inr,9,
own kodak/native/b,PNG,1,14,,,13,13,1 mosaic,1,,,1,1,90,imagecodecs,level 9,
own kodak/native/b,"ours, a network of its own",1,8,,,7,,,0,4200,40,22000,23000,500,lossless-inr,9,
"""
TABLE7 = """\
set,variant,title,images,file,low,high,blocks,kl,residual,exact,psnr,ssim,rmse,ber,updates,prior_bytes,encode_s,decode_ms,printed,printed_psnr,printed_ssim,printed_rmse
mnist,planes,with a residual,4,2.7,2.6,2.8,2.571,2.58,0.03,4,inf,1.0,0.0,0.0,600,940080,3,20,,,,
"""
SAID = {"verdicts": [{"claim": "Files decode", "verdict": "does not hold", "reason": "1 of 2 <b>"}]}


@pytest.fixture
def results(tmp_path):
    folder = tmp_path / "miniature/compression"
    folder.mkdir(parents=True)
    (folder / "table6.csv").write_text(TABLE6)
    left_out = {"left_out": ["fashion_mnist"]}
    (folder / "table6-verdicts.json").write_text(json.dumps(SAID | left_out))
    return folder.parent


def shown(page) -> str:
    html = environment().get_template("page_compression.html.j2").render(compression=page)
    return " ".join(BeautifulSoup(html, "html.parser").get_text(" ").split())


def test_rows_stand_with_the_printed_rate_and_own_networks_by_their_mean(results, tmp_path):
    page = compression_page(results, load_published(), reference=tmp_path / "none")
    (section,) = page["table6"]["sections"]
    assert [row["printed"] for row in section["rows"]] == [None, 2.11] and section["paper"] == 2.58
    own = page["table6"]["own"]
    assert own["images"] == ["a", "b"] and own["rows"] == [
        ("ours, a network of its own", [10, 8, 9]),
        ("PNG", [16, 14, 15]),
    ]
    assert (own["exact"], own["files"], own["network_bytes"]) == (1, 2, 4100)
    assert page["table7"] is None and not page["table6"]["committed"]
    text = shown(page)
    assert "1 of 2 decoded exactly" in text and "ours, digits 10 1.250 1.200 to 1.300 –" in text
    assert "1 of 2 <b>." in text and "in the mirror: fashion_mnist" in text


def test_a_table_that_was_not_measured_here_is_the_committed_one(results, tmp_path):
    reference = tmp_path / "reference"
    reference.mkdir()
    (reference / "table7.csv").write_text(TABLE7)
    (reference / "table7-verdicts.json").write_text(json.dumps(SAID | {"left_out": []}))
    page = compression_page(results, load_published(), reference=reference)
    assert page["table7"]["committed"] and page["table7"]["sections"][0]["name"] == "mnist"
    assert "Measured once and committed" in shown(page) and "4 of 4 ∞" in shown(page)
    alone = compression_page(results, load_published(), reference=reference, here_only=True)
    assert alone["table7"] is None


def test_there_is_no_page_without_numbers(tmp_path):
    nowhere = tmp_path / "nowhere"
    assert compression_page(nowhere, load_published(), reference=nowhere) is None


def test_the_report_of_compression_alone_is_one_offline_file(results, tmp_path):
    output = tmp_path / "compression.html"
    build_compression(scale="miniature", results=results, output=output)
    page = BeautifulSoup(output.read_text(), "html.parser")
    assert page.select_one("header a")["href"] == "#compression" and page.find(id="compression")
    assert not page.select("link, img[src^=http], script[src]")
    assert len(pd.read_csv(results / "compression/table6.csv")) == 6
