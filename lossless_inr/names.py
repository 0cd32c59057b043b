"""Names that come from files of others and become parts of paths."""

from __future__ import annotations

from pathlib import PurePosixPath


def stays_inside(name: str) -> bool:
    """Whether a relative path leads nowhere but into the folder it is joined to, on any system.

    Examples
    --------
    >>> stays_inside("kodak/32x32/kodim05"), stays_inside("../kodim05"), stays_inside("/etc/passwd")
    (True, False, False)
    """
    parts = PurePosixPath(name).parts
    plain = name.isprintable() and "\\" not in name and ":" not in name[:3]
    return bool(parts) and plain and not name.startswith("/") and ".." not in parts


def plain(name: str) -> str:
    """Return a single name, e.g. of a recipe, that stays in its folder.

    Raises
    ------
    ValueError
        If it does not.
    """
    if "/" in name or not stays_inside(name):
        raise ValueError("holds characters that lead out of its folder")
    return name


def path(name: str) -> str:
    """Return a relative path, e.g. of a signal, that stays in its folder.

    Raises
    ------
    ValueError
        If it does not.
    """
    if not stays_inside(name):
        raise ValueError("leads out of its folder")
    return name
