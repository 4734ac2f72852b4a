"""Takes an accepted result back: a commit on the target branch that reverts it, made without touching a checkout."""

from acp_agent.domain.errors import AcpAgentError, Refused
from acp_agent.domain.events import Accepted
from acp_agent.domain.request import Workplace
from acp_agent.fleet.advance import Advance, checked_out
from acp_agent.fleet.checkout import Place
from acp_agent.fleet.git import GitFailed, git, git_as_somebody
from acp_agent.fleet.locks import repository_lock

TRAILER = "Acp-Undo"
_ATTEMPTS = 3


async def revert(run_id: str, place: Workplace, landed: Accepted, commit: str | None) -> str:
    """Revert what run `run_id` landed; returns the target branch's new head. `commit` is the run's own, where known.

    Nothing changes where it raises: Refused (exit 6) for a branch that is gone or a dirty checkout, AcpAgentError
    (exit 1) naming the files where later commits changed the same lines. A revert that is there already is found.
    """
    whole = Place.of(place)
    tip = commit or await _tip_of(whole, landed.commit)
    async with repository_lock(whole.common) as lock:
        for attempt in range(_ATTEMPTS):
            found = await checked_out(whole.root, f"refs/heads/{landed.target}")
            head, checkout = found.get(f"refs/heads/{landed.target}", (None, None))
            if head is None:
                raise Refused(f"branch {landed.target} of {whole.root} is gone")
            if (made := await _made_before(whole, run_id, landed.commit, head)) is not None:
                return made
            new = await _reverted(whole, landed.target, head, tip, run_id)
            ref = f"refs/heads/{landed.target}"
            move = Advance(whole.root, whole.common, f"{run_id}-undo", ref, head, new, checkout)
            try:
                await move.apply(lock)
                return new
            except GitFailed as failure:
                # Somebody committed between our look and our move: look again.
                if "but expected" not in failure.said or attempt == _ATTEMPTS - 1:
                    raise
        raise AssertionError("unreachable")


async def _tip_of(place: Place, landed: str) -> str:
    """The run's last commit: what a merge brought in, else the commit that the branch was moved to."""
    parents = (await git(place.root, "rev-list", "--parents", "-1", landed)).text.split()[1:]
    return parents[1] if len(parents) == 2 else landed


async def _made_before(place: Place, run_id: str, landed: str, head: str) -> str | None:
    """The head that holds the revert already: we were killed before it was put on record."""
    search = ("rev-list", "-1", f"--grep=^{TRAILER}: {run_id}$", head, f"^{landed}")
    return head if (await git(place.root, *search)).text else None


async def _reverted(place: Place, target: str, head: str, tip: str, run_id: str) -> str:
    """A commit on top of `head` without what the run changed between its base and `tip`."""
    base_tree = (await git(place.root, "rev-parse", f"{place.base}^{{tree}}")).text
    # As if somebody had taken the run's work back right on top of it; merging that into today's branch is the revert.
    aside = (await git_as_somebody(place.root, "commit-tree", base_tree, "-p", tip, "-m", f"Revert {run_id}")).text
    merge = ("merge-tree", "--write-tree", "--name-only", "--no-messages", "-z", head, aside)
    result = await git(place.root, *merge, check=False)
    if result.status == 1:
        names = ", ".join(result.fields[1:])
        what = f"{target} was changed since in the same places: {names}; nothing was changed"
        raise AcpAgentError(what, hint=f"git revert {tip} lets you settle them by hand")
    if result.status != 0:
        raise AcpAgentError(f"git merge-tree in {place.root}: exit status {result.status}", hint="git 2.38 or newer")
    subject = (await git(place.root, "log", "-1", "--format=%s", tip)).text
    message = f'Revert "{subject}"\n\nThis reverts commit {tip}.\n\n{TRAILER}: {run_id}\n'
    signing = await git(place.root, "config", "--type=bool", "commit.gpgsign", check=False)
    sign = ("-S",) if signing.text == "true" else ()
    made = ("commit-tree", result.fields[0], "-p", head, *sign, "-F", "-")
    return (await git_as_somebody(place.root, *made, stdin=message.encode())).text
