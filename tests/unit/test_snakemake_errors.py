"""What Snakemake says of a disk that refuses it."""

import errno
import logging

import pytest

from lossless_inr.snakemake_errors import in_one_line


@pytest.fixture
def said(caplog):
    """What Snakemake's own function makes of an exception."""
    from snakemake.exceptions import print_exception

    logger = logging.getLogger("snakemake.logging")
    before = list(logger.filters)
    in_one_line()
    in_one_line()  # as the Snakefile may be read twice
    assert len(logger.filters) == len(before) + 1

    def say(error: Exception) -> str:
        caplog.clear()
        with caplog.at_level(logging.WARNING, logger="snakemake.logging"):
            try:
                raise error
            except Exception as caught:
                print_exception(caught)
        return "\n".join(record.getMessage() for record in caplog.records)

    yield say
    logger.filters[:] = before


def test_a_disk_that_refuses_is_one_line(said):
    error = OSError(errno.EROFS, "Read-only file system", "results/smoke/verified")
    assert said(error) == (
        "error: results/smoke/verified: it cannot be written to or read; correct the permissions "
        "of its folder"
    )
    full = OSError(errno.ENOSPC, "No space left on device")
    assert said(full).startswith("error: .snakemake: no space left for it")


def test_other_faults_keep_their_traceback(said):
    assert "Traceback (most recent call last)" in said(ZeroDivisionError("of ours"))
    assert "Traceback (most recent call last)" in said(OSError(errno.ECHILD, "No child"))
