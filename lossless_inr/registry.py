"""Plug-ins by location: the file name is the name. Listing them imports nothing.

Snakemake reads the workflow in every job, so names, labels and parameters are read from the
source text; torch is imported only when a plug-in is used. Beside this package's own rooms,
folders and installed packages that the config names are searched (`use`).
"""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.metadata
import importlib.util
import os
import signal
import sys
import threading
from collections.abc import Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from lossless_inr.errors import PluginError, UserError, suggest

PACKAGE = Path(__file__).parent
ROOMS = {"network": "networks", "representation": "representations"}
# The function whose keyword arguments are a plug-in's parameters.
BUILDER = {"network": "build", "representation": "__init__"}
# Arguments every network's `build` takes from the fit; the rest are its own parameters.
COMMON = ("axes", "outputs", "width", "hidden_layers")
# Group under which an installed package announces its plug-ins: name = its import name.
ENTRY_POINTS = "lossless_inr.plugins"
# Child processes, Snakemake's jobs too, inherit the searched folders.
VARIABLE = "LOSSLESS_INR_PLUGINS"
# Seconds that importing a plug-in may take; one that hangs must not hold up a shard.
IMPORT_LIMIT = 60
# Files (as they were then) whose import failed, and why: each is tried, and waited for, once.
_not_importable: dict[tuple[Path, int], str] = {}


@dataclass(frozen=True)
class Description:
    """What a plug-in's source text says.

    Attributes
    ----------
    label, citation : str
        Name in tables; module docstring.
    parameters : dict
        Name -> default.
    ranges : dict
        Parameter -> (smallest, largest), from the literal `RANGES`.
    choices : dict
        Parameter -> the values it may have, from the literal `CHOICES`.
    bases : tuple of str
        Names of the classes it extends.
    shape : dict or None
        `width` and `hidden_layers` of a network's own, from the literal `SHAPE`.
    on_request : bool
        Whether `all` leaves it out, from the literal `ON_REQUEST`.
    """

    label: str
    citation: str = ""
    parameters: dict = field(default_factory=dict)
    ranges: dict = field(default_factory=dict)
    choices: dict = field(default_factory=dict)
    bases: tuple[str, ...] = ()
    shape: dict | None = None
    on_request: bool = False


def use(plugins: Iterable[str], root: Path = Path(".")) -> None:
    """Search these folders and installed packages too, in this process and its children.

    Parameters
    ----------
    plugins : iterable of str
        Folders with `networks/` or `representations/` in them, or names of the entry-point group
        `lossless_inr.plugins`.
    root : Path
        What relative folders are relative to.

    Raises
    ------
    UserError
        If one is neither, or holds a name that is taken.
    """
    folders = [_folder(plugin, root) for plugin in plugins]
    os.environ[VARIABLE] = os.pathsep.join(map(str, folders))
    describe.cache_clear()
    for kind in ROOMS:
        taken: dict[str, Path] = {}
        for path in _files(kind):
            if path.stem in taken:
                raise UserError(
                    f"{path}: the {kind} '{path.stem}' is in {taken[path.stem].parent} already; "
                    "rename the file"
                )
            taken[path.stem] = path


def _folder(plugin: str, root: Path) -> Path:
    place = root / Path(plugin).expanduser()
    if place.is_dir():
        folder = place.resolve()
        where = "folder"
    else:
        points = {p.name: p.value for p in importlib.metadata.entry_points(group=ENTRY_POINTS)}
        if plugin not in points:
            raise UserError(
                f"plugins: '{plugin}' is no folder, and no installed package announces it "
                f"under '{ENTRY_POINTS}'{suggest(plugin, points)}"
            )
        found = importlib.util.find_spec(points[plugin])
        if found is None or not found.submodule_search_locations:
            raise UserError(f"plugins: '{plugin}' names {points[plugin]}, which is no package")
        folder = Path(next(iter(found.submodule_search_locations))).resolve()
        where = "package"
    if not any((folder / room).is_dir() for room in ROOMS.values()):
        rooms = " or ".join(f"{room}/" for room in ROOMS.values())
        raise UserError(f"plugins: the {where} {folder} has no {rooms}")
    return folder


def folders() -> list[Path]:
    """Where plug-ins are searched: this package, then what `use` added."""
    added = os.environ.get(VARIABLE, "")
    return [PACKAGE, *(Path(part) for part in added.split(os.pathsep) if part)]


def _files(kind: str) -> list[Path]:
    found = [p for folder in folders() for p in (folder / ROOMS[kind]).glob("*.py")]
    return sorted((p for p in found if not p.stem.startswith("_")), key=lambda p: p.stem)


def names(kind: str) -> list[str]:
    """Names of the plug-ins of a kind (`network` or `representation`), sorted."""
    return [path.stem for path in _files(kind)]


def usable(kind: str) -> list[str]:
    """Names of the plug-ins whose source text says what it must."""
    return [name for name in names(kind) if not fault(kind, name)]


def every(kind: str) -> list[str]:
    """What `all` means: those that are usable, but for those `ON_REQUEST`."""
    return [name for name in usable(kind) if not describe(kind, name).on_request]


