"""Modes and options, both ways."""

import pytest

from acp_agent.domain.errors import UsageError
from acp_agent.domain.events import Event, Fact
from acp_agent.domain.events_session import SessionChanged, SessionStarted
from acp_agent.domain.policy import Mode
from acp_agent.domain.session import SessionState, fold_session
from acp_agent.surfaces.acp.options import Choices, mode_change, modes_of, option_change, options_of

CHOICES = Choices(models=("main", "openai/a"), roles=("planner",), default="openai/a")


def changed(*changes: SessionChanged) -> SessionState:
    facts: tuple[Fact, ...] = (SessionStarted(cwd="/w"), *changes)
    return fold_session(Event(stream_id="s_1", seq=seq, ts=0.0, data=fact) for seq, fact in enumerate(facts, 1))


def current(state: SessionState) -> dict[str, str]:
    return {option["id"]: option["currentValue"] for option in options_of(state, CHOICES)}


def test_a_new_session_asks_and_takes_the_default_model() -> None:
    state = changed()
    assert modes_of(state)["currentModeId"] == "ask"
    assert current(state) == {"mode": "ask", "model": "default", "effort": "default"}


@pytest.mark.parametrize(
    ("option", "value"),
    [("mode", "auto"), ("model", "main"), ("model", "openai/a"), ("model", "role:planner"), ("effort", "high")],
)
def test_every_choice_shows_as_the_current_value_and_can_be_taken_back(option: str, value: str) -> None:
    state = changed(option_change(changed(), CHOICES, option, value))
    assert current(state)[option] == value
    back = "ask" if option == "mode" else "default"
    assert current(
        changed(option_change(changed(), CHOICES, option, value), option_change(state, CHOICES, option, back))
    ) == current(changed())


def test_every_current_value_is_among_its_options() -> None:
    for state in (changed(), changed(SessionChanged(model="gone/model")), changed(SessionChanged(role="gone"))):
        for option in options_of(state, CHOICES):
            assert option["currentValue"] in [value["value"] for value in option["options"]]


@pytest.mark.parametrize(("option", "value"), [("mode", "yolo"), ("model", "nope"), ("effort", ""), ("colour", "red")])
def test_an_unknown_option_or_value_is_refused_with_what_there_is(option: str, value: str) -> None:
    with pytest.raises(UsageError, match=r"there is no option|has no value"):
        option_change(changed(), CHOICES, option, value)


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(UsageError, match="no mode 'yolo'"):
        mode_change("yolo")
    assert mode_change("plan").mode is Mode.PLAN
