"""The place a run works in: made once, set up once, checked by gates, turned into one commit.

Every method may be called again after a kill at any instant: what is half-made is mended, what is done is found.
"""

import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import anyio
import anyio.to_thread

from acp_agent.domain.confinement import Confinement
from acp_agent.domain.errors import AcpAgentError, Refused, ToolError, UsageError
from acp_agent.domain.events import Committed, GateFinished
from acp_agent.domain.request import Gate, Workplace
from acp_agent.fleet.checkout import TRAILER, Checkout, Place
from acp_agent.fleet.git import GitFailed, git
from acp_agent.fleet.include import include
from acp_agent.fleet.locks import clear_stale, repository_lock
from acp_agent.fleet.removal import delete_tree, is_half_removed
from acp_agent.fleet.status import count, inside

if TYPE_CHECKING:
    from acp_agent.fleet.clones import Clones

_OWNER = "acp-run"
_READY = "acp-ready"
_LAST_LINES = 20
_TRY = "Try it in {}, then start the run again"
_ATTEMPTS = 3
_TRAILER_LINE = re.compile(r"[A-Za-z0-9-]+: \S.*")


class CommandOutcome(Protocol):
    """How a command ended; `exit_status` is None when it was stopped (timeout). `output` is head and tail."""

    @property
    def exit_status(self) -> int | None:
        """Its exit status."""
        ...

    @property
    def seconds(self) -> float:
        """How long it ran."""
        ...

    @property
    def output(self) -> str:
        """What it printed, both streams."""
        ...

    @property
    def confinement(self) -> Confinement | None:
        """The sandbox it ran in."""
        ...


class CommandRunner(Protocol):
    """Runs a shell command in a directory for at most so many seconds."""

    async def __call__(
        self, command: str, cwd: str, seconds: float, /, protect: tuple[str, ...] = ()
    ) -> CommandOutcome:
        """Run it to its end, without a change to what the globs `protect` name; a command that fails is an outcome.

        Raises ToolError where it cannot be started.
        """
        ...


class GitWorkplaces:
    """Workplaces (domain.ports) on git worktrees; `setup_timeout` is in seconds.

    With `state`, the state directory, a repository that is not on this host is cloned below it.
    """

    def __init__(
        self,
        run_gate: CommandRunner,
        run_setup: CommandRunner,
        *,
        setup_timeout: float = 1800.0,
        state: Path | None = None,
    ) -> None:
        self._run_gate = run_gate
        self._run_setup = run_setup
        self._setup_timeout = setup_timeout
        self._state = state

    async def prepare(self, run_id: str, place: Workplace, setup: str | None) -> str:
        """Make the place exist and set a new one up; returns the absolute path where tools work.

        Raises Refused when path or branch belong to somebody else, AcpAgentError when git or the set-up fails.
        """
        place, clones = self._here(place, run_id)
        if clones is not None:
            await clones.fetch(place)
        if place.kind == "inplace":
            return _existing(os.path.join(place.root, place.subdir) if place.subdir else place.root)
        whole = Place.of(place)
        checkout = Checkout.of(whole)
        if checkout is None or not _is_ready(checkout, run_id):
            async with repository_lock(whole.common) as lock:
                checkout = await _made(whole, run_id, lock)
            await self._set_up(checkout, run_id, setup)
        return _existing(str(whole.path))

    async def check(self, place: Workplace, gate: Gate, protect: tuple[str, ...] = ()) -> GateFinished:
        """Run one gate where the run worked; a gate that cannot run has not passed.

        It runs what the agent wrote, and its changes become part of the commit: so `protect` binds it too.
        """
        place, _ = self._here(place)
        path = place.root if place.kind == "inplace" else str(Place.of(place).worktree)
        cwd = _existing(os.path.join(path, place.subdir) if place.subdir else path)
        try:
            outcome = await self._run_gate(gate.run, cwd, gate.timeout, protect)
        except ToolError as error:
            return GateFinished(gate=gate.name, passed=False, exit_status=None, seconds=0.0, output=error.message)
        return GateFinished(
            gate=gate.name,
            passed=outcome.exit_status == 0,
            exit_status=outcome.exit_status,
            seconds=outcome.seconds,
            output=outcome.output,
            confinement=outcome.confinement,
        )

    async def commit(self, run_id: str, place: Workplace, message: str) -> Committed:
        """Make everything changed below the project's directory one commit over the base, with the trailer `Acp-Run`.

        Ignored files stay out. Commits the run made itself are folded into it. Nothing changed, and any run in place,
        gives a Committed without a commit.
        """
        if place.kind == "inplace":
            return Committed(commit=None)
        place, clones = self._here(place)
        checkout = _checkout(Place.of(place))
        for attempt in range(_ATTEMPTS):
            try:
                committed = await _commit(checkout, run_id, message)
                if clones is None or committed.commit is None:
                    return committed
                return committed.model_copy(update={"bundle": await clones.bundled(place)})
            except GitFailed as failure:
                # A git of a driver that was killed may still be finishing; then its commit is found next time.
                if "lock" not in failure.said or attempt == _ATTEMPTS - 1:
                    raise
                await anyio.sleep(0.1 * (attempt + 1))
        raise AssertionError("unreachable")

    def _here(self, place: Workplace, run_id: str = "") -> "tuple[Workplace, Clones | None]":
        """The workplace on this host, with the clones where it lies in one."""
        if place.url is None or self._state is None:
            return place, None
        from acp_agent.fleet.clones import Clones

        clones = Clones(self._state)
        here = clones.of(place, run_id)
        return here, None if here is place else clones

    async def _set_up(self, checkout: Checkout, run_id: str, setup: str | None) -> None:
        await include(checkout.place.root, checkout.place.worktree)
        if setup is not None:
            try:
                outcome = await self._run_setup(setup, _existing(str(checkout.place.path)), self._setup_timeout)
            except ToolError as error:
                raise AcpAgentError(f"setup `{setup}` cannot run: {error.message}", hint=error.hint) from None
            if outcome.exit_status != 0:
                raise AcpAgentError(_setup_failed(setup, outcome), hint=_TRY.format(checkout.place.path))
        (checkout.private / _READY).write_text(run_id, "utf-8")


