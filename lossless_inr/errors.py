"""Exceptions for what a user can mend, and how names are suggested.

Every place that meets bad input raises `UserError` with a single line that says what is
wrong, where, and what to change. The command line and the workflow scripts print that line
and exit with a non-zero status; only faults of ours ever show a traceback (in a log).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Bad input: the message is one line (what, where, what to change)."""

    def __init__(self, message: str):
        super().__init__(" ".join(str(message).split()))


class PluginError(Exception):
    """A plug-in cannot be imported: one line, like `UserError`.

    No `UserError`, because it ends no shard: the fits of that plug-in are records with status
    `failed`, as if it had failed while it was fitted, and the other fits go on.
    """

    def __init__(self, message: str):
        super().__init__(" ".join(str(message).split()))


def suggest(name: object, known: Iterable[str]) -> str:
    """Return `` (did you mean 'x'?)`` or the list of known names.

    Parameters
    ----------
    name : object
        What the user wrote; anything that is not a string gets the list.
    known : iterable of str
        The names that would have been accepted.

    Examples
    --------
    >>> suggest("sirne", ["siren", "wire"])
    " (did you mean 'siren'?)"
    """
    known = sorted(known)
    match = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
    if match:
        return f" (did you mean '{match[0]}'?)"
    return f" (known: {', '.join(known)})" if known else " (none is defined)"
