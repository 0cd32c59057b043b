"""Taking out of shared text what tells of a person or a machine. Imports no torch."""

from __future__ import annotations

import functools
import getpass
import re
import socket
from pathlib import Path

# Names that half of all machines share, and that are words.
COMMON = {"root", "user", "localhost", "vm", "admin", "ubuntu", "debian"}
# An absolute path, or one below `…`; not the rest of an address or of a relative path.
PATH = re.compile(r"(?:…|(?<![\w.~/…])/(?!/))(?:/?[^\s/'\":,;()<>|\[\]{}]+/)+(?=[^\s/])")
# The same in quotes, where it may hold blanks.
QUOTED = re.compile(r"""(['"])(?:…|/)[^'"\n]*/([^'"/\n]+)\1""")


@functools.cache
def _own_folders() -> list[str]:
    """The project's folder, here and where this package lies."""
    return [str(Path.cwd()), str(Path(__file__).resolve().parents[1])]


@functools.cache
def _words() -> dict[str, str]:
    words = {}
    for mark, ask in (("<user>", getpass.getuser), ("<host>", socket.gethostname)):
        try:
            words[ask()] = mark
        except (OSError, KeyError):  # a user without a name, as in some containers
            continue
    return {word: mark for word, mark in words.items() if word not in COMMON and len(word) > 2}


def anonymous(text: str) -> str:
    """`text` without this machine's folders, and without the names of user and host.

    For messages that go into records and scores, which are meant to be shared. Names of files
    below the project's folder stay, relative to it; of others the last part.

    Examples
    --------
    >>> anonymous("OSError: /opt/somewhere/mine.png: see https://a.org/b/c, or data/raw/x")
    'OSError: …/mine.png: see https://a.org/b/c, or data/raw/x'
    """
    for folder in _own_folders():
        if len(folder) > 1:
            text = text.replace(f"{folder}/", "")
    if len(home := str(Path.home())) > 1:
        text = re.sub(re.escape(home) + r"(?![\w.-])", "…", text)
    text = QUOTED.sub(r"\1…/\2\1", text)
    text = PATH.sub("…/", text)
    for word, mark in _words().items():
        text = re.sub(rf"(?<![\w.-]){re.escape(word)}(?![\w-])", lambda _, mark=mark: mark, text)
    return text
