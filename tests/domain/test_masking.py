"""What is recorded of facts that hold secrets, and which facts are refused instead."""

import json

import pytest

from acp_agent.domain.errors import UsageError
from acp_agent.domain.events import (
    Fact,
    LateResult,
    ModelReplied,
    RunEnded,
    RunStarted,
    ToolFinished,
)
from acp_agent.domain.events_session import SessionStarted
from acp_agent.domain.masking import masked_fact
from acp_agent.domain.message import AssistantMessage, Reply, ToolCall
from acp_agent.domain.redact import MASK, Redactor
from acp_agent.domain.request import Gate, RunRequest, Workplace
from acp_agent.domain.tool import ToolResult

SECRET = 'correct "horse"\nbattery'
REDACT = Redactor([SECRET])
PLACE = Workplace(kind="inplace", root="/project")


def asked(**fields: object) -> RunStarted:
    return RunStarted(request=RunRequest(**{"prompt": "do", "workplace": PLACE, "models": ("openai/x",), **fields}))


def replied(*calls: ToolCall, text: str = "") -> ModelReplied:
    message = AssistantMessage(text=text, calls=calls)
    return ModelReplied(call_id="m1", reply=Reply(message=message, stop="end_turn", model="openai/x"))


def call(arguments: str, *, masked: bool = False) -> ToolCall:
    return ToolCall(call_id="c1", name="shell", arguments=arguments, masked=masked)


def test_a_fact_without_secrets_is_the_same_object() -> None:
    fact = replied(call("{}"), text="nothing to see")
    assert masked_fact(fact, REDACT) is fact


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        (asked(prompt=f"use {SECRET}", title=SECRET), asked(prompt=f"use {MASK}", title=MASK)),
        (replied(text=f"it is {SECRET}."), replied(text=f"it is {MASK}.")),
        (RunEnded(reason="error", trace=f"x {SECRET}"), RunEnded(reason="error", trace=f"x {MASK}")),
        (
            ToolFinished(call_id="c", tool="t", result=ToolResult(status="ok", output="", seen={f"a/{SECRET}": None})),
            ToolFinished(call_id="c", tool="t", result=ToolResult(status="ok", output="", seen={f"a/{MASK}": None})),
        ),
        (LateResult(fence=1, fact={"a": [{"b": SECRET}]}), LateResult(fence=1, fact={"a": [{"b": MASK}]})),
    ],
)
def test_every_text_of_a_fact_is_masked(told: Fact, shown: Fact) -> None:
    assert masked_fact(told, REDACT) == shown
    assert masked_fact(shown, REDACT) == shown


def test_a_call_whose_arguments_held_a_secret_is_marked_and_the_others_are_not() -> None:
    told = replied(call(json.dumps({"command": f"echo {SECRET}"})), call('{"command": "ls"}'))
    shown = replied(call(f'{{"command": "echo {MASK}"}}', masked=True), call('{"command": "ls"}'))
    assert masked_fact(told, REDACT) == shown
    # A mask that the model itself wrote is no secret.
    fact = replied(call(f'{{"command": "grep {MASK}"}}'))
    assert masked_fact(fact, REDACT) is fact


@pytest.mark.parametrize(
    ("fact", "what"),
    [
        (asked(gates=(Gate(name="test", run=f"psql {SECRET}"),)), "the run's gates holds a secret"),
        (asked(setup=f"login {SECRET}"), "the run's setup holds a secret"),
        (asked(workplace=Workplace(kind="inplace", root=f"/{SECRET}")), "the run's workplace holds a secret"),
        (SessionStarted(cwd=f"/{SECRET}"), "cwd holds a secret"),
    ],
)
def test_what_a_run_is_cannot_be_masked_and_is_refused(fact: Fact, what: str) -> None:
    with pytest.raises(UsageError, match=what) as told:
        masked_fact(fact, REDACT)
    assert SECRET not in str(told.value)