def fault(kind: str, name: str) -> str:
    """Why a plug-in cannot be used, as far as its source text tells; "" if it can."""
    try:
        describe(kind, name)
    except UserError as error:
        return str(error)
    return ""


def faults() -> list[str]:
    """A line for every plug-in that cannot be used."""
    every = [fault(kind, name) for kind in ROOMS for name in names(kind)]
    return [line for line in every if line]


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
    check(kind, name)
    return next(p for p in _files(kind) if p.stem == name)


def load(kind: str, name: str) -> ModuleType:
    """Import a plug-in (this imports torch).

    Raises
    ------
    UserError
        If there is no such plug-in.
    PluginError
        If the import fails or takes more than a minute.
    """
    file = path(kind, name)
    if file.parent == PACKAGE / ROOMS[kind]:
        module = f"lossless_inr.{ROOMS[kind]}.{name}"
    else:
        module = f"lossless_inr_plugin_{ROOMS[kind]}_{name}"
    known = sys.modules.get(module)
    if known is not None and known.__file__ == str(file):
        return known
    version = (file, file.stat().st_mtime_ns)
    if version in _not_importable:
        raise PluginError(_not_importable[version])
    try:
        with _limited("importing it"):
            if module.startswith("lossless_inr."):
                return importlib.import_module(module)
            found = importlib.util.spec_from_file_location(module, file)
            loaded = sys.modules[module] = importlib.util.module_from_spec(found)
            found.loader.exec_module(loaded)
            return loaded
    except (Exception, SystemExit) as error:  # a plug-in that calls sys.exit ends only itself
        sys.modules.pop(module, None)
        known = isinstance(error, PluginError)
        why = str(error) if known else f"cannot be imported: {type(error).__name__}: {error}"
        _not_importable[version] = f"{file}: {why}"
        raise PluginError(_not_importable[version]) from error


@contextmanager
def _limited(what: str):
    """End what takes too long, where signals can (the main thread, not Windows)."""
    alarm = getattr(signal, "SIGALRM", None)
    if alarm is None or threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(*_):
        raise PluginError(f"{what} took more than {IMPORT_LIMIT} s")

    before = signal.signal(alarm, end)
    signal.setitimer(signal.ITIMER_REAL, IMPORT_LIMIT)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(alarm, before)


@functools.cache
def describe(kind: str, name: str) -> Description:
    """What a plug-in's source text says; nothing is imported.

    Raises
    ------
    UserError
        If the file cannot be parsed, or lacks what every plug-in of its kind has.
    """
    file = path(kind, name)
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except SyntaxError as error:
        raise UserError(f"{file}, line {error.lineno}: {error.msg}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{file}: cannot be read: {error}") from None
    citation = ast.get_docstring(tree) or ""
    if not citation:
        raise UserError(f"{file}: no docstring; begin the file with what it is and its citation")
    literals: dict = {"label": name, "shape": None, "on_request": False}
    literals |= {"ranges": {}, "choices": {}}
    parameters, bases, builders = {}, [], []
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            targets = {t.id.lower() for t in node.targets if isinstance(t, ast.Name)}
            for key in targets & set(literals):
                literals[key] = _literal(node.value, key.upper(), file)
        if isinstance(node, ast.ClassDef):
            bases += [base.id for base in node.bases if isinstance(base, ast.Name)]
        if isinstance(node, ast.FunctionDef) and node.name == BUILDER[kind]:
            builders.append(node)
            for argument, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True):
                if argument.arg not in COMMON and default is not None:
                    parameters[argument.arg] = _literal(
                        default, f"the default of '{argument.arg}'", file
                    )
    _check_shape(kind, tree, builders, file)
    for table in ("ranges", "choices"):
        for key in literals[table]:
            if key not in parameters:
                raise UserError(
                    f"{file}: {table.upper()} names '{key}', which is no parameter of build"
                )
    return Description(
        label=literals["label"],
        citation=citation,
        parameters=parameters,
        ranges=literals["ranges"],
        choices=literals["choices"],
        bases=tuple(bases),
        shape=literals["shape"],
        on_request=literals["on_request"],
    )


def _literal(node: ast.expr, what: str, file: Path):
    try:
        return ast.literal_eval(node)
    except ValueError:
        raise UserError(
            f"{file}, line {node.lineno}: write {what} as a plain number or text, not as an "
            "expression"
        ) from None


def _check_shape(kind: str, tree: ast.Module, builders: list, file: Path) -> None:
    """Whether the file has the function, or the class, that its kind is known by."""
    if kind == "representation":
        if not any(isinstance(node, ast.ClassDef) and node.name == "Form" for node in tree.body):
            raise UserError(f"{file}: no class 'Form'; see representations/bithead.py")
        return
    build = next((node for node in tree.body if node in builders), None)
    wanted = ", ".join(COMMON)
    if build is None:
        raise UserError(f"{file}: no function 'build'; write def build(*, {wanted})")
    missing = [name for name in COMMON if name not in {a.arg for a in build.args.kwonlyargs}]
    if missing:
        raise UserError(
            f"{file}, line {build.lineno}: build has no keyword argument '{missing[0]}'; write "
            f"def build(*, {wanted})"
        )
