"""Configs, specs, names, records and archives of others are data: nothing of them is run."""

import ast
import io
import json
import pickle
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from harness import ROOT, Project
from tiny import entry_of, noise_signal, refusal, spec_of

from lossless_inr.datasets.table import check_name
from lossless_inr.experiments import reference
from lossless_inr.experiments.plan import Plan
from lossless_inr.experiments.spec import Config
from lossless_inr.fitting import fit
from lossless_inr.fitting.kept import damage
from lossless_inr.fitting.record import FitSpec, Record
from lossless_inr.models.files import read as read_file
from lossless_inr.schema import read_yaml
from lossless_inr.signals import Signal

SIGNAL = noise_signal()
SOURCES = sorted(
    path
    for pattern in ("lossless_inr/**/*.py", "workflow/**/*.py", "benchmarks/*.py")
    for path in ROOT.glob(pattern)
)
# What would run, or unpickle, what it is given.
FORBIDDEN = {
    *("eval", "exec", "os.system", "os.popen", "pickle.load", "pickle.loads", "dill.load"),
    *("joblib.load", "marshal.loads", "marshal.load", "shelve.open", "pd.read_pickle"),
    *("yaml.load", "yaml.unsafe_load", "yaml.full_load", "torch.load", "subprocess.getoutput"),
}


