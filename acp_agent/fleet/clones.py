"""Repositories that a worker does not have: cloned by their url, kept bare, one for each url.

What a run leaves in one travels in its `committed` event, as a git bundle in base64, to whoever has the checkout. No
remote is ever pushed to.
"""

import base64
import binascii
import hashlib
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

import anyio

from acp_agent.domain.errors import AcpAgentError, Refused, UsageError
from acp_agent.domain.request import Workplace
from acp_agent.fleet.checkout import Place
from acp_agent.fleet.git import GitFailed, git
from acp_agent.fleet.locks import repository_lock
from acp_agent.fleet.removal import remove

LARGEST = 4 * 1024 * 1024
"""Bytes of a bundle that an event carries at most."""
_SAFE = {"GIT_ALLOW_PROTOCOL": "file:git:http:https:ssh"}
_SSH = "ssh -o BatchMode=yes -o ConnectTimeout=30 -o ServerAliveInterval=30"
_SLOW = ("-c", "http.lowSpeedLimit=1000", "-c", "http.lowSpeedTime=60")
_PASSWORD = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*://[^/@]*:[^/@]+@")


@dataclass(frozen=True, slots=True)
class Clones:
    """The clones of this host, below the state directory."""

    state: Path

    def of(self, place: Workplace, run_id: str) -> Workplace:
        """The workplace on this host of a run whose repository lies elsewhere; as it is where it lies here."""
        if place.url is None or os.path.isdir(place.root):
            return place
        name = hashlib.sha256(place.url.encode()).hexdigest()[:16]
        # Batch and project, as they are called on the host that asked.
        where = Path(*Path(place.worktree).parts[-2:]) if place.worktree else Path("read", run_id)
        changes = {
            "kind": "worktree",
            "root": str(self.state / "clones" / name),
            "worktree": str(self.state / "worktrees" / where),
            "branch": place.branch or f"acp/read/{run_id}",
        }
        return place.model_copy(update=changes)

    async def fetch(self, place: Workplace) -> None:
        """Have the base of a workplace that `of` gave in its clone. Raises AcpAgentError where it cannot be had."""
        assert place.url is not None and place.base is not None
        root = Path(place.root)
        folder = root / ".git"
        if not (folder / "objects").is_dir():
            await anyio.Path(root).mkdir(parents=True, exist_ok=True)
            await git(root, "init", "--quiet", "--bare", "--template=", str(folder))
        async with repository_lock(folder) as lock:
            if await _has(root, place.base):
                return
            remote = await _environment(root)
            shown = f"{place.url} cannot be cloned here"
            try:
                every = ("--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head")
                heads = ("--", place.url, "+refs/heads/*:refs/remotes/origin/*")
                await git(root, *_SLOW, "fetch", *every, *heads, environment=remote, hold=lock)
            except GitFailed as failure:
                raise AcpAgentError(f"{shown}: {failure.what}", hint="this host's git needs access to it") from None
            if not await _has(root, place.base):
                what = f"{place.url} has no commit {place.base[:10]}, which the run starts from"
                raise AcpAgentError(what, hint="push it there, then acp retry")

    async def bundled(self, place: Workplace) -> str:
        """What the branch of a workplace adds to its base, as a bundle in base64. AcpAgentError for a huge one."""
        whole = Place.of(place)
        made = await git(whole.root, "bundle", "create", "--quiet", "-", whole.ref, f"^{whole.base}")
        if len(made.stdout) > LARGEST:
            what = f"the result is too large to be carried back ({len(made.stdout)} bytes, at most {LARGEST})"
            raise AcpAgentError(what, hint=f"it is on branch {whole.branch} of {whole.root} on this host")
        return base64.b64encode(made.stdout).decode()

    def holding(self) -> list[str]:
        """Ids of the runs that have a worktree in a clone here."""
        marks = (self.state / "clones").glob("*/.git/worktrees/*/acp-run")
        return sorted(filter(None, (mark.read_text("utf-8").strip() for mark in marks)))

    async def drop(self, run_id: str, place: Workplace) -> None:
        """Take away the worktree and the branch of a run whose result has been carried back, or that had none."""
        # Without its worktree nobody would look for the branch again.
        with anyio.CancelScope(shield=True):
            await remove(run_id, place)
            await git(place.root, "update-ref", "-d", f"refs/heads/{place.branch}")


async def brought(place: Workplace, commit: str, bundle: str) -> None:
    """Make the branch of a workplace here from the bundle that carries its commit; does nothing where it is here.

    Raises Refused where the branch holds something else, UsageError where the repository is not on this host.
    """
    if not await anyio.Path(place.root).is_dir():
        what = f"{place.root} is not on this host, and nobody can land its result anywhere else"
        raise UsageError(what, hint="ask on the host that has the checkout")
    whole = Place.of(place)
    async with repository_lock(whole.common):
        tip = await whole.tip()
        if tip == commit:
            return
        if tip is not None:
            what = f"branch {whole.branch} of {whole.root} exists and holds other commits"
            raise Refused(what, hint=f"git -C {whole.root} branch -m {whole.branch} ANOTHER")
        with tempfile.NamedTemporaryFile(suffix=".bundle") as file:
            file.write(_decoded(bundle))
            file.flush()
            quiet = ("--quiet", "--no-tags", "--no-write-fetch-head")
            await git(whole.root, "fetch", *quiet, "--", file.name, f"{whole.ref}:{whole.ref}", environment=_SAFE)
        if await whole.tip() != commit:
            await git(whole.root, "update-ref", "-d", whole.ref)
            raise AcpAgentError(f"the bundle of {whole.branch} does not hold commit {commit}")


def check_url(project: str, url: str | None) -> None:
    """Refuse a url that others cannot use or that would put a password on record. Raises UsageError."""
    if url is None:
        return
    if _PASSWORD.match(url):
        hint = "leave it out: git on each worker has credentials of its own (git help credentials)"
        raise UsageError(f"project {project}: its url holds a password", hint=hint)
    if url.startswith(("-", ".", "~")):
        what = f"project {project}: url {url!r} means something else on every host"
        raise UsageError(what, hint="https://..., ssh://..., user@host:path, or an absolute path that all hosts see")


def _decoded(bundle: str) -> bytes:
    try:
        return base64.b64decode(bundle, validate=True)
    except binascii.Error as error:
        raise AcpAgentError(f"the bundle on record cannot be read: {error}") from None


async def _has(root: Path, commit: str) -> bool:
    return (await git(root, "cat-file", "-e", f"{commit}^{{commit}}", check=False)).status == 0


async def _environment(root: Path) -> dict[str, str]:
    """What git is told for a remote: no protocol that runs a program, no question at a terminal."""
    own = os.environ.get("GIT_SSH_COMMAND") or (await git(root, "config", "core.sshCommand", check=False)).text
    return _SAFE if own else {**_SAFE, "GIT_SSH_COMMAND": _SSH}
