"""A loop for people and for machines: what was accepted, what was rejected and why, what it cost, what to do next."""

import time
from collections.abc import Iterator, Sequence
from typing import IO, Any

from acp_agent.loops.view import LoopView, Turn
from acp_agent.surfaces.cli.document import cost_of
from acp_agent.surfaces.cli.formats import changes, count, duration, money, some
from acp_agent.surfaces.cli.glyphs import at_least, label, speaks_unicode
from acp_agent.surfaces.cli.text import cut, one_line

BARS = "▁▂▃▄▅▆▇█"
ASCII_BARS = "_.-=*#"
WIDEST = 60
LISTED = 30
"""Accepted and rejected iterations listed, each; the newest."""
LONGEST = 110


def sparkline(values: Sequence[float], unicode: bool, width: int = WIDEST) -> str:
    """The newest `width` values as bars from the lowest to the highest of them."""
    bars = BARS if unicode else ASCII_BARS
    kept = values[-width:]
    low, high = min(kept, default=0.0), max(kept, default=0.0)
    if high == low:
        return bars[0] * len(kept)
    return "".join(bars[round((value - low) / (high - low) * (len(bars) - 1))] for value in kept)


def report(view: LoopView, stream: IO[str], *, interrupted: bool = False) -> str:
    """The whole story of a loop, the newest iterations of it; `interrupted` says that nobody drives it."""
    unicode = speaks_unicode(stream)
    parts = [
        "\n".join(_head(view, unicode, interrupted)),
        "\n".join(_scores(view, unicode)),
        "\n".join(_listed("accepted", view.accepted, unicode, _kept_line)),
        "\n".join(_listed("rejected", view.rejected, unicode, _refused_line)),
        "\n".join(_remarks(view)),
    ]
    if steps := next_steps(view, interrupted=interrupted):
        parts.append("next:\n" + "\n".join(f"  {step}" for step in steps))
    return "\n\n".join(part for part in parts if part)


def state_of(view: LoopView, interrupted: bool) -> str:
    """One word for where it stands."""
    if view.landed:
        return view.landed
    if view.status == "running":
        return "interrupted" if interrupted else "running"
    if view.status != "ended":
        return view.status
    if view.reason in ("done", "fleet"):
        return "ok"
    return "limit" if view.reason.startswith("max_") else "cancelled" if view.reason == "cancelled" else "failed"


def total_line(view: LoopView, unicode: bool) -> str:
    """`12/100 iterations, 5 accepted, 7 rejected, $0.12, 120k tokens, 12m03s`."""
    decided = len(view.accepted) + len(view.rejected)
    spent = sum((turn.ended_at or turn.started_at) - turn.started_at for turn in view.turns.values())
    parts = [
        f"{decided}/{view.max_iter} iterations",
        f"{len(view.accepted)} accepted",
        f"{len(view.rejected)} rejected",
        money(view.cost, view.cost_known, at_least=at_least(unicode)),
    ]
    parts += [f"{count(view.tokens)} tokens"] if view.tokens else []
    return ", ".join([*parts, duration(spent)])


def _head(view: LoopView, unicode: bool, interrupted: bool) -> Iterator[str]:
    state = label(state_of(view, interrupted), unicode)
    why = f": {one_line(view.message or view.reason)}" if view.message or view.reason else ""
    yield f"loop {one_line(view.name)} ({view.loop_id}) on {one_line(view.project)}: {state}{cut(why, 300)}"
    yield f"goal: {cut(one_line(str(view.spec.get('goal', ''))), 200)}"
    yield total_line(view, unicode)


def _scores(view: LoopView, unicode: bool) -> Iterator[str]:
    for name, values in view.scores().items():
        yield f"{one_line(name)}  {sparkline(values, unicode)}  {values[0]:g} -> {values[-1]:g}"


def _listed(word: str, turns: Sequence[Turn], unicode: bool, line: Any) -> Iterator[str]:
    if not turns:
        return
    yield f"{label(word, unicode)} ({len(turns)}):"
    if len(turns) > LISTED:
        yield f"  ... {len(turns) - LISTED} earlier"
    for turn in turns[-LISTED:]:
        yield f"  {line(turn, unicode)}"


def _kept_line(turn: Turn, unicode: bool) -> str:
    values = "".join(f", {name} {value:g}" for name, value in turn.metrics.items())
    what = f"{changes(turn.files, turn.added, turn.removed)}{values}"
    cost = money(turn.cost, turn.cost_known, at_least=at_least(unicode))
    return cut(f"{turn.iteration:>3}  {(turn.commit or '')[:10]}  {cost}  {what}  {one_line(turn.subject)}", LONGEST)


