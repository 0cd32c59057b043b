"""A Slurm with accounting: its database daemon over a MariaDB of its own, on loopback."""

import secrets
import subprocess
import time

from loopback import Slurm, free_ports

PROGRAMS = ("slurmdbd", "sacctmgr", "mariadbd", "mariadb", "mariadb-install-db")
PACKAGES = ("slurmdbd", "mariadb-server-core", "mariadb-client-core")
ACCOUNT = "lab"

DAEMON = """\
AuthType=auth/munge
AuthInfo=socket={munge}/socket
DbdHost=localhost
DbdPort={port}
SlurmUser=root
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={database}
StorageUser=slurm
StoragePass={password}
StorageLoc=slurm
LogFile={folder}/slurmdbd.log
PidFile={folder}/slurmdbd.pid
"""
# Jobs without an account that exists are refused.
CONTROLLER = """\
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={port}
# Where munge listens, for the talk with that daemon.
AccountingStoragePass={munge}/socket
AccountingStorageEnforce=associations
AccountingStorageTRES=gres/gpu
"""


class AccountedSlurm(Slurm):
    """`Slurm` that charges jobs to an account; `sacct` answers."""

    def prepare(self) -> str:
        """Start the database and the daemon in front of it; lines for the controller."""
        database, port = free_ports(2)
        password, data = secrets.token_hex(16), self.folder / "database"
        where = [f"--datadir={data}", "--user=root"]
        subprocess.run(
            ["mariadb-install-db", *where, "--auth-root-authentication-method=socket"],
            capture_output=True,
            check=True,
            timeout=120,
        )
        # Sockets have short names only.
        door = f"--socket={self.munge}/database"
        listen = ["--bind-address=127.0.0.1", f"--port={database}", door]
        self._start("mariadbd", ["mariadbd", "--no-defaults", *where, *listen])
        self._wait((self.munge / "database").exists, "the database listens")
        subprocess.run(
            ["mariadb", "--no-defaults", door, "--user=root"],
            input=f"CREATE DATABASE slurm; CREATE USER slurm IDENTIFIED BY '{password}';"
            f"CREATE USER slurm@localhost IDENTIFIED BY '{password}';"
            "GRANT ALL ON slurm.* TO slurm; GRANT ALL ON slurm.* TO slurm@localhost;",
            text=True,
            check=True,
            timeout=60,
        )
        values = {"munge": self.munge, "folder": self.folder, "port": port}
        path = self.folder / "etc/slurmdbd.conf"
        path.touch(0o600)
        path.write_text(DAEMON.format(database=database, password=password, **values))
        return CONTROLLER.format(**values)

    def start_controller(self) -> None:
        """Start the daemon, the controller, and make the account before the first job."""
        if "slurmdbd" not in self.processes:
            self.start_accounting()
        super().start_controller()
        for words in (["account", ACCOUNT], ["user", "root", f"account={ACCOUNT}"]):
            self.command("sacctmgr", "--immediate", "add", *words, check=False)

    def start_accounting(self) -> None:
        """Start the daemon of the accounts."""
        self._start("slurmdbd", ["slurmdbd", "-D"])
        self._wait(
            lambda: (
                "loopback" in self.command("sacctmgr", "-n", "list", "cluster", check=False)
                or self.command(
                    "sacctmgr", "--immediate", "add", "cluster", "loopback", check=False
                )
            ),
            "accounts are kept",
        )

    def stop_accounting(self, seconds: float) -> None:
        """Take the accounts away for a while."""
        self._stop("slurmdbd")
        time.sleep(seconds)
        self.start_accounting()

    def accounted(self) -> list[dict[str, str]]:
        """What `sacct` says of jobs: State, Account, Partition, AllocTRES."""
        keys = ["JobID", "State", "Account", "Partition", "AllocTRES"]
        text = self.command("sacct", "-X", "-n", "-P", "-S", "now-1hours", "-o", ",".join(keys))
        return [dict(zip(keys, line.split("|"), strict=True)) for line in text.splitlines()]
