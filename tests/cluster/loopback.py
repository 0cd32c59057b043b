"""A real Slurm on this machine alone: munge, one controller and a daemon per node, all on loopback.

Its configuration lies in a mount namespace of its own, bound over /etc/slurm: job steps look for it
there and nowhere else, and a Slurm that the machine may have is neither read nor written. Every
process is started here, kept, and stopped by its process id.
"""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel")
PACKAGES = ("slurm-wlm", "munge")
# A command of PBS on top of Slurm.
PBS = ("qsub",)

CONFIGURATION = """\
ClusterName=loopback
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={munge}/socket
CryptoType=crypto/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=5,bf_interval=5
SlurmdParameters=config_overrides
MpiDefault=none
ReturnToService=2
# What squeue still tells of jobs that have ended; there is no accounting to ask.
MinJobAge=3600
KillWait=5
MessageTimeout=10
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/jobs.txt
GresTypes=gpu
{accounting}
{nodes}
{partitions}
"""


def missing() -> str:
    """Why a Slurm cannot be started here, or nothing."""
    if os.geteuid() != 0:
        return "a Slurm of our own needs root, to mount its configuration over /etc/slurm"
    absent = [program for program in PROGRAMS if shutil.which(program) is None]
    if absent:
        return f"not installed: {', '.join(absent)}"
    probe = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "true"], capture_output=True, text=True
    )
    return f"no mount namespaces here: {probe.stderr.strip()}" if probe.returncode else ""


def install(programs: tuple = PROGRAMS, packages: tuple = PACKAGES, seconds: float = 300.0) -> str:
    """Install Debian's packages if one of the programs is not here; why that failed, or nothing."""
    if all(map(shutil.which, programs)):
        return ""
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        return f"{packages[0]} is not installed, and there is no apt-get to run as root"
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (
        ["apt-get", "update"],
        ["apt-get", "install", "-y", "--no-install-recommends", *packages],
    ):
        try:
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=seconds
            )
        except subprocess.TimeoutExpired:
            return f"`{' '.join(command)}` did not end within {seconds:.0f} s"
        if done.returncode:
            last = (done.stderr.strip() or "no message").splitlines()[-1]
            return f"`{' '.join(command)}` failed: {last}"
    return ""


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


@dataclass(frozen=True)
class Node:
    """One node: its partition, its cores, and whether it has a GPU (a stand-in: /dev/null)."""

    name: str
    partition: str
    cores: int = 1
    gpu: bool = False


# Two cores of CPU nodes, three of GPU nodes: one can be missed.
NODES = [
    Node("c1", "cpu", cores=2),
    *(Node(f"g{number}", "gpu", gpu=True) for number in (1, 2, 3)),
]