class Trap:
    """Unpickling it leaves a file behind."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, "w"))


def calls(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), {k.arg: ast.unparse(k.value) for k in node.keywords}, node


def test_no_source_unpickles_evaluates_or_opens_a_shell():
    loads = 0
    for path in SOURCES:
        for name, given, node in calls(path):
            where = f"{path.relative_to(ROOT)}, line {node.lineno}"
            assert name not in FORBIDDEN, f"{where}: {name}"
            assert given.get("shell", "False") == "False", f"{where}: a shell"
            assert "allow_pickle" not in given or given["allow_pickle"] == "False", where
            if name in ("np.load", "numpy.load"):
                loads += 1
                assert given.get("allow_pickle") == "False", f"{where}: say allow_pickle=False"
        text = path.read_text(encoding="utf-8")
        assert not [line for line in text.splitlines() if line.startswith(("import pickle",))]
    assert loads >= 6  # the scan sees what is there


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.system ['touch TRAP']",
        "!!python/object/new:os.system ['touch TRAP']",
        "!!python/name:os.system",
        "&a [*a, !!python/module:os]",
    ],
)
def test_no_yaml_runs_anything(tmp_path, text):
    """Configs, recipes and experiments are all read by this."""
    trap, bad = tmp_path / "trap", tmp_path / "bad.yaml"
    bad.write_text(f"scale: {text.replace('TRAP', str(trap))}\n")
    line = refusal(read_yaml, bad)
    assert str(bad) in line and "not valid YAML" in line
    assert not trap.exists()


def test_no_config_is_run_by_the_command_nor_by_plain_snakemake(tmp_path):
    project = Project(tmp_path / "project")
    trap = project.folder / "trap"
    bomb = f"scale: !!python/object/apply:os.system ['touch {trap}']\n"
    project.write("config/smoke.yaml", bomb)
    code, output = project.run()
    assert code == 2 and "not valid YAML" in output and len(output.splitlines()) == 1
    done = project.python("-m", "snakemake", "-n", "--configfile", "config/smoke.yaml")
    assert done.returncode != 0 and "not valid" in done.stdout
    # Braces, quotes and shell words are text: of a folder that is not there.
    project.write(
        "config/smoke.yaml",
        f'scale: smoke\nexperiments: "$(touch {trap}); {{trap}} `touch {trap}`"\n',
    )
    code, output = project.run()
    assert code == 2 and "no experiment" in output
    assert not trap.exists()


BAD_NAMES = [
    "../up",
    "/etc/passwd",
    "a/../../b",
    "..",
    "",
    "a\0b",
    "a\nb",
    "a\\b",
    "C:\\x",
    "a\x1b[2J",
]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_of_tables_stay_in_their_folders(name):
    assert "may hold only" in refusal(check_name, name, "datasets.tsv")


@pytest.mark.parametrize("name", BAD_NAMES)
@pytest.mark.parametrize("key", ["signal", "network", "representation", "recipe"])
def test_names_of_a_record_stay_in_their_folders(tmp_path, key, name):
    record = entry_of(spec_of(SIGNAL)).record
    record.save(tmp_path)
    path = tmp_path / "record.json"
    data = json.loads(path.read_text())
    data["spec"][key] = name
    path.write_text(json.dumps(data))
    line = refusal(Record.load, path)
    assert f"spec.{key}" in line and "of its folder" in line


@pytest.mark.parametrize("name", ["a/b", "../b"])
def test_a_method_of_a_record_is_one_of_ours(tmp_path, name):
    """No file is imported because a record names it."""
    (tmp_path / "b.py").write_text("raise SystemExit('imported')")
    with pytest.raises(Exception, match="of its folder"):
        spec_of(SIGNAL, network=name)
    stranger = spec_of(SIGNAL, network="b")
    with pytest.raises(Exception, match="unknown network 'b'"):
        fit.build_network(stranger, fit.build_form(stranger))


def test_nothing_is_unpickled(tmp_path, monkeypatch):
    trap = tmp_path / "trap"
    pickled = pickle.dumps(Trap(trap))
    objects = io.BytesIO()
    np.save(objects, np.array([Trap(trap)], dtype=object), allow_pickle=True)
    archive = io.BytesIO()
    array = np.array([Trap(trap)], dtype=object)
    np.savez(archive, samples=array, metadata=array, last=array, best=array)
    spec = spec_of(SIGNAL)
    network = fit.build_network(spec, fit.build_form(spec))
    for content in (pickled, objects.getvalue(), archive.getvalue()):
        for name in ("a.npz", "a.npy", "a.png", "a.wav", "a.safetensors", "a.linr", "a.lic"):
            path = tmp_path / name
            path.write_bytes(content)
            assert not trap.exists()
            with pytest.raises(Exception) as caught:
                if name.endswith("npz"):
                    Signal.load(path)
                elif name.endswith("safetensors"):
                    fit.load_weights(network, path)
                elif name.endswith("linr"):
                    from lossless_inr import Model

                    Model.load(path)
                elif name.endswith("lic"):
                    from lossless_inr.coder.command import decompress

                    decompress(path, tmp_path / "out.png")
                else:
                    read_file(path)
            assert type(caught.value).__name__ == "UserError", caught.value
            assert not trap.exists(), name
    pickle.loads(pickled).close()
    assert trap.exists()  # the trap is one


def test_a_deep_record_is_refused_in_one_line(tmp_path):
    (tmp_path / "record.json").write_text('{"a":' * 100_000)
    assert "damaged record" in refusal(Record.load, tmp_path / "record.json")
    (tmp_path / "records.jsonl").write_text("[" * 100_000)
    assert "damaged" in refusal(reference.read, tmp_path / "records.jsonl")


def test_files_that_a_record_names_stay_in_its_folder(tmp_path):
    """Its own digests of files may name anything: nothing outside is opened."""
    record = entry_of(spec_of(SIGNAL)).record
    for name in ("../../etc/passwd", "/etc/passwd", "a\0b"):
        with pytest.raises(Exception, match="of its folder"):
            Record.model_validate(record.model_dump() | {"files": {name: "0" * 64}})
    good = record.model_copy(update={"files": {"weights.safetensors": "0" * 64}})
    assert "is missing" in damage(tmp_path, good)


def test_experiments_write_nowhere_else(tmp_path):
    """A spec's name is its file's, its scales are a closed list."""
    shutil.copytree(ROOT / "config", tmp_path / "config")
    path = tmp_path / "config/experiments/table1.yaml"
    path.write_text(path.read_text().replace("  smoke:", "  ../../smoke:", 1))
    config = Config(
        scale="smoke",
        datasets=str(tmp_path / "config/datasets.tsv"),
        recipes=str(tmp_path / "config/recipes"),
        experiments=str(tmp_path / "config/experiments"),
    )
    assert "unknown scale '../../smoke'" in refusal(Plan, config)


def test_spec_folders_stay_below_records():
    for changes in ({}, {"seed": 10**9}, {"recipe": "a..b"}):
        folder = Path(spec_of(SIGNAL, **changes).folder)
        assert folder.parts[0] == "records" and ".." not in folder.parts
    assert FitSpec.model_fields["signal"].metadata  # validated, not only by chance


def test_a_zip_with_a_link_makes_no_link(tmp_path):
    from lossless_inr.sharing import archive

    info = zipfile.ZipInfo("data/link")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr(info, "/etc/passwd")
    assert "a link" in refusal(archive.report_from, tmp_path / "a.zip", tmp_path / "p.html")


def test_a_table_of_a_few_bytes_and_endless_rows_is_refused(tmp_path, monkeypatch):
    from lossless_inr.sharing import archive

    pd.DataFrame({"a": np.zeros(100_000)}).to_parquet(tmp_path / "a.parquet")
    monkeypatch.setattr(archive, "MOST_CELLS", 50_000)
    line = refusal(archive._check_tables, tmp_path, tmp_path / "x.zip")
    assert "100,000 rows" in line and "are refused" in line
