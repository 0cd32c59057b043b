"""The contract over every plug-in on the disk, and over broken ones, which it must catch."""

import textwrap
import time
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from lossless_inr import registry
from lossless_inr.cli import app
from lossless_inr.datasets.catalog import Catalog
from lossless_inr.errors import PluginError, UserError
from lossless_inr.experiments.plan import Plan
from lossless_inr.experiments.spec import Config
from lossless_inr.extend import check, contract, new
from lossless_inr.fitting.fit import Resources, run_or_record_failures

EVERY = [
    pytest.param(kind, name, one, id=f"{name}-{one.__name__}")
    for kind in registry.ROOMS
    for name in registry.names(kind)
    for one in contract.CHECKS[kind]
]


@pytest.fixture
def folder(tmp_path):
    """A plug-in folder that is searched during the test."""
    (tmp_path / "networks").mkdir()
    (tmp_path / "representations").mkdir()
    yield tmp_path
    registry.use([])


def network(folder, name, body, docstring='"""Someone et al., Somewhere 2020."""'):
    head = f"{docstring}\nimport torch\nfrom lossless_inr.networks._base import CoordinateMLP\n"
    text = head + textwrap.dedent(body)
    (folder / f"networks/{name}.py").write_text(text)
    registry.use([str(folder)])


@pytest.mark.parametrize(("kind", "name", "one"), EVERY)
def test_a_plug_in_keeps_its_contract(kind, name, one):
    one(name)


MLP = "CoordinateMLP(len(axes), {outputs}, width, hidden_layers, lambda z, i: {activation})"
BUILD = "def build(*, axes, outputs, width, hidden_layers{more}):\n    {first}\n    return {mlp}\n"


def build_text(*, outputs="outputs", activation="torch.tanh(z)", more="", first="pass"):
    mlp = MLP.format(outputs=outputs, activation=activation)
    return BUILD.format(more=more, first=first, mlp=mlp)


@pytest.mark.parametrize(
    ("words", "changes"),
    [
        ("outputs of an image have shape (24, 2), not (24, 1)", {"outputs": "outputs + 1"}),
        ("are not finite", {"activation": "z / 0"}),
        ("gradient is zero everywhere", {"activation": "0 * z"}),
        ("depend on the other rows", {"activation": "torch.tanh(z - z.mean(0))"}),
        ("two seeds are equal", {"first": "torch.manual_seed(0)"}),
        ("'gain' changes nothing", {"more": ", gain=1.0"}),
        ("network outputs: KeyError: 'no such'", {"first": "{}['no such']"}),
        ("no 4x4 image of 4 bits is lossless", {"activation": "z"}),
    ],
)
def test_a_network_that_breaks_its_contract_is_caught(folder, monkeypatch, words, changes):
    monkeypatch.setattr(contract, "FIT_UPDATES", 200)
    network(folder, "broken", build_text(**changes))
    assert words in contract.first_fault("network", "broken")


@pytest.mark.parametrize(
    ("words", "text", "docstring"),
    [
        ("line 4: ", "def build(:\n", '"""D."""'),
        ("no docstring", build_text(), ""),
        ("no function 'build'", "x = 1\n", '"""D."""'),
        ("no keyword argument 'axes'", "def build(outputs):\n    pass\n", '"""D."""'),
        ("write the default of 'k'", build_text(more=", k=1 / 3"), '"""D."""'),
        ("RANGES names 'k'", "RANGES = {'k': (0, 1)}\n" + build_text(), '"""D."""'),
    ],
)
def test_what_the_text_already_tells_is_told_without_an_import(folder, words, text, docstring):
    network(folder, "broken", text, docstring)
    line = registry.fault("network", "broken")
    assert words in line and "broken.py" in line and "\n" not in line
    assert check.in_own_process("network", "broken") == line
    assert "broken" in registry.names("network")
    assert "broken" not in registry.usable("network")


