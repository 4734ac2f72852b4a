"""Questions of the agent in an editor: a form where it has forms, else its permission dialog, else the next prompt."""

from typing import Any

from acp_agent.domain.events_person import QuestionAsked
from acp_agent.surfaces.acp.faults import ClientFault, Unsupported
from acp_agent.surfaces.acp.replies import ElicitationReply, PermissionReply
from acp_agent.surfaces.acp.turns import LiveTurn

IN_WORDS = "words"
"""The option by which a person answers with their next message."""


async def answer_of(live: LiveTurn, asked: QuestionAsked) -> str | None:
    """What the person answers, empty where they decline; None where their next prompt is to be the answer."""
    elicitation = live.client.capabilities.elicitation
    try:
        if elicitation is not None and elicitation.form is not None:
            return await _by_form(live, asked)
        return await _by_choice(live, asked) if asked.choices else None
    except (ClientFault, Unsupported):
        return None


async def _by_form(live: LiveTurn, asked: QuestionAsked) -> str:
    parameters = {
        "sessionId": live.session_id,
        "toolCallId": asked.call_id,
        "mode": "form",
        "message": asked.question,
        "requestedSchema": _form(asked),
    }
    reply = await live.request("elicitation/create", parameters, ElicitationReply)
    if reply.action != "accept":
        return ""
    said = [value for name in ("other", "answer") if isinstance(value := reply.content.get(name), str)]
    return next((value for value in said if value.strip()), "")


def _form(asked: QuestionAsked) -> dict[str, Any]:
    given = {} if asked.default is None else {"default": asked.default}
    if not asked.choices:
        field = {"type": "string", "title": "Answer", **given}
        return {"type": "object", "properties": {"answer": field}, "required": ["answer"]}
    chosen = given if asked.default in asked.choices else {}
    choice = {"type": "string", "title": "Answer", "enum": list(asked.choices), **chosen}
    other = {"type": "string", "title": "Or in your own words"}
    return {"type": "object", "properties": {"answer": choice, "other": other}}


async def _by_choice(live: LiveTurn, asked: QuestionAsked) -> str | None:
    options = [
        {"optionId": f"choice-{number}", "name": choice, "kind": "allow_once"}
        for number, choice in enumerate(asked.choices)
    ]
    words = {"optionId": IN_WORDS, "name": "Answer in a message", "kind": "reject_once"}
    title = {"toolCallId": asked.call_id, "title": asked.question, "kind": "other", "status": "pending"}
    parameters = {"sessionId": live.session_id, "toolCall": title, "options": [*options, words]}
    reply = await live.request("session/request_permission", parameters, PermissionReply)
    names = {option["optionId"]: option["name"] for option in options}
    return names.get(reply.option_id or "")
