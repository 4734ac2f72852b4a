"""The git directory of a shadow repository: made, locked, and asked, without anything of the user's own git."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from acp_agent.tools.kept import ROOT_FILE
from acp_agent.tools.repository import git_environment
from acp_agent.tools.shadow_place import ShadowPlace

_PAUSE = 0.01
_CONFIG = """\
[core]
\trepositoryformatversion = {version}
\tbare = false
\tfileMode = true
\tsymlinks = true
\tautocrlf = false
\tlogAllRefUpdates = false
\tfsync = none
\tattributesFile = /dev/null
\thooksPath = /dev/null
\tfsmonitor = false
\tuntrackedCache = false
[gc]
\tauto = 0
[extensions]
"""
_ATTRIBUTES = "* -text -eol -crlf -ident -filter -working-tree-encoding\n"


class NoSnapshot(Exception):
    """No snapshot could be taken; the message says why, for a person."""


class Broken(NoSnapshot):
    """git refused."""


@dataclass(frozen=True, slots=True)
class ShadowGit:
    """git in the shadow of one workspace. `budget` is how many seconds one snapshot may take."""

    place: ShadowPlace
    environ: Mapping[str, str]
    budget: float

    def make(self) -> None:
        """The shadow's git directory; one that is there, or half there, is used or made anew."""
        folder = self.place.folder
        if (folder / "acp-ready").exists():
            return
        for name in ("objects/info", "objects/pack", "refs/heads", "info"):
            (folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        extension = "\tobjectFormat = sha256\n" if self.place.sha256 else ""
        (folder / "config").write_text(_CONFIG.format(version=1 if extension else 0) + extension, encoding="utf-8")
        (folder / "HEAD").write_text("ref: refs/heads/none\n", encoding="ascii")
        (folder / "info" / "attributes").write_text(_ATTRIBUTES, encoding="ascii")
        (folder / "info" / "exclude").write_text("".join(f"{line}\n" for line in self.place.excludes), "utf-8")
        (folder / ROOT_FILE).write_bytes(os.fsencode(self.place.root))
        if self.place.objects is not None:
            (folder / "objects" / "info" / "alternates").write_bytes(os.fsencode(self.place.objects) + b"\n")
        if self.place.index is not None:
            # With its time: git tells by it which files were changed in the very moment of the index.
            shutil.copy2(self.place.index, folder / "index")
        (folder / "acp-ready").touch()

    def write_object(self, kind: bytes, data: bytes) -> str:
        """Store an object as git does; returns its id."""
        whole = b"%s %d\0%s" % (kind, len(data), data)
        name = (hashlib.sha256 if self.place.sha256 else hashlib.sha1)(whole).hexdigest()
        place = self.place.folder / "objects" / name[:2] / name[2:]
        if not place.exists():
            place.parent.mkdir(exist_ok=True)
            temporary = place.with_name(f"tmp_obj_{os.getpid()}_{time.monotonic_ns()}")
            temporary.write_bytes(zlib.compress(whole, 1))
            temporary.rename(place)
        return name

    @contextmanager
    def locked(self, deadline: float) -> Iterator[None]:
        """Hold the shadow's lock while the block runs. Raises NoSnapshot where it is not free in time."""
        try:
            self.place.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self.place.folder / "acp-lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise NoSnapshot(f"{self.place.folder}: {error.strerror}") from None
        try:
            while not _taken(descriptor):
                if time.monotonic() > deadline:
                    raise NoSnapshot("another snapshot of this directory was under way")
                time.sleep(_PAUSE)
            # Ours, of a git that was killed: nobody else works here while we hold the lock.
            (self.place.folder / "index.lock").unlink(missing_ok=True)
            yield
        except OSError as error:
            raise NoSnapshot(f"{error.filename or self.place.folder}: {error.strerror}") from None
        finally:
            os.close(descriptor)

    def run(self, deadline: float, *arguments: str, stdin: bytes = b"") -> bytes:
        """What git answers. Raises NoSnapshot where the time is up, Broken where git refuses."""
        left = deadline - time.monotonic()
        try:
            if left <= 0:
                raise subprocess.TimeoutExpired(arguments[0], left)
            ended = subprocess.run(
                ["git", *arguments],
                cwd=self.place.top,
                env=self.environment(),
                input=stdin,
                capture_output=True,
                check=False,
                timeout=left,
                process_group=0,
            )
        except subprocess.TimeoutExpired:
            raise NoSnapshot(f"it took longer than {self.budget:g} s") from None
        except OSError as error:
            raise NoSnapshot(f"git cannot be started: {error.strerror}") from None
        if ended.returncode:
            said = ended.stderr.decode("utf-8", "replace").strip().splitlines()
            raise Broken(f"git {arguments[0]}: {said[-1] if said else f'exit status {ended.returncode}'}")
        return ended.stdout

    def environment(self) -> dict[str, str]:
        """The variables that point git to the shadow."""
        return {
            **git_environment(self.environ),
            "GIT_DIR": str(self.place.folder),
            "GIT_WORK_TREE": str(self.place.top),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_LITERAL_PATHSPECS": "1",
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_OPTIONAL_LOCKS": "1",
        }


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
