"""A run of the workflow whose jobs go to a Slurm, watched from outside."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
from harness import Project
from loopback import Slurm

# Of the shipped profile only its pace is changed, for jobs of seconds instead of hours.
PACE = ["--slurm-steady-init-seconds-before-status-checks", "2", "--latency-wait", "10"]
PACE += ["--max-status-checks-per-second", "1"]


class ClusterRun:
    """`lossless-inr run` on the submitting machine, i.e. in the Slurm's namespace.

    A context manager that leaves no Snakemake behind.
    """

    def __init__(
        self,
        project: Project,
        slurm: Slurm,
        configfile: str,
        *profile: str,
        options: tuple[str, ...] = (),
    ):
        self.project, self.slurm = project, slurm
        self.log = project.folder / "run.log"
        command = [sys.executable, "-m", "lossless_inr.cli", "run", "--configfile", configfile]
        with open(self.log, "w") as output:
            self.process = subprocess.Popen(
                slurm.inside(*command, *options, "--", *profile, folder=project.folder),
                env=project.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # A shell's background jobs ignore SIGINT, and their children would inherit that.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )

    def __enter__(self) -> "ClusterRun":
        return self

    def __exit__(self, *_) -> None:
        self.stop()

    def running(self, rule: str) -> list[dict[str, str]]:
        """Jobs of a rule that run now."""
        comment = f"rule_{rule}_"
        return [
            job
            for job in self.slurm.jobs()
            if job["state"] == "RUNNING" and job["rule"].startswith(comment)
        ]

    def on(self, partition: str) -> list[dict[str, str]]:
        """Jobs that run now in a partition, whatever they are called."""
        nodes = {node.name for node in self.slurm.nodes if node.partition == partition}
        return [job for job in self.slurm.jobs() if job["node"] in nodes]

    def until(self, ready, what: str, seconds: float):
        """Wait for a true answer; the run must not end before."""
        end = time.monotonic() + seconds
        while not (answer := ready()):
            assert self.process.poll() is None, f"the run ended before: {what}\n{self.tail()}"
            assert time.monotonic() < end, f"not within {seconds:.0f} s: {what}\n{self.tail()}"
            time.sleep(0.5)
        return answer

    def hang(self, job: str) -> None:
        """Stop the script of a job that runs: it gets no further, as on a node that swaps."""

        def script() -> psutil.Process | None:
            for process in psutil.process_iter():
                try:
                    if process.environ().get("SLURM_JOB_ID") == job and any(
                        "/.snakemake/scripts/" in word for word in process.cmdline()[:3]
                    ):
                        return process
                except (psutil.Error, OSError):
                    continue
            return None

        self.until(script, f"job {job} has begun its script", 60).suspend()

    def wait(self, seconds: float) -> int:
        """The exit code."""
        try:
            return self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            waiting = self.slurm.command("squeue", "--format=%i %T %P %r %k", check=False)
            self.stop()
            raise AssertionError(f"not done in {seconds:.0f} s\n{waiting}{self.tail()}") from None

    def stop(self) -> None:
        """End the run as Ctrl-C does, so that it cancels its jobs."""
        end_session(self.process)

    def log_of(self, job: str) -> str:
        """What a job that failed printed."""
        (path,) = self.project.folder.glob(f".snakemake/slurm_logs/*/*/{job}.log")
        return path.read_text(errors="replace")

    def tail(self) -> str:
        """The end of what it printed."""
        return self.log.read_text(errors="replace")[-3000:]


def end_session(process: subprocess.Popen) -> None:
    """End a process that leads a session, and all it started there: by Ctrl-C, at last by force."""
    if process.poll() is not None:
        return
    os.killpg(process.pid, signal.SIGINT)
    try:
        process.wait(timeout=60)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def run_locally(project: Project, configfile: str, seconds: float) -> None:
    """The same scale without a cluster, undisturbed."""
    process = project.start(configfile=configfile)
    try:
        output, _ = process.communicate(timeout=seconds)
    finally:
        end_session(process)
    assert process.returncode == 0, output


def partitions(jobs: list[dict[str, str]], cluster: Slurm) -> dict[bool, set[str]]:
    """Where jobs that asked for a GPU ran, and where those without."""
    found: dict[bool, set[str]] = {True: set(), False: set()}
    for job in jobs:
        found[cluster.asked_for_gpu(job["JobId"])].add(job["Partition"])
    return found


def results_of(project: Project, scale: str) -> Path:
    """The results folder of a scale."""
    return project.folder / "results" / scale


def few_programs(project: Project) -> None:
    """One outside program is enough here; each of its jobs takes as long as a fit or longer."""
    project.replace("config/experiments/table1.yaml", "baselines: all", "baselines: [codecs]")
