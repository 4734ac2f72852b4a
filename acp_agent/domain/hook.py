"""Hooks: a person's own commands around the steps of a run, and what their answer means. They only tighten."""

import json
from fnmatch import fnmatchcase
from typing import Any, Literal

from acp_agent.domain.base import Frozen

HookEvent = Literal["before_tool", "after_tool", "before_run", "after_run", "before_iteration", "after_iteration"]
HookOutcome = Literal["passed", "asked", "blocked", "failed"]
VERSION = 1
BLOCKS = 2
"""The exit status with which a hook blocks; what it wrote to stderr is the reason."""
MAX_TEXT = 2_000
"""Characters of a reason or a note that are kept."""
BEFORE = ("before_tool", "before_run", "before_iteration")
"""Events at which a hook can block what is to come."""
_KEYS: dict[HookEvent, tuple[str, ...]] = {
    "before_tool": ("decision", "reason"),
    "after_tool": ("note",),
    "before_run": ("decision", "reason", "note"),
    "after_run": ("note",),
    "before_iteration": ("decision", "reason", "note"),
    "after_iteration": ("note",),
}


class Hook(Frozen):
    """A command run at `event`, for tools that `match` (patterns of names, alternatives behind `|`).

    `name` is the place where it is declared. `timeout` is in seconds. Without `sandbox` it runs as the person who
    declared it in their own settings.
    """

    event: HookEvent
    name: str
    run: str
    match: str = "*"
    timeout: float = 10.0
    sandbox: bool = True

    def fits(self, event: HookEvent, tool: str | None = None) -> bool:
        """Whether it is to be run at `event` for `tool` (None where no tool is called)."""
        if event != self.event:
            return False
        return tool is None or any(fnmatchcase(tool, pattern.strip()) for pattern in self.match.split("|"))


class Judged(Frozen):
    """What the end of a hook means. Anything but `passed` and `asked` blocks what was to come, where that can be."""

    outcome: HookOutcome
    reason: str = ""
    note: str = ""


def judged(event: HookEvent, exit_status: int | None, stdout: str, stderr: str) -> Judged:
    """What a hook meant that ended like this; `exit_status` is None where it was stopped.

    Whatever is not plainly a yes is a no: another status, output that is no JSON, a key or a decision not known here.
    """
    if exit_status == BLOCKS:
        told = _cut(stderr) or "it gave no reason"
        return Judged(outcome="blocked", reason=told) if event in BEFORE else Judged(outcome="passed", note=told)
    if exit_status != 0:
        how = "it was stopped" if exit_status is None else f"exit status {exit_status}"
        return Judged(outcome="failed", reason=": ".join(filter(None, (how, _cut(stderr)))))
    if not stdout.strip():
        return Judged(outcome="passed")
    try:
        said: Any = json.loads(stdout)
    except (ValueError, RecursionError):
        return Judged(outcome="failed", reason=f"its output is no JSON: {_cut(stdout)[:200]}")
    return _said(event, said)


def _said(event: HookEvent, said: Any) -> Judged:
    known = _KEYS[event]
    if not isinstance(said, dict) or not set(said) <= set(known):
        return Judged(outcome="failed", reason=f"its output should be an object with no keys but {', '.join(known)}")
    if not all(isinstance(value, str) for value in said.values()):
        return Judged(outcome="failed", reason="its output should hold texts only")
    reason, note = _cut(said.get("reason", "")), _cut(said.get("note", ""))
    match said.get("decision"):
        case None:
            return Judged(outcome="passed", reason=reason, note=note)
        case "deny":
            return Judged(outcome="blocked", reason=reason, note=note)
        case "ask" if event == "before_tool":
            return Judged(outcome="asked", reason=reason, note=note)
        case other:
            return Judged(outcome="failed", reason=f"it may not decide {_cut(other)[:40]!r} here")


def blocked_text(name: str, judged: Judged) -> str:
    """Why something does not happen, for a model or a person."""
    if judged.outcome == "failed":
        return f"The hook {name} failed ({judged.reason}), and what a hook cannot judge does not happen."
    return f"The hook {name} blocks this: {judged.reason or 'it gave no reason'}"


def noted(text: str, name: str, note: str) -> str:
    """`text` with the note of a hook, told apart from it."""
    return f"{text}\n\n[note of the hook {name}]\n{note}"


def _cut(text: str) -> str:
    text = text.strip()
    return text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + " [...]"
