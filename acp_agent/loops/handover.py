"""What a new session is told, written from the record alone and bounded whatever the number of iterations. Pure."""

from collections.abc import Iterator, Sequence

from acp_agent.domain.loop import Kept, LoopState, Refused
from acp_agent.domain.loop_spec import DoneWhen, LoopSpec

MAX_BYTES = 12_000
"""At most 4,000 tokens: no usual tokenizer makes more than one token of three bytes of prose or code."""
NOTE_BYTES = 3_000
FAILURE_BYTES = 1_500
LINE_BYTES = 220
LISTED = 20


def handover(state: LoopState, spec: LoopSpec, elapsed: float) -> str:
    """Goal, what is left, what was accepted and rejected, the last failure, and the last words of the agent."""
    parts = [
        f"Goal: {cut(spec.goal, 1_000)}",
        _left(state, spec, elapsed),
        _metrics(state, spec),
        _accepted(state.kept, state.accepted),
        _rejected(state.refused, state.rejected),
        _block("The last failing check said:", state.last_failure, FAILURE_BYTES),
        _block("The agent before you said at last:", state.last_note, NOTE_BYTES),
    ]
    return cut("\n\n".join(part for part in parts if part), MAX_BYTES)


def prompt_for(state: LoopState, spec: LoopSpec) -> str:
    """What the agent is told at the beginning of an iteration."""
    first = state.since_rotation[0] == 0
    parts = [spec.prompt.strip() if first else ""]
    if first and state.handover:
        parts.append(f"What happened so far, from the record:\n\n{state.handover}")
    else:
        parts.append(f"Goal: {spec.goal.strip()}")
    parts.append(_rules(spec))
    parts += [] if first else [_last(state)]
    if state.salvage is not None or state.attempt > 1:
        parts.append("The last attempt was cut off; the files are again as they were before it. Begin anew.")
    parts += [f"The person you work for says: {text}" for text in state.steered]
    parts += [f"Note of the hook {note}" for note in state.notes]
    parts.append(
        f"This is iteration {state.iteration} of at most {spec.max_iter}. Make one change now. It is committed for you"
        " if it passes the checks, which run after you have ended, in a tree of their own; what you say of them counts"
        " for nothing. End with a few lines: what you did, what you learned, what to try next."
    )
    return "\n\n".join(part for part in parts if part)


def subject(state: LoopState) -> str:
    """The first line of an accepted change's commit: the agent's own first line, or the goal."""
    text = state.ran.text if state.ran else ""
    line = next((line.strip(" #*`-") for line in text.splitlines() if line.strip(" #*`-")), "")
    return cut(line, 72) or cut(state.spec.goal if state.spec else "One more step", 72)


def _left(state: LoopState, spec: LoopSpec, elapsed: float) -> str:
    told = [f"{spec.max_iter - state.iterations} of {spec.max_iter} iterations"]
    if spec.max_cost is not None:
        told.append(f"${max(0.0, spec.max_cost - state.cost):.2f} of ${spec.max_cost:.2f}")
    if spec.max_tokens is not None:
        told.append(f"{max(0, spec.max_tokens - state.tokens)} of {spec.max_tokens} tokens")
    if spec.max_time is not None:
        told.append(f"{max(0.0, spec.max_time - elapsed) / 60:.0f} of {spec.max_time / 60:.0f} minutes")
    return f"Left: {', '.join(told)}. Accepted so far: {state.accepted}, rejected: {state.rejected}."


def _metrics(state: LoopState, spec: LoopSpec) -> str:
    lines = []
    for metric in spec.metrics:
        now = state.current.get(metric.name)
        word = "more is better" if metric.direction == "up" else "less is better"
        lines.append(f"{metric.name} is {'unknown' if now is None else f'{now.value:g}'} ({word}; keep: {metric.keep})")
    if spec.done_when is not None:
        lines.append(f"The goal is reached when {goal_text(spec.done_when)}.")
    return "\n".join(lines[:LISTED])


def goal_text(done: DoneWhen) -> str:
    """`perf >= 95`, or the command."""
    if done.metric is not None:
        return f"{done.metric} {done.operator} {done.target:g}"
    return f"`{cut(done.run or '', 200)}` succeeds"


def _accepted(kept: Sequence[Kept], total: int) -> str:
    if not kept:
        return ""
    newest = kept[-LISTED:]
    lines = [f"- {entry.iteration}: {entry.commit[:10]} {entry.subject}{_values(entry)}" for entry in newest]
    return "\n".join([f"Accepted ({len(newest)} of {total}):", *(cut(line, LINE_BYTES) for line in lines)])


def _rejected(refused: Sequence[Refused], total: int) -> str:
    """The reasons, the same ones together: what was tried need not be tried again."""
    if not refused:
        return ""
    newest = refused[-LISTED:]
    lines = [f"- {entry.iteration}: {entry.why}: {' '.join(entry.detail.split())}" for entry in newest]
    return "\n".join(
        [f"Rejected ({len(newest)} of {total}), do not repeat:", *(cut(line, LINE_BYTES) for line in lines)]
    )


def _values(entry: Kept) -> str:
    return "".join(f", {name} {value:g}" for name, value in entry.metrics.items())


def _rules(spec: LoopSpec) -> str:
    return "\n".join(_rule_lines(spec))


def _rule_lines(spec: LoopSpec) -> Iterator[str]:
    if spec.gates:
        yield "Checks that must pass: " + "; ".join(f"{gate.name} (`{gate.run}`)" for gate in spec.gates) + "."
    for metric in spec.metrics:
        word = "go up" if metric.direction == "up" else "go down"
        least = f" by at least {metric.min_effect:g}" if metric.min_effect else ""
        if metric.keep == "better":
            yield f"{metric.name} (`{metric.run}`) must {word}{least}, or the change is thrown away."
    if spec.scope:
        yield f"Change only: {', '.join(spec.scope)}."
    if spec.protect:
        yield f"Never change: {', '.join(spec.protect)}, nor the files that the checks rest on."


def _last(state: LoopState) -> str:
    """What became of the iteration before, in the same session."""
    if state.dry == 0 and state.kept:
        return f"Your last change was accepted as commit {state.kept[-1].commit[:10]}{_values(state.kept[-1])}."
    if state.refused:
        last = state.refused[-1]
        return f"Your last change was rejected and undone ({last.why}): {cut(last.detail, FAILURE_BYTES)}"
    return ""


def _block(head: str, text: str, most: int) -> str:
    return f"{head}\n{cut(text.strip(), most)}" if text.strip() else ""


def cut(text: str, most: int) -> str:
    """`text` in at most `most` bytes of UTF-8."""
    data = text.encode("utf-8", "replace")
    return text if len(data) <= most else data[: most - 3].decode("utf-8", "ignore") + "..."
