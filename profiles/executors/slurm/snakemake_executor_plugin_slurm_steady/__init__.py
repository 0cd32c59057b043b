"""Snakemake's Slurm executor, for runs that outlive their cluster's controller.

The plug-in (2.8) forgets every job of which one round of questions learned nothing, and then waits
for ever: a restart of Slurm's controller, or of its accounting, is enough. A job that cannot be
submitted meanwhile counts as failed. Here such jobs are asked after again, and submission waits.
A controller that crashes forgets what it took seconds before; the plug-in would wait for such a job
as well. Here it has failed, and is submitted again where the profile has `retries`. Jobs of a run
that was killed in this folder are cancelled first, or a shard would run twice at the same time.

Found by Snakemake by its name, where the folder above is on PYTHONPATH (`lossless-inr run` sees to
it).
"""

import asyncio
import subprocess
import time
from pathlib import Path
from threading import Event

import snakemake_executor_plugin_slurm as original
from snakemake_interface_common.exceptions import WorkflowError

ExecutorSettings = original.ExecutorSettings
common_settings = original.common_settings
# Seconds between two looks for a controller that is away.
LOOK = 5.0
# Rounds of questions in which the controller does not know a job, until it is taken for forgotten.
ROUNDS = 3
# Name of this folder's latest run, which is the name of its jobs.
LATEST = Path(".snakemake/slurm-steady-run")
# Seconds that cancelled jobs may take to end.
ENDING = 120.0


def controller_answers() -> bool:
    """Whether a controller of this cluster, the first or a backup, is up."""
    try:
        done = subprocess.run(["scontrol", "ping"], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return " is UP" in done.stdout


def known_jobs(name: str) -> set[str] | None:
    """Ids of the jobs of this name that the controller remembers; None where it does not answer."""
    command = ["squeue", "--noheader", "--states=all", "--format=%i", "--name", name]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return set(done.stdout.split()) if done.returncode == 0 else None


def end_jobs(name: str) -> int:
    """Cancel what an earlier run has in the queue and wait until it has ended; how many those were.

    Raises
    ------
    WorkflowError
        If some are still there after `ENDING` seconds.
    """
    queue = ["squeue", "--noheader", "--format=%i", "--name", name]
    found, end = 0, time.monotonic() + ENDING
    while left := subprocess.run(queue, capture_output=True, text=True, timeout=60).stdout.split():
        found = max(found, len(left))
        if time.monotonic() > end:
            raise WorkflowError(
                f"jobs of an earlier run here do not end: {' '.join(left)}; cancel them (scancel), "
                "then run the same command again"
            )
        subprocess.run(["scancel", *left], capture_output=True, timeout=60)
        time.sleep(1)
    return found


class Executor(original.Executor):
    """The plug-in's, except for what it does while the controller is away."""

    def __post_init__(self, *arguments, **named):
        self.ending, self.told = Event(), set()
        self.absent: dict[str, int] = {}  # external id -> rounds in which it was not known
        super().__post_init__(*arguments, **named)
        if LATEST.exists() and (ended := end_jobs(LATEST.read_text())):
            self.logger.warning(f"Cancelled {ended} jobs of an earlier run in this folder.")
        LATEST.write_text(self.run_uuid)

    def run_job(self, job):
        """Submit a job as soon as there is a controller to take it."""
        if not controller_answers():
            self.logger.warning("Slurm's controller does not answer; submission waits for it.")
            while not self.ending.wait(LOOK) and not controller_answers():
                pass
        super().run_job(job)

    async def check_active_jobs(self, active_jobs):
        """Yield jobs that still run, and those of which nothing could be learned."""
        self.told = set()
        running = [info async for info in super().check_active_jobs(active_jobs)]
        here = {id(info) for info in running}
        unknown = [info for info in active_jobs if id(info) not in self.told | here]
        if unknown:
            self.logger.warning(f"Slurm says nothing of {len(unknown)} jobs now; asking again.")
        known = await asyncio.to_thread(known_jobs, self.run_uuid) if active_jobs else None
        for info in [*running, *unknown]:
            if not self.forgotten(info, known):
                yield info

    def forgotten(self, info, known: set[str] | None) -> bool:
        """Whether the controller no longer knows a job that has not ended; reports it as failed."""
        job = info.external_jobid
        if known is None or "_" in job:  # elements of arrays are listed together
            return False
        self.absent[job] = 0 if job in known else self.absent.get(job, 0) + 1
        if self.absent[job] < ROUNDS:
            return False
        lost = f"Slurm's controller no longer knows job {job}."
        self.logger.warning(lost)
        self.report_job_error(info, msg=lost)
        return True

    def report_job_success(self, job_info):
        """Note that a job's end was seen."""
        self.told.add(id(job_info))
        super().report_job_success(job_info)

    def report_job_error(self, job_info, *arguments, **named):
        """Note that a job's end was seen."""
        self.told.add(id(job_info))
        super().report_job_error(job_info, *arguments, **named)

    def shutdown(self):
        """End, without waiting for a controller that is away."""
        self.ending.set()
        super().shutdown()
