"""Snakemake's Kubernetes executor, for pods that share this folder through a volume.

The plug-in assumes that pods share nothing, and takes every declared file through object storage.
The fits of this suite keep more than they declare (their records, and the states from which a
killed one goes on), so they need the folder itself. All but that assumption is the plug-in's.

Found by Snakemake by its name, where the folder above is on PYTHONPATH (`lossless-inr run` sees to
it).
"""

import shlex
from dataclasses import replace

import snakemake_executor_plugin_kubernetes as original

ExecutorSettings = original.ExecutorSettings
common_settings = replace(
    original.common_settings,
    implies_no_shared_fs=False,
    job_deploy_sources=False,
    auto_deploy_default_storage_provider=False,
)


class Executor(original.Executor):
    """The plug-in's, whose containers start in an empty folder: jobs first enter the shared one."""

    def format_job_exec(self, job) -> str:
        """The shell command of a job's container."""
        return (
            f"cd {shlex.quote(str(self.workflow.workdir_init))} && {super().format_job_exec(job)}"
        )
