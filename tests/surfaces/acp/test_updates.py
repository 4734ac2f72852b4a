"""How facts look in an editor."""

from typing import Any

from acp_agent.domain.errors import ModelFault
from acp_agent.domain.events import (
    ApprovalAsked,
    Event,
    Fact,
    ModelCalled,
    ModelFailed,
    ModelReplied,
    RunEnded,
    RunStarted,
    ToolFinished,
    ToolRefused,
    ToolStarted,
)
from acp_agent.domain.message import AssistantMessage, Reply, ToolCall, Usage, Word
from acp_agent.domain.request import RunRequest, Workplace
from acp_agent.domain.tool import Intent, PlanStep, Risk, ToolResult
from acp_agent.surfaces.acp.diffs import diff_content
from acp_agent.surfaces.acp.updates import Narrator, raw_output, stop_reason

DIFF = "--- a/src/a.py\n+++ b/src/a.py\n@@ -1,2 +1,2 @@\n keep\n-old\n+new\n"


def narrator(**options: Any) -> Narrator:
    return Narrator("/w", lambda model: 1000, **options)


def told(teller: Narrator, *facts: Fact) -> list[dict[str, Any]]:
    return [
        update
        for seq, fact in enumerate(facts, 1)
        for update in teller.fact(Event(stream_id="r_1", seq=seq, ts=0.0, data=fact))
    ]


def reply(text: str = "", cost: float | None = 0.5, usage: Usage | None = None, **message: Any) -> ModelReplied:
    said = AssistantMessage(text=text, **message)
    return ModelReplied(call_id="m1", reply=Reply(message=said, stop="end_turn", model="o/m", usage=usage), cost=cost)


def text(update: dict[str, Any]) -> str:
    return str(update["content"]["text"])


def test_words_are_told_as_they_come_and_the_reply_adds_only_what_was_lost() -> None:
    teller = narrator()
    told(teller, ModelCalled(call_id="m1", model="o/m"))
    first = teller.word(Word(kind="text", text="Hel"))
    assert (first["sessionUpdate"], first["messageId"], text(first)) == ("agent_message_chunk", "m1", "Hel")
    (rest,) = told(teller, reply("Hello"))
    assert (rest["messageId"], text(rest)) == ("m1", "lo")


def test_a_reply_that_differs_from_its_words_is_told_whole_as_another_message() -> None:
    teller = narrator()
    told(teller, ModelCalled(call_id="m1", model="o/m"))
    teller.word(Word(kind="text", text="Hxl"))
    (whole,) = told(teller, reply("Hello"))
    assert (text(whole), whole["messageId"]) == ("Hello", "m1-whole")


def test_a_replay_tells_the_prompt_the_thoughts_and_the_text() -> None:
    request = RunRequest(prompt="do it", workplace=Workplace(kind="inplace", root="/w"), models=("o/m",))
    updates = told(
        narrator(replay=True),
        RunStarted(request=request),
        ModelCalled(call_id="m1", model="o/m"),
        reply("Done", reasoning="hm"),
    )
    assert [(update["sessionUpdate"], text(update)) for update in updates] == [
        ("user_message_chunk", "do it"),
        ("agent_thought_chunk", "hm"),
        ("agent_message_chunk", "Done"),
    ]


def test_an_edit_is_a_card_from_proposal_to_diff() -> None:
    call = ToolCall(call_id="c1", name="edit_file", arguments='{"path": "src/a.py", "edits": []}')
    intent = Intent(title="Edit src/a.py", after={"src/a.py": "0"})
    result = ToolResult(status="ok", output="1 edit", diff=DIFF)
    proposed, started, finished = told(
        narrator(),
        reply(calls=(call,)),
        ToolStarted(call_id="c1", tool="edit_file", risk=Risk.LOCAL, intent=intent),
        ToolFinished(call_id="c1", tool="edit_file", result=result),
    )
    assert (proposed["kind"], proposed["status"], proposed["locations"]) == (
        "edit",
        "pending",
        [{"path": "/w/src/a.py"}],
    )
    assert (started["title"], started["status"]) == ("Edit src/a.py", "in_progress")
    assert finished["content"] == [
        {"type": "diff", "path": "/w/src/a.py", "oldText": "keep\nold\n", "newText": "keep\nnew\n"}
    ]


