"""Running hooks: JSON on stdin, an exit status and maybe JSON back (docs/guides/skills-and-hooks.md).

A hook may run twice for the same thing (a crash cut it off, or a person was asked meanwhile): hooks are repeatable by
contract. `Hooks.hear` is all that is needed around an iteration of a loop; around the steps of a run it is `hooking`
that calls it.
"""

import json
import secrets
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from acp_agent.domain.errors import ToolError
from acp_agent.domain.events_hooks import HookRan
from acp_agent.domain.hook import BEFORE, VERSION, Hook, HookEvent, Judged, blocked_text, judged
from acp_agent.tools.sandbox.model import Sandbox
from acp_agent.tools.shell import run_command

KEPT = 256_000
"""Bytes of what a hook prints; JSON that is longer than that is none."""
LONGEST_RESULT = 8_000
"""Characters of a tool's output that a hook is shown."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What the hooks of one moment said: facts to record, the first that did not let it pass, and notes by hook."""

    facts: tuple[HookRan, ...] = ()
    refusal: str = ""
    asks: str = ""
    notes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Hooks:
    """The hooks of the user, and what any hook is run with. `redact` masks secrets in what goes in and comes out."""

    own: tuple[Hook, ...] = ()
    sandbox: Sandbox = field(default_factory=Sandbox)
    redact: Callable[[str], str] = str

    async def hear(
        self,
        event: HookEvent,
        said: Mapping[str, Any],
        cwd: str,
        *,
        of_project: Sequence[Hook] = (),
        tool: str | None = None,
        call_id: str | None = None,
        done: frozenset[str] = frozenset(),
    ) -> Heard:
        """Run every hook of `event` in turn in `cwd`, the user's first, until one blocks or asks.

        `said` are the fields a hook reads beside `v`, `event` and `cwd`; `of_project` the hooks of the project; `done`
        names those on record already. Records nothing; the caller records `facts`. Raises only for cancellation.
        """
        facts: list[HookRan] = []
        notes: list[tuple[str, str]] = []
        for hook in (*self.own, *of_project):
            if not hook.fits(event, tool) or hook.name in done:
                continue
            fact = await self._ran(hook, {"v": VERSION, "event": event, **said, "cwd": cwd}, Path(cwd), call_id)
            facts.append(fact)
            if fact.note:
                notes.append((hook.name, fact.note))
            if event in BEFORE and fact.outcome != "passed":
                why = Judged(outcome=fact.outcome, reason=fact.reason)
                if fact.outcome == "asked":
                    asks = f"The hook {hook.name} asks: {fact.reason or 'it gave no reason'}"
                    return Heard(tuple(facts), asks=asks, notes=tuple(notes))
                return Heard(tuple(facts), refusal=blocked_text(hook.name, why), notes=tuple(notes))
        return Heard(tuple(facts), notes=tuple(notes))

    async def _ran(self, hook: Hook, said: Mapping[str, Any], cwd: Path, call_id: str | None) -> HookRan:
        mark = secrets.token_hex(16)
        text = json.dumps(_masked(said, self.redact), ensure_ascii=False)
        sandbox = self.sandbox if hook.sandbox else replace(self.sandbox, level="off")
        try:
            ended = await run_command(
                _apart(hook.run, mark),
                workspace=cwd,
                timeout=hook.timeout,
                sandbox=sandbox,
                stdin=text.encode("utf-8", "replace"),
                keep=KEPT,
            )
        except (ToolError, OSError) as error:
            why = error.message if isinstance(error, ToolError) else error.strerror or str(error)
            return HookRan(event=hook.event, hook=hook.name, outcome="failed", call_id=call_id, reason=why)
        stdout, found, stderr = ended.output.partition(mark)
        status = ended.exit_status if found else ended.exit_status or None
        meant = judged(hook.event, status, stdout, stderr)
        if ended.timed_out:
            meant = Judged(outcome="failed", reason=f"it took longer than {hook.timeout:g} seconds")
        return HookRan(
            event=hook.event,
            hook=hook.name,
            outcome=meant.outcome,
            call_id=call_id,
            reason=_clean(self.redact(meant.reason)),
            note=_clean(self.redact(meant.note)),
            exit_status=ended.exit_status,
            seconds=round(ended.seconds, 3),
            sandbox=ended.sandbox,
        )


def _apart(command: str, mark: str) -> str:
    """`command` with its two outputs apart: stdout, then `mark`, then stderr. One that was cut off leaves no mark."""
    inner = f"${{BASH:-sh}} -c {shlex.quote(command)} 2>&1 >&3 3>&-"
    return f"exec 3>&1; said=$({inner}); status=$?; printf '%s%s' {mark} \"$said\"; exit $status"


def _masked(value: Any, redact: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {redact(str(key)): _masked(inner, redact) for key, inner in value.items()}
    return [_masked(inner, redact) for inner in value] if isinstance(value, list | tuple) else value


def _clean(text: str) -> str:
    """Without what a database or a JSON text cannot hold."""
    return text.replace("\0", "").encode("utf-8", "backslashreplace").decode()
