"""Ctrl-C while a workflow script still imports ends it without a word, not with a traceback.

Python runs this file at its start, as `workflow/rules/common.smk` puts its folder first on the
path. The script's `lossless_inr.jobs.job` takes the signal over; before, there is nothing to lose.
"""

import importlib.util
import signal
import sys
from importlib.machinery import PathFinder

if any("/.snakemake/scripts/" in word for word in sys.orig_argv):
    signal.signal(signal.SIGINT, signal.SIG_DFL)

# The file of this name that Python would have run instead, if there is one.
elsewhere = [folder for folder in sys.path if not __file__.startswith(f"{folder}/")]
other = PathFinder.find_spec("sitecustomize", elsewhere)
if other is not None:
    other.loader.exec_module(importlib.util.module_from_spec(other))