def test_a_command_is_titled_by_itself_and_its_output_cannot_close_its_fence() -> None:
    result = ToolResult(status="error", kind="exit_status", output="```\nboom", exit_status=1)
    (update,) = told(narrator(), ToolFinished(call_id="c1", tool="shell", result=result))
    assert update["status"] == "failed"
    assert text(update["content"][0]) == "````\n```\nboom\n````"


def test_an_approval_shows_the_diff_or_the_command() -> None:
    asked = ApprovalAsked(call_id="c1", tool="edit_file", risk=Risk.LOCAL, title="Edit src/a.py", preview=DIFF)
    (update,) = told(narrator(), asked)
    assert (update["title"], update["content"][0]["type"]) == ("Edit src/a.py", "diff")
    command = ApprovalAsked(call_id="c1", tool="shell", risk=Risk.LOCAL, title="rm -r build")
    assert text(narrator().preview(command)[0]) == "```\nrm -r build\n```"


def test_cost_is_cumulative_and_left_out_once_a_price_is_unknown() -> None:
    usage = Usage(input_tokens=30, output_tokens=3)
    teller = narrator(cost=1.0)
    (known,) = told(teller, reply(usage=usage))
    assert (known["used"], known["size"], known["cost"]) == (33, 1000, {"amount": 1.5, "currency": "USD"})
    told(teller, ModelFailed(call_id="m", model="o/m", fault=ModelFault.CUT, message="", cost=None))
    (unknown,) = told(teller, reply(usage=usage))
    assert "cost" not in unknown


def test_a_refusal_tells_its_hint_and_a_plan_becomes_entries() -> None:
    refused = ToolResult(status="refused", kind="denied", output="No.", hint="Ask.")
    planned = ToolResult(status="ok", output="", plan=(PlanStep(text="one", status="completed"),))
    failed, card, plan = told(
        narrator(),
        ToolRefused(call_id="c1", tool="edit_file", result=refused),
        ToolFinished(call_id="c2", tool="plan", result=planned),
    )
    assert (failed["status"], text(failed["content"][0])) == ("failed", "No.\nHint: Ask.")
    assert card["status"] == "completed"
    assert plan["entries"] == [{"content": "one", "priority": "medium", "status": "completed"}]


def test_an_end_nobody_chose_is_explained_and_has_a_stop_reason_of_the_protocol() -> None:
    (limit,) = told(narrator(), RunEnded(reason="max_cost"))
    assert "money" in text(limit)
    assert told(narrator(), RunEnded(reason="end_turn")) == []
    reasons = ["end_turn", "cancelled", "refusal", "max_tokens", "max_steps", "max_time", "error", "stalled"]
    assert [stop_reason(reason) for reason in reasons] == [
        "end_turn",
        "cancelled",
        "refusal",
        "max_tokens",
        "max_turn_requests",
        "max_turn_requests",
        "end_turn",
        "end_turn",
    ]


def test_a_large_output_is_cut_for_machines_too() -> None:
    raw = raw_output(ToolResult(status="ok", output="x" * 100_000))
    assert len(raw["output"]) < 70_000
    assert "34464 characters more" in raw["output"]


def test_diffs_with_lines_that_look_like_headers_keep_their_sides() -> None:
    changed = "--- a/n\n+++ b/n\n@@ -1,2 +1,2 @@\n a\n--- b\n++++ c\n"
    diff = changed + "--- /dev/null\n+++ b/new\n@@ -0,0 +1 @@\n+x\n\\ No newline\n"
    assert diff_content(diff, "/w") == [
        {"type": "diff", "path": "/w/n", "oldText": "a\n-- b\n", "newText": "a\n+++ c\n"},
        {"type": "diff", "path": "/w/new", "oldText": None, "newText": "x"},
    ]
