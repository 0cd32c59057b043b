"""Words for what a disk refuses to Snakemake itself, instead of its traceback. Imports no torch."""

from __future__ import annotations

import logging
import sys

from lossless_inr.files import REFUSALS, refusal

TRACEBACK = "Traceback (most recent call last)"


class InOneLine(logging.Filter):
    """Puts one line in the place of a traceback, if the fault is a disk's or its owner's.

    Snakemake keeps notes of its own in `.snakemake`, and makes and removes folders of results. It
    has no words for a disk that is full or read-only. Other faults keep their tracebacks, and
    `--verbose` shows all.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record where it is such a fault; keep every record."""
        # It logs from within the handler of the exception, without handing that on.
        error = sys.exc_info()[1]
        if (
            isinstance(error, OSError)
            and error.errno in REFUSALS
            and record.levelno >= logging.WARNING
            and TRACEBACK in record.getMessage()
        ):
            record.msg = f"error: {error.filename or '.snakemake'}: {refusal(error)}"
            record.args = ()
        return True


def in_one_line() -> None:
    """Let this process' Snakemake say in one line what a disk refuses it."""
    logger = logging.getLogger("snakemake.logging")
    if not any(isinstance(one, InOneLine) for one in logger.filters):
        logger.addFilter(InOneLine())
