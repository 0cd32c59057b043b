"""What `export` gives away: no user, host, folder of this machine, nor any of its variables."""

import getpass
import os
import re
import socket
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from harness import Project

from lossless_inr.private import anonymous

SECRET = "hunter2-token-of-nobody"
HEADER = (
    "set\tname\ttitle\tkind\tbits\tsource_bits\tsource_shape\tsource\tsha256\tprepare\toffset\t"
    "licence\tcitation\n"
)
EXPERIMENT = """\
title: one
layout: table
scales:
  smoke:
    baselines: [codecs, absent]
    shape: {hidden_layers: 1, width: 16}
    signals: [mine/8x8/picture]
    fits:
      - signals: all
        network: [siren, broken]
        representation: bithead
        recipe: fast
        iterations: 300
"""
# Fails with what errors are full of.
BROKEN = """\
    import os, socket
    raise FileNotFoundError(
        2, f"{os.environ['SECRET_TOKEN'][:0]}no file on {socket.gethostname()}",
        os.path.expanduser("~/private project/weights of jane/a.bin"),
    )
    network = Coord"""
ABSENT = """\
rule absent:
    input:
        "data/prepared/{signal}.raw",
    output:
        directory("results/{scale}/answers/absent/{signal}"),
    log:
        "logs/{scale}/answers/absent/{signal}.log",
    params:
        run=outside(limit=10),
    shell:
        "{params.run} run HOME/bin/encoder {input} {output} 2> {log}"
"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The archive of a project in a telling folder, and what must not be in it."""
    home = tmp_path_factory.mktemp("home") / "jane-doe-home"
    folder = home / "secret-project-folder"
    project = Project(folder)
    host = socket.gethostname()
    data = home / "downloads-of-jane"
    data.mkdir()
    np.save(data / "picture.npy", np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8))
    cells = ["mine", "picture", "Mine", "photo", 8, 8, "8x8x3", f"file:{data / 'picture.npy'}"]
    cells += ["", "crop", "", "mine", ""]
    project.write("mine/datasets.tsv", HEADER + "\t".join(map(str, cells)) + "\n")
    project.write("mine/experiments/one.yaml", EXPERIMENT)
    source = (folder / "lossless_inr/networks/siren.py").read_text()
    assert "    network = Coord" in source
    project.write(
        "lossless_inr/networks/broken.py", source.replace("    network = Coord", BROKEN, 1)
    )
    project.write("workflow/rules/baselines/absent.smk", ABSENT.replace("HOME", str(home)))
    # Settings by absolute paths, in and out of the project.
    recipes = home / "recipes-of-jane"
    (folder / "config/recipes").rename(recipes)
    project.write(
        "mine/config.yaml",
        f"scale: smoke\nfit: {{device: cpu, shards: 1}}\nrecipes: {recipes}\n"
        f"datasets: {folder / 'mine/datasets.tsv'}\nexperiments: mine/experiments\n",
    )
    project.environment |= {"HOME": str(home), "SECRET_TOKEN": SECRET, "USER": "jane-doe"}
    project.environment |= {"LOGNAME": "jane-doe"}
    code, output = project.run(configfile="mine/config.yaml")
    assert code != 0 and "1 fits failed" in output, output
    done = project.python(
        *("-m", "lossless_inr.cli", "export", "--scale", "smoke", "--weights"),
        *("--configfile", "mine/config.yaml", "-o", "shared.zip"),
    )
    assert done.returncode == 0, done.stderr
    private = [SECRET, "jane", "secret-project-folder", str(folder), str(home), sys.prefix]
    private += [word for word in (host,) if len(word) > 3]
    return project.folder / "shared.zip", private, project


def contents(archive: Path):
    """(name, bytes) of everything, of the members of arrays as well."""
    with zipfile.ZipFile(archive) as outer:
        for name in outer.namelist():
            content = outer.read(name)
            yield name, content
            if name.endswith(".npz"):
                with outer.open(name) as file, zipfile.ZipFile(file) as inner:
                    for part in inner.namelist():
                        # Text of arrays is in four bytes a letter.
                        yield f"{name}!{part}", inner.read(part).replace(b"\0", b"")


def test_an_archive_names_no_user_host_folder_or_secret(exported):
    archive, private, _ = exported
    names = set()
    for name, content in contents(archive):
        names.add(Path(name.partition("!")[0]).name)
        for word in private:
            assert word.encode() not in content, f"{name}: {word}"
            assert word not in name
    assert {"record.json", "weights.safetensors", "scores.jsonl", "datasets.tsv"} <= names
    assert {"fits.parquet", "one.csv", "one.yaml", "fast.yaml", "picture.npz"} <= names


def test_columnar_files_name_none_either(exported, tmp_path):
    """Their pages are packed: bytes alone do not tell."""
    import pandas as pd

    archive, private, _ = exported
    with zipfile.ZipFile(archive) as file:
        file.extractall(tmp_path)
    tables = list(tmp_path.rglob("*.parquet"))
    assert len(tables) >= 4
    for path in tables:
        text = pd.read_parquet(path).to_csv()
        assert not [word for word in private if word in text], path


def test_the_report_names_none_either(exported):
    _, private, project = exported
    text = (project.folder / "reports/smoke/report.html").read_text(encoding="utf-8")
    assert "FileNotFoundError" in text and "a.bin" in text  # what happened is told
    assert not [word for word in private if word in text]


def test_messages_keep_what_they_are_about():
    here, home = os.getcwd(), str(Path.home())
    assert anonymous(f"{here}/lossless_inr/x.py: bad") == "lossless_inr/x.py: bad"
    assert anonymous(f"no such file: '{home}/a b/c/x y.png'") == "no such file: '…/x y.png'"
    assert anonymous("file:/data/of/me/x.npy") == "file:…/x.npy"
    for same in ("results/smoke/a: b", "see https://a.org/b/c", "fetched:a.tar!in/b", "a / b"):
        assert anonymous(same) == same
    user, host = getpass.getuser(), socket.gethostname()
    text = anonymous(f"on {host} as {user}")
    for word in (user, host):
        assert word not in re.split(r"\W+", text) or len(word) < 5 or word in ("admin", "debian")
