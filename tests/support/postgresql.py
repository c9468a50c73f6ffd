"""A PostgreSQL server in a temporary folder, from Debian's package `postgresql`."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
"""Folders of the server's programs, as Debian installs them."""

USER, PASSWORD = "lorasent", "p@ss:word/1"
"""A login whose password needs escapes in a URL."""

ESCAPED = "p%40ss%3Aword%2F1"


def missing() -> str | None:
    """Why no server can be started or asked here, or None."""
    if find_spec("psycopg") is None:
        return "needs psycopg, of the extra postgresql"
    if not BINARIES and not shutil.which("initdb"):
        return "needs PostgreSQL's initdb: apt-get install postgresql"
    return None if shutil.which("setpriv") else "needs setpriv, which ends the server with its test"


class Server:
    """A server on this machine; it ends with the thread that started it, however that ends."""

    def __init__(self, folder: Path, listen: str = "127.0.0.1") -> None:
        self.folder, self.listen = folder, listen
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None
        (folder / "password").write_text(PASSWORD)
        if os.getuid() == 0:  # which the server refuses to be
            for path in (folder, folder / "password"):
                shutil.chown(path, "postgres", "postgres")
        login = ["--username", USER, "--auth", "scram-sha-256", "--pwfile", folder / "password"]
        subprocess.run(self._command("initdb", *login, "--no-sync", "--locale", "C", "-E", "UTF8"), check=True, capture_output=True)
        with (folder / "data" / "pg_hba.conf").open("a") as rules:
            rules.write("host all all samenet scram-sha-256\n")  # initdb allows this machine only

    def _command(self, program: str, *arguments: object) -> list[str]:
        account = ["--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.getuid() == 0 else []
        found = str(BINARIES[-1] / program) if BINARIES else program
        return ["setpriv", "--pdeathsig", "INT", *account, found, "-D", str(self.folder / "data"), *map(str, arguments)]

    def start(self) -> None:
        """Starts it, and waits until it takes logins; it ends with this thread."""
        import psycopg  # not in every environment: see `missing`

        places = ["-p", self.port, "-k", self.folder, "-c", f"listen_addresses={self.listen}"]
        with (self.folder / "log").open("ab") as log:
            command = self._command("postgres", *places, "-c", "fsync=off", "-c", "max_connections=60")
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        while True:
            assert self._process.poll() is None, (self.folder / "log").read_text()
            with contextlib.suppress(psycopg.OperationalError):
                self.execute("SELECT 1")
                return
            time.sleep(0.05)

    def stop(self) -> None:
        """Ends it and all its connections."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(20)
            finally:
                self._process.kill()
                self._process.wait()
            self._process = None

    def execute(self, statement: str, name: str = "postgres") -> list[tuple[Any, ...]]:
        """The rows that a statement of SQL returns, in a database."""
        import psycopg

        login = {"host": str(self.folder), "port": self.port, "dbname": name, "user": USER, "password": PASSWORD}
        with psycopg.connect(**login, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def url(self, name: str = "postgres", *, password: str = ESCAPED) -> str:
        """The URL of a database of it."""
        return f"postgresql://{USER}:{password}@{self.listen}:{self.port}/{name}"

    def database(self, name: str) -> str:
        """The URL of a new, empty database."""
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name)


@contextlib.contextmanager
def running(listen: str = "127.0.0.1") -> Iterator[Server]:
    """A server that runs; afterwards nothing is left of it. Its folder is not pytest's, into which another user may not look."""
    with tempfile.TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True) as folder:
        server = Server(Path(folder), listen)
        try:
            server.start()
            yield server
        finally:
            server.stop()
