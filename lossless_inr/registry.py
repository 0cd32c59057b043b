"""Plug-ins by location: the file name is the name. Listing them imports nothing.

Snakemake reads the workflow in every job, so names, labels and parameters are read from the
source text; torch is imported only when a plug-in is used.
"""

from __future__ import annotations

import ast
import functools
import importlib
from pathlib import Path
from types import ModuleType

from lossless_inr.errors import UserError, suggest

PACKAGE = Path(__file__).parent
ROOMS = {"network": "networks", "representation": "representations"}
# The function whose keyword arguments are a plug-in's parameters.
BUILDER = {"network": "build", "representation": "__init__"}
# Arguments every network's `build` takes from the fit; the rest are its own parameters.
COMMON = {"axes", "outputs", "width", "hidden_layers"}


def names(kind: str) -> list[str]:
    """Names of the plug-ins of a kind (`network` or `representation`), sorted."""
    folder = PACKAGE / ROOMS[kind]
    return sorted(p.stem for p in folder.glob("*.py") if not p.stem.startswith("_"))


def check(kind: str, name: object) -> str:
    """Return `name` if such a plug-in exists.

    Raises
    ------
    UserError
        With the nearest known name.
    """
    if name not in names(kind):
        raise UserError(f"unknown {kind} '{name}'{suggest(name, names(kind))}")
    return str(name)


def path(kind: str, name: str) -> Path:
    """Source file of a plug-in."""
    return PACKAGE / ROOMS[kind] / f"{check(kind, name)}.py"


def load(kind: str, name: str) -> ModuleType:
    """Import a plug-in (this imports torch)."""
    return importlib.import_module(f"lossless_inr.{ROOMS[kind]}.{check(kind, name)}")


@functools.cache
def describe(kind: str, name: str) -> dict:
    """Label, citation and parameters of a plug-in, from its source text.

    Returns
    -------
    dict
        `label` (str), `citation` (the module docstring), `parameters` (name -> default), `bases`
        (names of the classes it extends), and for networks `shape`: `width` and `hidden_layers`
        of their own, or None.

    Raises
    ------
    UserError
        If the file cannot be parsed.
    """
    file = path(kind, name)
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except SyntaxError as error:
        raise UserError(f"{file.name}, line {error.lineno}: {error.msg}") from None
    label, shape, parameters, bases = name, None, {}, []
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            targets = {t.id for t in node.targets if isinstance(t, ast.Name)}
            if targets & {"LABEL", "label"}:
                label = ast.literal_eval(node.value)
            if "SHAPE" in targets:
                shape = ast.literal_eval(node.value)
        if isinstance(node, ast.ClassDef):
            bases += [base.id for base in node.bases if isinstance(base, ast.Name)]
        if isinstance(node, ast.FunctionDef) and node.name == BUILDER[kind]:
            for argument, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True):
                if argument.arg in COMMON or default is None:
                    continue
                try:
                    parameters[argument.arg] = ast.literal_eval(default)
                except ValueError:
                    raise UserError(
                        f"{file.name}, line {default.lineno}: write the default of "
                        f"'{argument.arg}' as a plain number or text, not as an expression"
                    ) from None
    citation = ast.get_docstring(tree) or ""
    return {
        "label": label,
        "citation": citation,
        "parameters": parameters,
        "bases": bases,
        "shape": shape,
    }
