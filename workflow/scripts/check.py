"""Fail the run if a fit failed (a fault, not a fit that did not converge), after the report.

The stamps of its shards are removed, so that the next run tries those fits again.
"""

import json
from pathlib import Path

from lossless_inr.errors import UserError
from lossless_inr.jobs import job


def failed_fits(shards: list[Path]) -> dict[Path, list[str]]:
    """Folders of failed fits, per shard stamp that has any."""
    failed = {}
    for path in shards:
        folders = [f["folder"] for f in json.loads(path.read_text()) if f["status"] == "failed"]
        if folders:
            failed[path] = folders
    return failed


if __name__ == "__main__":
    with job(snakemake):
        failed = failed_fits([Path(path) for path in snakemake.input.shards])
        for stamp in failed:
            stamp.unlink()
        if failed:
            folders = [folder for some in failed.values() for folder in some]
            raise UserError(
                f"{len(folders)} fits failed, the first is {folders[0]}: its record says why; "
                "the next run tries them again"
            )
        Path(snakemake.output[0]).touch()
