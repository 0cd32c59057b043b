"""The report's page of compression: rows by length, printed rates beside, exact files counted."""

import pytest
from bs4 import BeautifulSoup

from lossless_inr.published import load_published
from lossless_inr.report.build import environment
from lossless_inr.report.compression_page import FILES, compression_page

HEAD = "coder,images,file,low,high,payload,encode_ms,together,exact,decode_ms\n"
MNIST = HEAD + (
    "zero-order entropy,10,1.9,,,,,,,\n"
    '"WebP lossless, level 100",10,2.1,2.0,2.2,1.8,0.3,,,\n'
    '"ours, digits",10,1.25,1.2,1.3,1.03,8,1.01,10,7\n'
)
NATIVE = (
    "coder,bpp,encode_s,network_bytes,exact,train_s,decode_s,image\n"
    "PNG,16,1,,,,,a\nours,10,20,4000,True,30,21,a\nPNG,14,1,,,,,b\nours,8,22,4200,False,40,23,b\n"
)


@pytest.fixture
def folder(tmp_path):
    for name, text in zip(
        FILES, (MNIST, HEAD + "JPEG XL,3,11,10,12,10,80,,,\n", NATIVE), strict=True
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_rows_stand_by_length_with_the_printed_rate(folder):
    page = compression_page(folder, load_published())
    assert [row["coder"][:4] for row in page["mnist"]] == ["ours", "zero", "WebP"]
    assert [row["printed"] for row in page["mnist"]] == [None, None, 2.11]
    assert page["paper"] == 2.58
    native = page["native"]
    assert native["images"] == ["a", "b"] and native["rows"] == [
        ("ours", [10, 8, 9]),
        ("PNG", [16, 14, 15]),
    ]
    assert (native["exact"], native["files"], native["network_bytes"]) == (1, 2, 4100)


def test_the_page_is_drawn_and_is_not_there_without_numbers(folder, tmp_path):
    page = compression_page(folder, load_published())
    html = environment().get_template("page_compression.html.j2").render(compression=page)
    text = " ".join(BeautifulSoup(html, "html.parser").get_text(" ").split())
    assert "1 of 2 decoded exactly" in text and "ours, digits 10 1.250 1.200 to 1.300 –" in text
    assert compression_page(tmp_path / "nowhere", load_published()) is None
