"""Tables 6 and 7 at their smallest through the real workflow, alone and again."""

import io
import json
import re

import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from harness import Project

OPTIONS = ("--only", "table6", "--only", "table7")


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Project:
    project = Project(tmp_path_factory.mktemp("run") / "project")
    code, output = project.run(options=OPTIONS)
    assert code == 0, output
    assert "Traceback" not in output and "reports/smoke/compression.html" in output
    return project


def test_every_file_came_back_and_no_fit_was_made(finished):
    folder = finished.folder / "results/smoke"
    table = pd.read_csv(folder / "compression/table6.csv")
    assert set(table.set) == {"photos16", "chime", "own skimage/64x64/chelsea"}
    counted = table[table.exact.notna()]
    assert (counted.exact == counted.images).all() and len(counted) > 25
    assert {"FLAC, level 8", "AVIF lossless", "ours, photo"} <= set(table.coder)
    assert not (folder / "records").exists() and not (folder / "fits.parquet").exists()


def test_recombiner_decodes_in_a_process_that_never_saw_the_images(finished):
    folder = finished.folder / "results/smoke/compression"
    table = pd.read_csv(folder / "table7.csv").set_index("variant")
    assert table.loc["planes"].exact == table.loc["planes"].images == 2
    assert np.isinf(table.loc["planes"].psnr) and table.loc["value"].exact == 0
    files = sorted((folder / "recombined-grey28/planes/0").glob("*.rcb"))
    assert len(files) == 2
    size = np.mean([path.stat().st_size for path in files])
    assert table.loc["planes"].file == pytest.approx(8 * size / 784)
    said = json.loads((folder / "table7-verdicts.json").read_text())["verdicts"]
    assert any(v["verdict"] == "holds" and "With a residual" in v["claim"] for v in said)


def test_the_report_shows_both_tables(finished):
    page = BeautifulSoup(
        (finished.folder / "reports/smoke/compression.html").read_text(), "html.parser"
    )
    names = {table["data-name"] for table in page.select("table")}
    assert {"compression-photos16", "compression-own", "table7-grey28"} <= names


def test_nothing_is_left_to_do_and_a_missing_file_is_made_again(finished):
    code, output = finished.run("-n", options=OPTIONS)
    assert code == 0 and "Nothing to be done" in output
    rows = finished.folder / "results/smoke/compression/chime/codecs.csv"
    before = rows.read_bytes()
    rows.unlink()
    code, output = finished.run(options=OPTIONS)
    assert code == 0 and re.search(r"Rule: rate_coder\)", output), output
    assert "Rule: recombine)" not in output, output
    kept = ["coder", "images", "file"]
    assert pd.read_csv(rows)[kept].equals(pd.read_csv(io.BytesIO(before))[kept])


def test_a_scale_without_compression_is_refused_in_one_line(finished):
    code, output = finished.run(options=(*OPTIONS, "--scale", "quick"))
    assert code != 0 and "nothing is compressed at scale 'quick'" in output
    assert "Traceback" not in output
