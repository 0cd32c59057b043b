"""Ctrl-C or too little memory while a workflow script still imports: no traceback.

Python runs this file at its start, as `workflow/rules/common.smk` puts its folder first on the
path. The script's `lossless_inr.jobs.job` takes over from here; before, there is nothing to lose.
"""

import importlib.util
import signal
import sys
from importlib.machinery import PathFinder

# What Python, the dynamic linker and the operating system say when there is no memory.
NO_MEMORY = ("MemoryError", "annot allocate memory", "failed to map segment", "start new thread")


def without_memory(kind, error, trace):
    """One line if memory is short; else what Python does."""
    if any(sign in f"{kind.__name__}: {error}" for sign in NO_MEMORY):
        line = "error: too little memory to start a job; close other programs, or use --cores 1\n"
        sys.stderr.write(line)
    else:
        sys.__excepthook__(kind, error, trace)


if any("/.snakemake/scripts/" in word for word in sys.orig_argv):
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.excepthook = without_memory

# The file of this name that Python would have run instead, if there is one.
elsewhere = [folder for folder in sys.path if not __file__.startswith(f"{folder}/")]
other = PathFinder.find_spec("sitecustomize", elsewhere)
if other is not None:
    other.loader.exec_module(importlib.util.module_from_spec(other))