def test_an_import_that_hangs_or_prints_or_ends_the_process_is_told(folder):
    network(folder, "slow", "import time\ntime.sleep(60)\n" + build_text())
    network(folder, "loud", "print('hello')\n" + build_text())
    network(folder, "gone", "import os\nos._exit(3)\n" + build_text())
    assert check.in_own_process("network", "loud") == ""
    assert "not done after 8 s" in check.in_own_process("network", "slow", limit=8)
    assert "ended with code 3" in check.in_own_process("network", "gone")


def test_an_import_that_hangs_ends_in_a_process_of_ours_too(folder, monkeypatch):
    network(folder, "slow", "import time\ntime.sleep(60)\n" + build_text())
    monkeypatch.setattr(registry, "IMPORT_LIMIT", 0.2)
    begun = time.monotonic()
    with pytest.raises(PluginError, match=r"importing it took more than 0\.2 s"):
        registry.load("network", "slow")
    assert time.monotonic() - begun < 30
    network(folder, "faulty", "raise ValueError('no')\n" + build_text())
    for _ in range(2):  # the second is told without trying again
        with pytest.raises(PluginError, match="cannot be imported: ValueError: no"):
            registry.load("network", "faulty")


def test_a_name_that_is_taken_and_a_folder_that_is_none_are_refused(folder):
    (folder / "networks/siren.py").write_text('"""D."""\n')
    with pytest.raises(UserError, match=r"'siren' is in .* already; rename"):
        registry.use([str(folder)])
    with pytest.raises(UserError, match="is no folder, and no installed package"):
        registry.use(["nowhere"])
    (folder / "empty").mkdir()
    with pytest.raises(UserError, match="has no networks/ or representations/"):
        registry.use([str(folder / "empty")])


def test_a_check_says_that_the_contract_is_kept_or_what_is_not():
    done = CliRunner().invoke(app, ["list", "networks", "--check", "--only", "siren"])
    assert done.exit_code == 0, done.output
    assert done.stdout.split() == ["siren", "SIREN"]
    assert done.stderr == "1 of 1 keep their contract\n"


def smoke(**changes):
    return Config(**{"scale": "smoke", "only": ["matrix"]} | changes)


# Networks whose text tells nothing -> what the record of their fit says.
BROKEN = {
    "late": (build_text(first="raise RuntimeError('later')"), "later"),
    "wide": (build_text(outputs="outputs + 1"), "must match the size"),
    "absent": ("import no_such_package\n" + build_text(), "No module named 'no_such_package'"),
    "ends": ("import sys\nsys.exit(0)\n" + build_text(), "cannot be imported: SystemExit"),
    "hangs": ("import time\ntime.sleep(60)\n" + build_text(), "importing it took more than 1 s"),
}


