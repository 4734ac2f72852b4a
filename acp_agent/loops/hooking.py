"""The seam of hooks around iterations: what is due is read off the record, so a driver that died forgets none."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread

from acp_agent.config.paths import state_dir
from acp_agent.config.projects import load_projects
from acp_agent.config.trust import require_trust
from acp_agent.domain.errors import AcpAgentError
from acp_agent.domain.events_loop import LoopParked
from acp_agent.domain.hook import Hook, HookEvent
from acp_agent.domain.loop import LoopState

if TYPE_CHECKING:
    from acp_agent.loops.driver import LoopDriver


async def settle(driver: "LoopDriver") -> None:
    """Run the hooks that the record lacks: after an iteration that was decided, before one that is prepared.

    A hook that blocks an iteration parks the loop until a person says something; so does a file whose hooks cannot be
    used, for none is left out in silence.
    """
    state = driver.state
    event = _due(state)
    if event is None:
        return
    try:
        of_project = await hooks_of_project(driver)
    except AcpAgentError as error:
        hint = f" ({error.hint})" if error.hint else ""
        await driver.record(LoopParked(waiting="answer", detail=f"{error.what}{hint}"))
        return
    passed = frozenset(ran.hook for ran in state.hooks if ran.event == event and ran.outcome == "passed")
    done = passed if event == "before_iteration" else frozenset(ran.hook for ran in state.hooks if ran.event == event)
    cwd = driver.place.path()
    heard = await driver.parts.hooks.hear(event, _said(driver, event), cwd, of_project=of_project, done=done)
    parked = (LoopParked(waiting="answer", detail=heard.refusal),) if heard.refusal else ()
    if heard.facts:
        await driver.record(*heard.facts, *parked)


async def hooks_of_project(driver: "LoopDriver") -> tuple[Hook, ...]:
    """The hooks of the loop's projects.toml as it is now. Raises Refused where one is not trusted, UsageError."""
    return await anyio.to_thread.run_sync(_of_file, Path(driver.state.place), state_dir(driver.parts.environ))


def _of_file(path: Path, state: Path) -> tuple[Hook, ...]:
    file = load_projects(path)
    require_trust(path, [command for command in file.commands() if command.key.startswith("hooks.")], state)
    return file.hooks


def _due(state: LoopState) -> HookEvent | None:
    if state.ended:
        return None
    if state.phase == "idle" and 0 < state.iteration <= state.iterations:
        return "after_iteration"
    called_off = state.parked or state.paused or state.stop_asked
    return "before_iteration" if state.phase == "prepared" and not called_off else None


def _said(driver: "LoopDriver", event: HookEvent) -> dict[str, Any]:
    state = driver.state
    about = {
        "loop": state.name,
        "loop_id": driver.claim.stream_id,
        "project": state.project,
        "iteration": state.iteration,
        "attempt": state.attempt,
    }
    if event == "before_iteration":
        return about
    kept = state.kept[-1] if state.kept and state.kept[-1].iteration == state.iteration else None
    if kept is not None:
        return {**about, "outcome": "accepted", "commit": kept.commit, "subject": kept.subject, "metrics": kept.metrics}
    refused = state.refused[-1] if state.refused else None
    told = {"why": refused.why, "detail": refused.detail} if refused else {}
    return {**about, "outcome": "rejected", **told}
