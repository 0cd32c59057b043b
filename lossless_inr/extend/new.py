"""`lossless-inr new KIND NAME`: a working, commented file from a template. Imports no torch."""

from __future__ import annotations

import datetime
import keyword
import re
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from lossless_inr import registry
from lossless_inr.datasets.table import check_name
from lossless_inr.errors import UserError, suggest
from lossless_inr.experiments.spec import Config
from lossless_inr.files import replacing

TEMPLATES = Path(__file__).parent / "templates"
KINDS = ("network", "representation", "recipe", "signal-set", "experiment")


def create(kind: str, name: str, *, config: Config, folder: Path | None = None) -> str:
    """Write the file of a new plug-in, or the row of a new signal set.

    Parameters
    ----------
    kind : {"network", "representation", "recipe", "signal-set", "experiment"}
    name : str
        Becomes the file's name.
    config : Config
        Tells where recipes, experiments and the dataset table are.
    folder : Path, optional
        A plug-in folder of one's own for networks and representations; default: this package.

    Returns
    -------
    str
        What was written, and how to try it.

    Raises
    ------
    UserError
        If the name cannot be one, or is taken.
    """
    if kind not in KINDS:
        raise UserError(f"unknown kind '{kind}'{suggest(kind, KINDS)}")
    if kind == "signal-set":
        return _signal_set(check_name(name, "new signal-set"), config)
    if not re.fullmatch(r"[a-z][a-z0-9_-]*", name) or keyword.iskeyword(name):
        raise UserError(f"new {kind}: '{name}' is no name; write small letters, digits and '_'")
    if kind in registry.ROOMS:
        if "-" in name:
            raise UserError(f"new {kind}: write '{name.replace('-', '_')}': a module has no '-'")
        if name in registry.names(kind):
            raise UserError(f"new {kind}: '{name}' is taken: {registry.path(kind, name)}")
        path = (folder or registry.PACKAGE) / registry.ROOMS[kind] / f"{name}.py"
        hint = f"lossless-inr list {kind}s --check --only {name}; lossless-inr run --scale smoke"
        if folder is not None:
            hint = f"add '{folder}' to plugins: in config/config.yaml, then {hint}"
    else:
        path = Path(config.recipes if kind == "recipe" else config.experiments) / f"{name}.yaml"
        hint = "name it in an experiment" if kind == "recipe" else f"make {name} SCALE=smoke"
    if path.exists():
        raise UserError(f"{path}: exists; choose another name")
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(path, _render(f"{kind}{path.suffix}.j2", name))
    return f"{path}\nNext: {hint}"


def _render(template: str, name: str) -> str:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, keep_trailing_newline=True,
        autoescape=False,
    )  # fmt: skip
    words = name.replace("_", " ").replace("-", " ")
    return environment.get_template(template).render(
        name=name, title=words.capitalize(), label=words, year=datetime.date.today().year
    )


def _write(path: Path, text: str) -> None:
    with replacing(path, "w", encoding="utf-8") as file:
        file.write(text)


def _signal_set(name: str, config: Config) -> str:
    table = Path(config.datasets)
    content = table.read_text(encoding="utf-8")
    if any(line.split("\t")[0] == name for line in content.splitlines()):
        raise UserError(f"new signal-set: '{name}' is in {table} already")
    row = _render("signals.tsv.j2", name)
    _write(table, content + ("" if content.endswith("\n") else "\n") + row)
    return (
        f"{table}: one more row, for every my/{name}/*.png; its columns are in config/README.md\n"
        f"Next: put pictures there, then make data DATASET={name}"
    )