def _refused_line(turn: Turn, unicode: bool) -> str:
    cost = money(turn.cost, turn.cost_known, at_least=at_least(unicode))
    return cut(f"{turn.iteration:>3}  {turn.why}  {cost}  {one_line(turn.detail)}", LONGEST)


def _remarks(view: LoopView) -> Iterator[str]:
    if view.salvages:
        number = some(len(view.salvages), "attempt")
        left = any(salvage["ref"] for salvage in view.salvages)
        where = f"; what they left: refs/acp/salvage/{view.loop_id}/" if left else ", with nothing left behind"
        yield f"{number} cut off and begun again{where}"
    if view.rejected:
        yield f"rejected changes are kept: git show refs/acp/rejected/{view.loop_id}/N"
    if len(view.rotations) > 1:
        yield f"{len(view.rotations)} sessions; the last began with a hand-over: acp show {view.loop_id} --rotation N"
    if view.change_refused:
        yield f"the loop's file was changed and is not used: {one_line(view.change_refused)}"
    if not view.spec.get("gates") and not view.spec.get("metrics"):
        yield "nothing checked these results: the loop has no gate and no metric"


def next_steps(view: LoopView, *, interrupted: bool = False) -> list[str]:
    """The commands that carry on from here, each ready to be typed."""
    if view.landed:
        return []
    name = view.loop_id
    steps = [f"acp diff {name}", f"acp accept {name}"] if view.accepted and view.status != "running" else []
    if view.parked and view.parked["run_id"]:
        return [f"acp approve {view.parked['run_id']}, then: acp loop {view.name}"]
    if view.status == "waiting" and view.reason == "answer":
        return [*steps, f"acp steer {name} 'what to try next'", f"acp loop {view.name}"]
    if view.status == "paused" or interrupted or view.reason == "timer":
        steps.append(f"acp loop {view.name}")
    elif view.status == "ended" and view.reason.startswith("max_"):
        steps.append(f"acp loop {view.name} --{_option(view.reason)} MORE")
    elif view.status == "ended" and view.reason == "stagnation":
        steps.append(f"acp steer {name} 'what to try next', then: acp loop {view.name}")
    return steps


def _option(reason: str) -> str:
    return {"max_iter": "max-iter", "max_cost": "max-cost", "max_time": "max-time"}.get(reason, "fresh")


def loop_document(view: LoopView, code: int | None = None, reason: str = "") -> dict[str, Any]:
    """The document of `-o json`: every iteration and every hand-over; money is US dollars, None where unknown."""
    document: dict[str, Any] = {
        "v": 1,
        "loop": view.loop_id,
        "name": view.name,
        "project": view.project,
        "goal": view.spec.get("goal"),
        "status": view.status,
        "reason": view.reason or None,
        "message": view.message,
        "branch": view.branch,
        "landed": view.landed,
        "iterations": [_turn_document(turn) for turn in view.turns.values()],
        "metrics": {name: {"base": values[0], "now": values[-1]} for name, values in view.scores().items()},
        "rotations": [
            {"rotation": each.number, "session": each.session_id, "why": each.why, "handover": each.handover}
            for each in view.rotations
        ],
        "salvaged": [
            {"iteration": each["iteration"], "why": each["why"], "ref": each["ref"]} for each in view.salvages
        ],
        "totals": {
            "accepted": len(view.accepted),
            "rejected": len(view.rejected),
            "cost": cost_of(view.cost, view.cost_known),
            "cost_known": view.cost_known,
            "tokens": view.tokens,
        },
        "next": next_steps(view),
    }
    if code is not None:
        document["exit"] = {"code": code, "reason": reason}
    return document


def _turn_document(turn: Turn) -> dict[str, Any]:
    return {
        "iteration": turn.iteration,
        "outcome": turn.outcome,
        "why": turn.why or None,
        "detail": turn.detail,
        "subject": turn.subject,
        "run": turn.run_id,
        "commit": turn.commit,
        "ref": turn.ref,
        "files": turn.files,
        "added": turn.added,
        "removed": turn.removed,
        "attempts": turn.attempts,
        "metrics": turn.metrics,
        "cost": cost_of(turn.cost, turn.cost_known),
        "tokens": turn.tokens,
        "seconds": round((turn.ended_at or time.time()) - turn.started_at, 3) if turn.started_at else None,
    }
