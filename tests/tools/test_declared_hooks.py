"""Tools as declared: tries, the idempotency key, dry run, verify, compensate, and a breaker that takes a tool away."""

from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from acp_agent.domain.errors import ToolError
from acp_agent.domain.message import ToolCall
from acp_agent.domain.redact import Redactor
from acp_agent.domain.tool import Intent, Risk, ToolResult, call_key
from acp_agent.tools.breaker import REST, THRESHOLD, Breaker
from acp_agent.tools.guard import Guard
from acp_agent.tools.prepared import Prepared
from acp_agent.tools.registry import Arguments, Hooks, Ready, Seen, Tool, prepared_tool
from acp_agent.tools.workspace import Workspace

pytestmark = pytest.mark.anyio
DOWN = ToolError("no answer", kind="unavailable", retryable=True)
CALL = ToolCall(call_id="c1", name="send", arguments="{}")


class Nothing(Arguments):
    def title(self) -> str:
        return "Send it"


def sending(outcomes: list[ToolError | str], *, repeatable: bool = True, hooks: Hooks | None = None) -> Tool:
    """A tool that answers `outcomes` in turn, with its key."""

    @prepared_tool(Risk.EXTERNAL, kind="other", repeatable=repeatable)
    def send(arguments: Nothing, workspace: Workspace, seen: Seen) -> Ready:
        """Send it."""

        async def run(key: str) -> ToolResult:
            outcome = outcomes.pop(0)
            if isinstance(outcome, ToolError):
                raise outcome
            return ToolResult(status="ok", output=f"{outcome} {key}")

        return Ready(Intent(title=arguments.title()), run, hooks=hooks or Hooks())

    return send


def guard_of(tool: Tool, root: Path) -> Guard:
    return Guard({tool.name: tool}, Workspace.at(root), Redactor(["hunter2-hunter2"]))


async def prepared(guard: Guard, key: str = "k") -> Prepared:
    ready = await guard.prepare(CALL, {}, key)
    assert isinstance(ready, Prepared), ready
    return ready


async def test_a_key_is_the_same_for_one_call_and_differs_between_calls() -> None:
    keys = [call_key("r_1", "c1"), call_key("r_1", "c1"), call_key("r_1", "c2"), call_key("r_2", "c1")]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3
    assert all(len(key) == 32 for key in keys)


async def test_a_transient_failure_is_tried_again_with_the_same_key_and_stays_on_record(root: Path) -> None:
    guard = guard_of(sending([DOWN, ToolError("full hunter2-hunter2", kind="busy"), "sent"]), root)
    call = await prepared(guard, "the-key")
    assert call.intent == Intent(title="Send it", key="the-key")
    assert await call.run() == ToolResult(
        status="ok", output="sent the-key", tried=("unavailable: no answer", "busy: full [redacted]")
    )


@pytest.mark.parametrize(
    ("failure", "repeatable", "left"),
    [(DOWN, True, 1), (DOWN, False, 3), (ToolError("no", kind="not_found"), True, 3)],
    ids=["bounded", "not repeatable", "not transient"],
)
async def test_tries_are_bounded_and_only_for_what_may_be_repeated(
    root: Path, failure: ToolError, repeatable: bool, left: int
) -> None:
    outcomes: list[ToolError | str] = [failure] * 4
    result = await (await prepared(guard_of(sending(outcomes, repeatable=repeatable), root))).run()
    assert (result.status, result.kind, len(outcomes)) == ("error", failure.kind, left)


async def test_a_dry_run_tells_before_and_a_broken_one_says_so(root: Path) -> None:
    async def tells(key: str) -> str:
        return f"would send {key}, hunter2-hunter2"

    async def breaks(key: str) -> str:
        raise ToolError("no such option")

    told = await (await prepared(guard_of(sending([], hooks=Hooks(dry_run=tells)), root))).rehearse()
    assert told == "would send k, [redacted]"
    broken = await (await prepared(guard_of(sending([], hooks=Hooks(dry_run=breaks)), root))).rehearse()
    assert broken == "the dry run failed: no such option"
    assert await (await prepared(guard_of(sending([]), root))).rehearse() is None


