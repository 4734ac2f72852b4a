"""What an event says to a person: one phrase each, the same in the stream, the log and the timeline."""

from collections.abc import Callable, Mapping
from typing import Any

from acp_agent.surfaces.cli.details import exit_text
from acp_agent.surfaces.cli.formats import changes, count, duration, money, some
from acp_agent.surfaces.cli.loop_phrases import LOOP_PHRASES, QUIET_OF_LOOPS
from acp_agent.surfaces.cli.text import cut, last_lines, one_line

Data = Mapping[str, Any]
LONGEST = 160


def phrase(data: Data) -> str:
    """One harmless line for a fact given as its JSON object; a kind unknown here is named."""
    say = _PHRASES.get(data["type"])
    return cut(one_line(say(data) if say else data["type"].replace("_", " ")), LONGEST)


def is_change(data: Data) -> bool:
    """Whether a fact changes what a person would call the state; the others are left out of a plain stream."""
    return data["type"] not in _QUIET and not (data["type"] == "hook_ran" and data["outcome"] == "passed")


_QUIET = frozenset(
    {"model_called", "gate_started", "tool_finished", "answer_checked", "late_result", "batch_started", "batch_ended"}
    | QUIET_OF_LOOPS
)


def _run_started(data: Data) -> str:
    return f"queued: {data['request']['prompt']}"


def _prepared(data: Data) -> str:
    base = data.get("base")
    return f"workplace ready: {data['path']}" + (f" at {base[:12]}" if base else "")


def _replied(data: Data) -> str:
    reply = data["reply"]
    usage = reply.get("usage") or {}
    tokens = usage.get("input_tokens", 0) + usage.get("output_tokens", 0)
    cost = money(data.get("cost") or 0.0, data.get("cost") is not None)
    calls = [call["name"] for call in reply["message"].get("calls", ())]
    did = f"calls {', '.join(calls)}" if calls else f"says: {reply['message'].get('text', '')}"
    return f"{reply['model']} ({count(tokens)} tokens, {cost}) {did}"


def _model_failed(data: Data) -> str:
    return f"{data['model']} failed ({data['fault']}): {data['message']}"


def _tool_started(data: Data) -> str:
    return str((data.get("intent") or {}).get("title") or data["tool"])


def _tool_ended(data: Data) -> str:
    result = data["result"]
    took = f" in {duration(result['seconds'])}" if result.get("seconds") is not None else ""
    took += _network(result.get("network"))
    if result["status"] == "ok":
        return f"{data['tool']}: ok{took}"
    kind = f" ({result['kind']})" if result.get("kind") else ""
    return f"{data['tool']}: {result['status']}{kind}{took}: {result['output']}"


def _network(use: Data | None) -> str:
    """The hosts that a call asked for, and what became of that."""
    if use is None:
        return ""
    told = (("reached", "reached"), ("refused", "refused"), ("failed", "no answer from"))
    parts = [f"{word} {', '.join(use[key])}" for key, word in told if use.get(key)]
    return f" ({'; '.join(parts)})"


def _gate_finished(data: Data) -> str:
    took = f"in {duration(data['seconds'])}"
    if data["passed"]:
        return f"gate {data['gate']} passed {took}"
    last = last_lines(data["output"], 1)
    return f"gate {data['gate']} failed {took}: {exit_text(data['exit_status'])}" + (f": {last}" if last else "")


def _committed(data: Data) -> str:
    if not data.get("commit"):
        return "nothing changed"
    files = data.get("files", 0)
    lines = changes(files, data.get("added", 0), data.get("removed", 0))
    return f"commit {data['commit'][:12]}: {some(files, 'file')} {lines}"


def _ended(data: Data) -> str:
    if data["reason"] == "end_turn" and data.get("message"):
        # The message of a run that came to its end repeats what the gates said.
        return "ended: a gate did not pass"
    return f"ended: {data['reason']}" + (f": {data['message']}" if data.get("message") else "")


def _notified(data: Data) -> str:
    told = [name for name in data["channels"] if name not in data["failed"]]
    failed = [f"{name} not told: {why}" for name, why in data["failed"].items()]
    return "; ".join([*([f"{', '.join(told)} told"] if told else []), *failed])


def _hook_ran(data: Data) -> str:
    took = f"in {duration(data['seconds'])}" if data.get("seconds") else ""
    why = f": {data['reason'] or data['note']}" if data.get("reason") or data.get("note") else ""
    return " ".join(filter(None, (f"hook {data['hook']} {data['outcome']}", took))) + why


def _compensated(data: Data) -> str:
    result = data["result"]
    failed = f"could not take back ({result.get('kind') or result['status']})"
    return f"{'took back' if result['status'] == 'ok' else failed}: {data['title']}"


def _noted(head: str, key: str = "note") -> Callable[[Data], str]:
    return lambda data: head + (f": {data[key]}" if data.get(key) else "")


_PHRASES: Mapping[str, Callable[[Data], str]] = {
    "run_started": _run_started,
    "workspace_prepared": _prepared,
    "model_called": lambda data: f"asks {data['model']}" + (" for the last time" if data.get("final") else ""),
    "model_replied": _replied,
    "model_failed": _model_failed,
    "tool_started": _tool_started,
    "tool_finished": _tool_ended,
    "tool_refused": _tool_ended,
    "approval_asked": lambda data: f"asks for approval: {data['title']}",
    "approval_given": lambda data: _noted(f"answered: {data['decision']}")(data),
    "plan_proposed": lambda data: f"proposes a plan: {data['plan']['goal']}",
    "plan_edited": lambda data: f"plan edited: {data['plan']['goal']}",
    "plan_approved": lambda data: f"plan approved, goes on in mode {data['mode']}: {data['plan']['goal']}",
    "question_asked": lambda data: f"asks: {data['question']}",
    "question_answered": lambda data: f"answered ({data['by']}): {data['text'] or 'nothing'}",
    "answer_checked": lambda data: f"answer does not fit: {data['problem']}" if data.get("problem") else "answer fits",
    "limit_reached": lambda data: _noted(f"limit reached: {data['limit']}", "detail")(data),
    "gate_started": lambda data: f"gate {data['gate']}: {data['command']}",
    "gate_finished": _gate_finished,
    "committed": _committed,
    "skill_activated": lambda data: f"skill {data['name']} ({data['scope']}) is in force",
    "hook_ran": _hook_ran,
    "compensation_started": lambda data: f"takes back: {data['title']}",
    "compensation_finished": _compensated,
    "cancel_asked": _noted("cancel asked"),
    "taken": lambda data: "a person took the workplace" if data["tree"] is None else "the workplace is the person's",
    "given_back": lambda data: f"given back: {data['files']} files changed (+{data['added']} -{data['removed']})",
    "notify_started": lambda data: f"{', '.join(data['channels'])} to be told",
    "notify_finished": _notified,
    "parked": lambda data: f"waits ({data['waiting']}): {data['detail']}",
    "resumed": lambda data: f"taken up again (fence {data['fence']})",
    "late_result": lambda data: "a late result of an old driver was kept aside",
    "run_ended": _ended,
    "accepted": lambda data: f"accepted: {data['commit'][:12]} on {data['target']}",
    "rejected": lambda data: _noted("rejected")(data) + (f" (kept under {data['ref']})" if data.get("ref") else ""),
    "batch_started": lambda data: f"batch over {', '.join(data['projects'])}: {data['prompt']}",
    "batch_ended": lambda data: f"batch ended: {data['reason']} (exit {data['exit_code']})",
    **LOOP_PHRASES,
}
