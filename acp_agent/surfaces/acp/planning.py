"""A plan in an editor: a form with the plan as text where it has forms, else its permission dialog."""

from typing import Any

from acp_agent.domain.work_plan import WorkPlan, plan_of, plan_text
from acp_agent.runs.people import PlanVerdict
from acp_agent.surfaces.acp.faults import ClientFault, Unsupported
from acp_agent.surfaces.acp.replies import ElicitationReply, PermissionReply
from acp_agent.surfaces.acp.turns import LiveTurn

ASK, EDIT, REJECT = "Approve, and ask me before each change", "Approve, and edit without asking", "Go on planning"
OPTIONS = (("ask", ASK, "allow_once"), ("edit", EDIT, "allow_always"), ("reject", REJECT, "reject_once"))
VERDICTS = {"ask": PlanVerdict("ask"), "edit": PlanVerdict("edit")}


async def verdict_on(live: LiveTurn, plan: WorkPlan) -> PlanVerdict | None:
    """What the person says; None where the editor cannot ask, so that the plan waits."""
    elicitation = live.client.capabilities.elicitation
    try:
        if elicitation is not None and elicitation.form is not None:
            return await _by_form(live, plan)
        return await _by_dialog(live, plan)
    except (ClientFault, Unsupported):
        return None


async def _by_dialog(live: LiveTurn, plan: WorkPlan) -> PlanVerdict:
    call = _card(live, plan) | {"title": f"Plan: {plan.goal}", "kind": "switch_mode", "status": "pending"}
    options = [{"optionId": option, "name": name, "kind": kind} for option, name, kind in OPTIONS]
    asked = {"sessionId": live.session_id, "toolCall": call, "options": options}
    reply = await live.request("session/request_permission", asked, PermissionReply)
    return VERDICTS.get(reply.option_id or "", PlanVerdict("reject"))


async def _by_form(live: LiveTurn, plan: WorkPlan) -> PlanVerdict:
    message, text = f"Plan: {plan.goal}", plan_text(plan)
    while True:
        reply = await live.request("elicitation/create", _form(live, message, text), ElicitationReply)
        decision, note = (str(reply.content.get(name) or "") for name in ("decision", "note"))
        if reply.action != "accept" or decision not in VERDICTS:
            return PlanVerdict("reject", note=note.strip())
        text = str(reply.content.get("plan") or text)
        try:
            return PlanVerdict(VERDICTS[decision].decision, plan_of(text))
        except ValueError as error:
            message = f"This is no plan: {error}"


def _form(live: LiveTurn, message: str, text: str) -> dict[str, Any]:
    choices = [{"const": option, "title": name} for option, name, _ in OPTIONS]
    fields = {
        "decision": {"type": "string", "title": "Your decision", "oneOf": choices, "default": "ask"},
        "plan": {"type": "string", "title": "The plan; change it as you like", "default": text},
        "note": {"type": "string", "title": "What should be different, if you go on planning"},
    }
    schema = {"type": "object", "properties": fields, "required": ["decision"]}
    return {"sessionId": live.session_id, "mode": "form", "message": message, "requestedSchema": schema}


def _card(live: LiveTurn, plan: WorkPlan) -> dict[str, Any]:
    assert live.narrator is not None
    return {
        "toolCallId": live.narrator.plan_call,
        "content": [{"type": "content", "content": {"type": "text", "text": plan_text(plan)}}],
    }