async def is_result(place: Place, commit: str, run_id: str) -> bool:
    """Whether `commit` is the one commit over the base that `GitWorkplaces.commit` made for the run."""
    shown = await git(place.root, "log", "-1", "--no-show-signature", "--format=%P%x00%B", commit)
    parents, _, message = shown.text.partition("\0")
    return parents == place.base and f"{TRAILER}: {run_id}" in message.splitlines()


async def _made(place: Place, run_id: str, lock: int) -> Checkout:
    await anyio.to_thread.run_sync(_clear_half_made, place, run_id)
    checkout = Checkout.of(place)
    if checkout is None:
        if place.worktree.is_dir() and any(place.worktree.iterdir()):
            raise Refused(f"{place.worktree} is in the way of a new worktree", hint="Move it aside, then resume")
        await _add(place, run_id, lock)
        checkout = _checkout(place)
    (checkout.private / _OWNER).write_text(run_id, "utf-8")
    return checkout


async def _add(place: Place, run_id: str, lock: int) -> None:
    await clear_stale([place.common / f"{place.ref}.lock"])
    new = ("worktree", "add", "--quiet", "--no-track", "-b", place.branch, str(place.worktree), place.base)
    try:
        await git(place.root, *new, hold=lock)
        return
    except GitFailed as failure:
        tip = await place.tip()
        if tip is None:
            raise AcpAgentError(failure.what, hint=failure.hint) from None
    if tip != place.base and not await is_result(place, tip, run_id):
        what = f"branch {place.branch} of {place.root} exists and holds other commits"
        raise Refused(what, hint=f"Delete it (git branch -D {place.branch}) or choose another name")
    await git(place.root, "worktree", "add", "--quiet", str(place.worktree), place.branch, hold=lock)