def test_a_broken_plug_in_stops_no_other(folder, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(registry, "IMPORT_LIMIT", 1)
    network(folder, "text", "def build(:\n")
    network(folder, "loud", "print('hello')\n" + build_text())
    for name, (text, _) in BROKEN.items():
        network(folder, name, text)
    plan = Plan(smoke(plugins=[str(folder)]))
    assert "text.py" in caplog.text and "left out of 'all'" in caplog.text
    fits = [f for f in plan.all_fits if f.representation == "direct" and f.kind == "photo"]
    names = {fit.network for fit in fits}
    assert {*BROKEN, "loud", "siren"} <= names and "text" not in names
    chosen = [fit for fit in fits if fit.network in {*BROKEN, "loud", "siren"}]
    samples = plan.catalog.prepare(chosen[0].signal)
    for fit in chosen:
        (record,) = run_or_record_failures(
            [fit], [samples], [tmp_path / "out" / fit.folder], Resources(device="cpu", threads=1)
        )
        assert record.status == ("failed" if fit.network in BROKEN else "budget_exhausted")
        assert fit.network not in BROKEN or BROKEN[fit.network][1] in record.error


def test_an_installed_package_is_searched_when_the_config_names_it(tmp_path, monkeypatch):
    package = tmp_path / "my_inrs"
    (package / "networks").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "networks/mine.py").write_text('"""D."""\n' + build_text())
    facts = tmp_path / "my_inrs-1.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: my-inrs\nVersion: 1\n")
    (facts / "entry_points.txt").write_text("[lossless_inr.plugins]\nmine = my_inrs\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "mine" not in registry.names("network")
    try:
        registry.use(["mine"])
        assert "mine" in registry.usable("network")
        assert registry.path("network", "mine") == package / "networks/mine.py"
    finally:
        registry.use([])


# --- new ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", registry.ROOMS)
def test_a_new_plug_in_keeps_its_contract_and_is_planned(folder, kind):
    words = new.create(kind, "fresh", config=Config(), folder=folder)
    registry.use([str(folder)])
    assert str(registry.path(kind, "fresh")) in words
    for one in contract.CHECKS[kind]:
        one("fresh")
    plan = Plan(smoke(plugins=[str(folder)]))
    assert any(getattr(fit, kind) == "fresh" for fit in plan.all_fits)


def test_ranges_of_a_parameter_are_kept_to(folder):
    new.create("network", "fresh", config=Config(), folder=folder)
    registry.use([str(folder)])
    described = registry.describe("network", "fresh")
    assert described.parameters == {"period": 1.0} and described.ranges == {"period": (0.01, 100.0)}


def project(folder):
    """Settings of a project with its own recipes, experiments and table."""
    for name in ("recipes", "experiments"):
        (folder / name).mkdir()
    (folder / "datasets.tsv").write_text(Path("config/datasets.tsv").read_text(encoding="utf-8"))
    for name in ("recipes", "experiments"):
        for path in sorted(registry.PACKAGE.parent.glob(f"config/{name}/*.yaml")):
            (folder / name / path.name).write_text(path.read_text(encoding="utf-8"))
    return {
        "recipes": str(folder / "recipes"),
        "experiments": str(folder / "experiments"),
        "datasets": str(folder / "datasets.tsv"),
    }


def test_a_new_recipe_experiment_and_signal_set_are_valid(tmp_path):
    paths = project(tmp_path)
    config = Config(**paths)
    for kind, name in (("recipe", "mild"), ("experiment", "mine"), ("signal-set", "scans")):
        assert "Next: " in new.create(kind, name, config=config)
        with pytest.raises(UserError, match=r"taken|exists|already"):
            new.create(kind, name, config=config)
    plan = Plan(Config(**paths, scale="quick", only=["mine"]))
    assert "mild" in plan.recipes and len(plan.fits["mine"]) == 10
    (tmp_path / "my/scans").mkdir(parents=True)
    Image.new("RGB", (40, 50)).save(tmp_path / "my/scans/one.png")
    catalog = Catalog(tmp_path / "datasets.tsv", tmp_path)
    assert catalog.prepare("scans/32x32/one").samples.shape == (32, 32, 3)


@pytest.mark.parametrize(
    ("kind", "name", "words"),
    [
        ("netwrok", "a", "did you mean 'network'"),
        ("network", "siren", "taken"),
        ("network", "a-b", "write 'a_b'"),
        ("network", "../a", "is no name"),
        ("network", "class", "is no name"),
        ("recipe", "A b", "is no name"),
        ("recipe", "fast", "exists"),
        ("signal-set", "a/b", "may hold only"),
        ("signal-set", "kodak", "already"),
    ],
)
def test_a_name_that_cannot_be_is_refused(kind, name, words):
    with pytest.raises(UserError, match=words):
        new.create(kind, name, config=Config())


def test_the_list_says_which_plug_ins_are_not_usable(folder, monkeypatch):
    monkeypatch.setattr(check, "LIMIT", 60)
    network(folder, "text", "def build(:\n")
    monkeypatch.setattr(registry, "use", lambda *_: None)  # the shipped config names no folder
    done = CliRunner().invoke(app, ["list", "networks"])
    assert done.exit_code == 0
    assert "not usable: " in next(ln for ln in done.stdout.splitlines() if ln.startswith("text "))
    assert any(line.split() == ["siren", "SIREN"] for line in done.stdout.splitlines())
