"""A PostgreSQL server of a test's own: reached by a socket in a folder of its own, restarted and killed at will."""

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Self
from urllib.parse import quote, urlencode

ACCOUNT = "acp"
UNPRIVILEGED = ("postgres", "nobody")
"""The accounts tried where root runs the tests: the server refuses to be root's."""
READY_SECONDS = 60


class PostgresServer:
    """A server in a temporary folder. Use as a context; its programs are those of the newest version here.

    It survives the death of its processes, not that of the machine: it never waits for the disk.
    """

    def __init__(self) -> None:
        self._bin = binaries()
        self._user = _unprivileged()
        # Right below the system's folder: a socket's name must be short, and another account must get there.
        self.folder = Path(tempfile.mkdtemp(prefix="acp-pg-"))
        self._data = self.folder / "data"
        self._schemas = 0

    def __enter__(self) -> Self:
        try:
            self._create()
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.kill()
        finally:
            shutil.rmtree(self.folder)

    def _create(self) -> None:
        # Processes in a user namespace of their own must find the socket; the data stay their owner's alone.
        self.folder.chmod(0o755)
        if self._user is not None:
            shutil.chown(self.folder, self._user)
        self._run("initdb", "--username", ACCOUNT, "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "--auth=trust")

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = f"-c listen_addresses= -c unix_socket_directories={self.folder} -c fsync=off"
        log = str(self.folder / "log")
        self._run("pg_ctl", "start", "--wait", f"--timeout={READY_SECONDS}", "--log", log, "-o", options)

    def stop(self) -> None:
        """End it as an administrator would who cannot wait: transactions under way are rolled back."""
        self._run("pg_ctl", "stop", "--wait", "--mode=fast")

    def kill(self) -> None:
        """End all of it at once, as a crash of the machine would, but for what the kernel still writes."""
        pid_file = self._data / "postmaster.pid"
        if pid_file.exists():
            self._run("pg_ctl", "stop", "--wait", "--mode=immediate")

    def url(self, schema: str = "public", *, account: str = ACCOUNT, password: str | None = None) -> str:
        """The URL of a schema in it."""
        secret = "" if password is None else f":{quote(password, safe='')}"
        options = urlencode({"host": str(self.folder), "options": f"-csearch_path={schema}"}, quote_via=quote)
        return f"postgresql://{account}{secret}@/postgres?{options}"

    def new_url(self) -> str:
        """The URL of a new, empty schema in it."""
        self._schemas += 1
        self.sql(f"CREATE SCHEMA own{self._schemas}")
        return self.url(f"own{self._schemas}")

    def sql(self, statement: str) -> str:
        """Run statements as its administrator; the values of the rows, one a line."""
        command = ("psql", "--host", str(self.folder), "--username", ACCOUNT, "-d", "postgres")
        flags = ("--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set", "ON_ERROR_STOP=1")
        return self._run(*command, *flags, "--command", statement).strip()

    def ask_passwords_of(self, account: str) -> None:
        """From now on that account gets in with its password alone."""
        rules = self._data / "pg_hba.conf"
        rules.write_text(f"local all {account} scram-sha-256\n{rules.read_text('utf-8')}", encoding="utf-8")
        self.sql("SELECT pg_reload_conf()")

    def _run(self, program: str, *arguments: str) -> str:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        with open(self.folder / "output", "w+", encoding="utf-8") as output:
            # Into a file: a server that is started would hold a pipe open.
            done = subprocess.run(
                [str(self._bin / program), *arguments],
                env={**environ, "PGDATA": str(self._data)},
                user=self._user,
                group=self._user and pwd.getpwnam(self._user).pw_gid,
                extra_groups=None if self._user is None else [],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
            )
            output.seek(0)
            said = output.read()
        if done.returncode:
            raise RuntimeError(f"{program} failed: {said}")
        return said


def binaries() -> Path:
    """The folder of the programs of the newest PostgreSQL here. Raises FileNotFoundError where there is none."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not versions:
        raise FileNotFoundError("no server binaries of PostgreSQL")
    return versions[-1].parent


def _unprivileged() -> str | None:
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in UNPRIVILEGED if name in known)