def _clear_half_made(place: Place, run_id: str) -> None:
    """Remove what a killed `git worktree add` left; nothing is removed that a run or a person can have worked in."""
    private = place.private()
    if private is None:
        for stub in (place.common / "worktrees").glob(f"{_escaped(place.worktree.name)}*"):
            # Killed before it wrote where the worktree is; `git worktree prune` spares it because it is marked locked.
            if (stub / "locked").exists() and not (stub / "gitdir").exists():
                delete_tree(stub)
        return
    # Killed as it wrote its name, a run left an empty file: that is nobody's name.
    owner = _read(private / _OWNER) or None
    if owner not in (None, run_id):
        raise Refused(f"{place.worktree} belongs to run {owner}", hint=f"Accept or reject {owner} first")
    entry = place.worktree / ".git"
    half_made = owner is None and (
        _read(private / "locked") == "initializing" or not (private / "index").exists() or not entry.exists()
    )
    if half_made or not place.worktree.exists() or is_half_removed(private):
        delete_tree(place.worktree)
        delete_tree(private)
    elif owner is None and _read(private / "HEAD") != f"ref: {place.ref}":
        raise Refused(f"{place.worktree} is a worktree of somebody else", hint="Move it aside, then resume")
    elif not entry.is_file() or entry.is_symlink() or _read(entry) != f"gitdir: {private}":
        _rewrite(entry, private)


async def _commit(checkout: Checkout, run_id: str, message: str) -> Committed:
    place = checkout.place
    await clear_stale(checkout.locks)
    status = await checkout.status()
    changes = [change for change in status.changes if inside(change.path, place.subdir)]
    on_branch = status.branch == place.branch
    committed = on_branch and not changes and status.head is not None and status.head != place.base
    if committed and await is_result(place, str(status.head), run_id):
        return await _counted(checkout)
    strays = any(change.staged for change in status.changes if not inside(change.path, place.subdir))
    if status.head != place.base or not on_branch or strays or checkout.in_progress:
        await checkout.git("symbolic-ref", "HEAD", place.ref)
        await checkout.git("reset", "--quiet", "--mixed", place.base)
        changes = [change for change in (await checkout.status()).changes if inside(change.path, place.subdir)]
    if not changes:
        return Committed(commit=None)
    await checkout.stage(changes)
    text = _with_trailer(message, run_id)
    try:
        await checkout.commit("commit", "--quiet", "--no-verify", "--cleanup=verbatim", "-F", "-", stdin=text)
    except GitFailed as failure:
        # Differences that vanish as they are staged (line ends, modes) leave nothing to commit: no words, status 1.
        if failure.status != 1 or failure.said:
            raise
        return Committed(commit=None)
    return await _counted(checkout)


async def _counted(checkout: Checkout) -> Committed:
    shown = (await checkout.git("diff-tree", "-r", "--numstat", "-z", "--no-renames", "HEAD")).fields
    totals = count(shown[1:])
    return Committed(commit=shown[0], files=totals.files, added=totals.added, removed=totals.removed)


def _with_trailer(message: str, run_id: str) -> bytes:
    lines = [line.rstrip() for line in message.replace("\0", "").strip().splitlines()] or ["Work of an agent"]
    last = lines[len(lines) - lines[::-1].index("") :] if "" in lines else []
    gap = [] if last and all(_TRAILER_LINE.fullmatch(line) for line in last) else [""]
    return "\n".join([*lines, *gap, f"{TRAILER}: {run_id}", ""]).encode("utf-8", "replace")


def _is_ready(checkout: Checkout, run_id: str) -> bool:
    return _read(checkout.private / _READY) == run_id and (checkout.place.worktree / ".git").is_file()


def _checkout(place: Place) -> Checkout:
    checkout = Checkout.of(place)
    if checkout is None:
        raise AcpAgentError(f"the worktree {place.worktree} is gone", hint="acp resume makes it again")
    return checkout


def _existing(path: str) -> str:
    if not os.path.isdir(path):
        raise UsageError(f"{path} does not exist", hint="Is it committed, and is its path right in projects.toml?")
    return path


def _setup_failed(setup: str, outcome: CommandOutcome) -> str:
    how = "was stopped" if outcome.exit_status is None else f"ended with {outcome.exit_status}"
    last = [line.strip() for line in outcome.output.strip().splitlines()[-_LAST_LINES:]]
    return f"setup `{setup}` {how}: {' / '.join(last) or 'no output'}"


def _read(path: Path) -> str | None:
    try:
        return path.read_text("utf-8", "surrogateescape").strip()
    except OSError:
        return None


def _rewrite(entry: Path, private: Path) -> None:
    if os.path.lexists(entry):
        # A repository made on top of ours: its files were ours all along, its history goes out of their way.
        shutil.move(entry, private / f"found-{os.urandom(4).hex()}")
    entry.write_text(f"gitdir: {private}\n", "utf-8", "surrogateescape")


def _escaped(name: str) -> str:
    return re.sub(r"([*?[])", r"[\1]", name)