@pytest.mark.parametrize("happened", [True, False, None])
async def test_verify_tells_what_became_of_a_call_that_was_cut_off(root: Path, happened: bool | None) -> None:
    asked: list[str] = []

    async def verify(key: str) -> bool | None:
        asked.append(key)
        return happened

    guard = guard_of(sending(["sent"], repeatable=False, hooks=Hooks(verify=verify)), root)
    outcome = await guard.recover(CALL, Intent(title="Send it", key="first"), {})
    assert asked == ["first"]
    if happened is None:
        assert outcome is None
    elif happened:
        told = "Send it: it took effect before an interruption; its output is lost."
        assert outcome == ToolResult(status="ok", output=told)
    else:
        assert isinstance(outcome, Prepared)
        assert (await outcome.run()).output == "sent first"


async def test_a_verify_that_fails_tells_nothing(root: Path) -> None:
    async def verify(key: str) -> bool | None:
        raise ToolError("down", kind="unavailable")

    guard = guard_of(sending(["sent"], repeatable=False, hooks=Hooks(verify=verify)), root)
    assert await guard.recover(CALL, Intent(key="k"), {}) is None


async def test_compensation_is_handed_the_key_of_the_effect(root: Path) -> None:
    async def undo(key: str) -> ToolResult:
        return ToolResult(status="ok", output=f"took back {key}")

    guard = guard_of(sending(["sent"], hooks=Hooks(compensate=undo)), root)
    intent = (await prepared(guard, "effect-1")).intent
    assert intent.compensates
    assert await guard.compensate(CALL, intent) == ToolResult(status="ok", output="took back effect-1")
    assert await guard_of(sending([]), root).compensate(CALL, intent) is None


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_a_tool_that_keeps_failing_leaves_and_comes_back(root: Path) -> None:
    clock = Clock()
    outcomes: list[ToolError | str] = [DOWN] * THRESHOLD
    tool = replace(sending(outcomes, repeatable=False), breaker=Breaker(clock))
    guard = guard_of(tool, root)
    calls = [await prepared(guard) for _ in range(THRESHOLD + 1)]
    for call in calls[:THRESHOLD]:
        assert guard.offered() == (tool.spec,)
        assert guard.notes() == ()
        await call.run()
    assert guard.offered() == ()
    assert set(guard.specs()) == {"send"}
    assert guard.notes() == ("The tool send is not available for a while: it failed 5 times, last with: no answer",)
    refused = await calls[-1].run()
    assert (refused.kind, refused.hint) == ("resting", "Find another way, or try again in about 30 seconds.")
    outcomes[:] = ["back", "again"]
    clock.now = REST
    assert guard.offered() == (tool.spec,)
    assert (await (await prepared(guard)).run()).output == "back k"
    assert guard.notes() == ()


async def test_a_cancelled_trial_lets_another_one_try(root: Path) -> None:
    clock = Clock()
    breaker = Breaker(clock)
    for _ in range(THRESHOLD):
        breaker.ended("down")
    clock.now = REST
    guard = guard_of(replace(sending(["a", "b"]), breaker=breaker), root)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await (await prepared(guard)).run()
    assert (await (await prepared(guard)).run()).status == "ok"


async def test_errors_that_are_answers_do_not_open_it(root: Path) -> None:
    wrong: list[ToolError | str] = [ToolError("no such thing", kind="not_found")] * (2 * THRESHOLD)
    guard = guard_of(replace(sending(wrong), breaker=Breaker()), root)
    for _ in range(2 * THRESHOLD):
        assert (await (await prepared(guard)).run()).kind == "not_found"
    assert len(guard.offered()) == 1
