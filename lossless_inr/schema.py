"""Validated data: YAML in, strict models, one clear line when something is wrong."""

from __future__ import annotations

import reprlib
import typing
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from lossless_inr.errors import UserError, suggest

ModelT = TypeVar("ModelT", bound=BaseModel)


class Strict(BaseModel):
    """Base of every config, spec and record: unknown keys and loose types are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def read_yaml(path: Path) -> Any:
    """Read YAML 1.2 (so `1e-4` is a number); duplicate keys are refused.

    Raises
    ------
    UserError
        If the file is missing or is not valid YAML.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return YAML(typ="safe", pure=True).load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read, or is not UTF-8 text ({error})") from None
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error)
        raise UserError(f"{path}{line}: not valid YAML: {problem}") from None


def _models_in(annotation: Any) -> set[type[BaseModel]]:
    """Every model class inside an annotation such as `dict[str, list[X]] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {annotation}
    return {model for inner in typing.get_args(annotation) for model in _models_in(inner)}


def _known_keys(model: type[BaseModel], location: tuple) -> list[str]:
    """Field names that would have been accepted where `location` (without its last key) leads."""
    models = {model}
    for part in location[:-1]:
        # Positions in lists and keys of free dictionaries lead to no other model.
        inside = {m for m in models if part in m.model_fields}
        if inside:
            models = {
                found for m in inside for found in _models_in(m.model_fields[part].annotation)
            }
    return sorted({name for m in models for name in m.model_fields})


def validate(model: type[ModelT], data: Any, where: str) -> ModelT:
    """Build `model` from plain data.

    Raises
    ------
    UserError
        For the first problem: file, key, what is wrong, and the nearest known key.
    """
    if not isinstance(data, dict):
        raise UserError(f"{where}: expected keys and values, found {type(data).__name__}")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        problem = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
        location = tuple(p for p in problem["loc"])
        key = ".".join(str(p) for p in location)
        if problem["type"] == "extra_forbidden":
            hint = suggest(location[-1], _known_keys(model, location))
            raise UserError(f"{where}: unknown key '{key}'{hint}") from None
        message = problem["msg"].removeprefix("Value error, ")
        given = (
            ""
            if isinstance(problem["input"], dict)
            else f" (found {reprlib.repr(problem['input'])})"
        )
        raise UserError(f"{where}: {key + ': ' if key else ''}{message}{given}") from None


def load(model: type[ModelT], path: Path) -> ModelT:
    """Read and validate one YAML file."""
    return validate(model, read_yaml(path), str(path))
