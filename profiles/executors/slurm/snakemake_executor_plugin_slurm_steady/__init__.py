"""Snakemake's Slurm executor, for runs that outlive their cluster's controller.

The plug-in (2.8) forgets every job of which one round of questions learned nothing, and then waits
for ever: a restart of Slurm's controller, or of its accounting, is enough. A job that cannot be
submitted meanwhile counts as failed. Here such jobs are asked after again, and submission waits.

Found by Snakemake by its name, where the folder above is on PYTHONPATH (`lossless-inr run` sees to
it).
"""

import subprocess
from threading import Event

import snakemake_executor_plugin_slurm as original

ExecutorSettings = original.ExecutorSettings
common_settings = original.common_settings
# Seconds between two looks for a controller that is away.
LOOK = 5.0


def controller_answers() -> bool:
    """Whether a controller of this cluster, the first or a backup, is up."""
    try:
        done = subprocess.run(["scontrol", "ping"], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return " is UP" in done.stdout


class Executor(original.Executor):
    """The plug-in's, except for what it does while the controller is away."""

    def __post_init__(self, *arguments, **named):
        self.ending, self.told = Event(), set()
        super().__post_init__(*arguments, **named)

    def run_job(self, job):
        """Submit a job as soon as there is a controller to take it."""
        if not controller_answers():
            self.logger.warning("Slurm's controller does not answer; submission waits for it.")
            while not self.ending.wait(LOOK) and not controller_answers():
                pass
        super().run_job(job)

    async def check_active_jobs(self, active_jobs):
        """Yield jobs that still run, and those of which nothing could be learned."""
        self.told, running = set(), set()
        async for info in super().check_active_jobs(active_jobs):
            running.add(id(info))
            yield info
        unknown = [info for info in active_jobs if id(info) not in self.told | running]
        if unknown:
            self.logger.warning(f"Slurm says nothing of {len(unknown)} jobs now; asking again.")
        for info in unknown:
            yield info

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
