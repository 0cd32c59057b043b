"""Data that has to be fetched, through the real workflow and a real server on loopback."""

import hashlib
import io
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image
from test_faults import ONE_FIT, clear_failure

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "datasets"))
from server import Server

COLUMNS = (
    "set\tname\ttitle\tkind\tbits\tsource_bits\tsource_shape\tsource\tsha256\tprepare\toffset\t"
    "address\tdigest\tlicence\tcitation\n"
)
SIGNALS = "pictures/8x8/one, sounds/40/two"


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def picture():
    pixels = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "png")
    return out.getvalue()


def archive():
    out, sound = io.BytesIO(), io.BytesIO()
    pcm = np.random.default_rng(0).integers(-30_000, 30_000, 99).astype(np.int16)
    soundfile.write(sound, pcm, 8000, format="FLAC", subtype="PCM_16")
    with tarfile.open(fileobj=out, mode="w:gz") as file:
        info = tarfile.TarInfo("in/two.flac")
        info.size = len(sound.getvalue())
        file.addfile(info, io.BytesIO(sound.getvalue()))
    return out.getvalue(), sound.getvalue()


@pytest.fixture
def servers():
    both = Server(picture()), Server(archive()[0])
    yield both
    for server in both:
        server.stop()


def set_up(project, servers, fault="plain", mirror=""):
    packed, sound = archive()
    pictures, sounds = (server.address(fault) for server in servers)
    cells = ["pictures", "one", "One", "photo", 8, 8, "20x20x3", "fetched:one.png"]
    rows = "\t".join(
        map(str, [*cells, sha256(picture()), "resize", "", f"seen={pictures}", "", "mine", ""])
    )
    cells = ["sounds", "two", "Two", "audio", 16, 16, "99x1", "fetched:all.tar.gz!in/two.flac"]
    digest = f"sha256:{sha256(packed)}"
    rows += "\n" + "\t".join(
        map(str, [*cells, sha256(sound), "crop", "5", f"seen={sounds}", digest, "mine", ""])
    )
    project.write("mine/datasets.tsv", COLUMNS + rows + "\n")
    project.write("mine/experiments/one.yaml", ONE_FIT.format(signals=SIGNALS))
    project.write(
        "mine/config.yaml",
        f"scale: smoke\nfit: {{device: cpu, shards: 1}}\nfetch: {{mirror: '{mirror}', limit: 20}}\n"
        "datasets: mine/datasets.tsv\nexperiments: mine/experiments\n",
    )
    return "mine/config.yaml"


def test_fetch_prepare_fit_verify_and_report_in_one_command(project, servers):
    config = set_up(project, servers)
    code, output = project.run(configfile=config)
    assert code == 0, output
    report = (project.folder / "reports/smoke/report.html").read_text()
    assert "2 of 2" in report and "Two" in report
    assert [len(server.requests) for server in servers] == [1, 1]
    records = project.records()
    assert len(records) == 2
    for server in servers:
        server.stop()  # a complete set never touches the network again
    code, output = project.run(configfile=config)
    assert code == 0 and project.records() == records
    for path in (project.folder / "data/prepared").rglob("*.npz"):
        path.unlink()
    code, output = project.run(configfile=config)
    assert code == 0, output
    assert project.records() == records  # the same samples: no fit runs again


def test_what_cannot_be_fetched_is_one_line_and_the_rest_goes_on(project, servers):
    config = set_up(project, servers)
    table = (project.folder / "mine/datasets.tsv").read_text()
    project.write("mine/datasets.tsv", table.replace("/plain/file\t\tmine", "/404/file\t\tmine"))
    code, output = project.run("--keep-going", configfile=config)
    clear_failure(code, output, "error: pictures: cannot fetch one.png", "404", "MIRROR")
    assert (project.folder / "data/prepared/sounds/40/two.npz").exists()
    project.write("mine/datasets.tsv", table)  # the server is well again: the same command
    code, output = project.run(configfile=config)
    assert code == 0 and len(project.records()) == 2


def test_a_mirror_of_the_config_needs_no_server(project, servers):
    mirror = project.folder / "mirror"
    (mirror / "sounds/in").mkdir(parents=True)
    (mirror / "one.png").write_bytes(picture())
    (mirror / "sounds/in/two.flac").write_bytes(archive()[1])
    config = set_up(project, servers, fault="down", mirror="mirror")
    code, output = project.run(configfile=config)
    assert code == 0, output
    assert [len(server.requests) for server in servers] == [0, 0]
    assert len(project.records()) == 2


def test_a_deleted_file_is_fetched_when_it_is_needed_and_a_changed_pin_stops_the_run(
    project, servers
):
    config = set_up(project, servers)
    code, output = project.run("--until", "prepare", configfile=config)
    assert code == 0, output
    raw = project.folder / "data/raw/pictures/one.png"
    raw.unlink()
    code, output = project.run("--until", "prepare", configfile=config)
    assert code == 0, output
    assert not raw.exists()  # prepared already: nobody needs it
    assert [len(server.requests) for server in servers] == [1, 1]
    pins = "signal\tsha256\n" + f"pictures/8x8/one\t{'0' * 64}\n"
    project.write("mine/prepared.tsv", pins)
    code, output = project.run("--until", "prepare", configfile=config)
    clear_failure(code, output, "pictures/8x8/one", "pinned in", "prepared.tsv")
    assert raw.exists() and [len(server.requests) for server in servers] == [2, 1]
    project.write("mine/prepared.tsv", "signal\tsha256\n")
    code, output = project.run("--until", "prepare", configfile=config)
    assert code == 0, output
    assert (project.folder / "data/prepared/pictures/8x8/one.npz").exists()