class Slurm:
    """The cluster; a context manager that leaves no process behind.

    Parameters
    ----------
    folder : Path
        Keys, state, logs; not on a path that others may write.
    nodes : list of Node
        Each has 32,000 MB, as far as Slurm knows.
    """

    def __init__(self, folder: Path, nodes: list[Node]):
        self.folder, self.nodes = folder, nodes
        # Its socket is refused in a folder that not everybody can enter, as those of tests are.
        self.munge = Path(tempfile.mkdtemp(prefix="loopback-munge-"))
        self.processes: dict[str, subprocess.Popen] = {}

    def __enter__(self) -> "Slurm":
        try:
            self._configure()
            self.start_controller()
            for node in self.nodes:
                self._start(node.name, ["slurmd", "-D", "-N", node.name])
            self._wait(lambda: set(self.states().values()) == {"IDLE"}, "nodes are idle")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_) -> None:
        # Jobs first: their steps are children of no process that is kept here.
        if "slurmctld" in self.processes:
            self.command("scancel", "--user=root", check=False)
            self._wait(lambda: not self.command("squeue", "--noheader"), "jobs end", strict=False)
        self._kill_what_is_left()
        for name in reversed(list(self.processes)):
            self._stop(name)
        shutil.rmtree(self.munge, ignore_errors=True)

    def _kill_what_is_left(self) -> None:
        """What jobs started and Slurm, without control groups here, lost sight of."""
        if "namespace" not in self.processes:
            return
        own = {process.pid for process in self.processes.values()}
        namespace = os.readlink(f"/proc/{self.processes['namespace'].pid}/ns/mnt")
        if namespace == os.readlink("/proc/self/ns/mnt"):  # it has not got one of its own yet
            return
        for number in [int(name) for name in os.listdir("/proc") if name.isdigit()]:
            with suppress(OSError):  # it has ended meanwhile
                if number not in own and os.readlink(f"/proc/{number}/ns/mnt") == namespace:
                    os.kill(number, signal.SIGKILL)

    def _configure(self) -> None:
        for part in ("etc", "state"):
            (self.folder / part).mkdir(parents=True)
        self.munge.chmod(0o755)
        (self.munge / "key").touch(0o600)
        (self.munge / "key").write_bytes(secrets.token_bytes(128))
        # Holds the mount namespace open; the others enter it.
        mount = f"mount --bind '{self.folder}/etc' /etc/slurm && echo ready && exec sleep infinity"
        Path("/etc/slurm").mkdir(exist_ok=True)
        self.processes["namespace"] = holder = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", mount],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert holder.stdout.readline() == "ready\n", "the configuration could not be mounted"
        munge = [f"--socket={self.munge}/socket"]
        munge += [f"--{part}-file={self.munge}/{part}" for part in ("key", "log", "seed", "pid")]
        self._start("munged", ["munged", "--foreground", "--num-threads=2", *munge])
        self._wait((self.munge / "socket").exists, "munged listens")
        host = socket.gethostname()
        controller, *ports = free_ports(1 + len(self.nodes))
        # A host name of its own per node: one host twice is refused by a Slurm that was built
        # without --enable-multiple-slurmd.
        nodes = [
            f"NodeName={node.name} NodeHostname={node.name} NodeAddr=127.0.0.1 Port={port} "
            f"CPUs={node.cores} RealMemory=32000 State=UNKNOWN"
            + (" Gres=gpu:1" if node.gpu else "")
            for node, port in zip(self.nodes, ports, strict=True)
        ]
        partitions = [
            f"PartitionName={name} State=UP MaxTime=INFINITE Default={'NO' if number else 'YES'} "
            f"Nodes={','.join(node.name for node in self.nodes if node.partition == name)}"
            for number, name in enumerate(dict.fromkeys(node.partition for node in self.nodes))
        ]
        (self.folder / "etc/slurm.conf").write_text(
            CONFIGURATION.format(
                host=host,
                controller=controller,
                folder=self.folder,
                munge=self.munge,
                nodes="\n".join(nodes),
                partitions="\n".join(partitions),
                accounting=self.prepare(),
            )
        )
        (self.folder / "etc/gres.conf").write_text(
            "".join(f"NodeName={n.name} Name=gpu File=/dev/null\n" for n in self.nodes if n.gpu)
        )

    def prepare(self) -> str:
        """Lines of the configuration about accounting; there is none."""
        return "AccountingStorageType=accounting_storage/none"

    def inside(self, *command: str, folder: Path | None = None) -> list[str]:
        """The command, in the namespace in which /etc/slurm is this cluster's."""
        holder, folder = self.processes["namespace"].pid, folder or Path.cwd()
        return ["nsenter", f"--mount=/proc/{holder}/ns/mnt", f"--wd={folder}", "--", *command]

    def _start(self, name: str, command: list[str]) -> None:
        with open(self.folder / f"{name}.out", "ab") as output:
            self.processes[name] = subprocess.Popen(
                self.inside(*command), stdout=output, stderr=output, start_new_session=True
            )

    def _stop(self, name: str, *, kill: bool = False) -> None:
        process = self.processes.pop(name)
        process.kill() if kill else process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=20)

    def start_controller(self) -> None:
        """Start the controller, from its saved state if it has any."""
        self._start("slurmctld", ["slurmctld", "-D"])
        self._wait(lambda: bool(self.states(check=False)), "the controller answers")

    def stop_controller(self, *, kill: bool) -> None:
        """End the controller, as for an update or as by a crash; jobs go on."""
        self._stop("slurmctld", kill=kill)

    def quiet_for(self) -> float:
        """Seconds since the controller last took, started or ended a job, as its log says."""
        return time.time() - (self.folder / "slurmctld.log").stat().st_mtime

    def forget_jobs(self) -> None:
        """What a crash may do to jobs of the last seconds, done to all: the controller is away."""
        assert "slurmctld" not in self.processes
        for path in (self.folder / "state").glob("job_state*"):
            path.unlink()

    def _wait(self, ready, what: str, *, seconds: float = 60.0, strict: bool = True) -> None:
        end = time.monotonic() + seconds
        while not ready():
            for name, process in self.processes.items():
                assert process.poll() is None, f"{name} ended: {self._last_lines(name)}"
            if time.monotonic() > end:
                assert not strict, f"not within {seconds:.0f} s: {what}"
                return
            time.sleep(0.3)

    def _last_lines(self, name: str) -> str:
        paths = [self.folder / f"{name}.out", self.folder / f"{name}.log"]
        return "".join(p.read_text(errors="replace")[-800:] for p in paths if p.exists())

    def command(self, *command: str, check: bool = True) -> str:
        """What a Slurm command prints."""
        done = subprocess.run(self.inside(*command), capture_output=True, text=True, timeout=90)
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
        return done.stdout

    def states(self, *, check: bool = True) -> dict[str, str]:
        """State of every node."""
        text = self.command("sinfo", "--noheader", "--Node", "--format=%N %T", check=check)
        found = map(str.split, text.splitlines())
        return {node: state.upper().rstrip("*") for node, state in found}

    def jobs(self) -> list[dict[str, str]]:
        """Jobs that have not ended: id, state, node and the workflow's rule with its wildcards."""
        text = self.command("squeue", "--noheader", "--format=%i|%T|%N|%k", check=False)
        keys = ("id", "state", "node", "rule")
        return [dict(zip(keys, line.split("|"), strict=True)) for line in text.splitlines()]

    def ended(self) -> list[dict[str, str]]:
        """Jobs that have ended, of the completion log: JobId, JobState, Partition, NodeList, ..."""
        path = self.folder / "jobs.txt"
        lines = path.read_text().splitlines() if path.exists() else []
        return [dict(w.split("=", 1) for w in line.split() if "=" in w) for line in lines]

    def asked_for_gpu(self, job: str) -> bool:
        """Whether a job, running or ended, was submitted with a GPU."""
        return "gres:gpu" in self.command("scontrol", "show", "job", job)
