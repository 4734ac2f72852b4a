"""Which update is written when, whatever the order in which things are said."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, rule

from acp_agent.surfaces.acp.ordering import Order
from tests.surfaces.acp.wire import chunk

TITLE = {"sessionUpdate": "session_info_update", "title": "a"}


@dataclass(eq=False)
class Asked:
    """A call as the order sees it."""

    method: str
    session_id: str | None = None
    said: list[str] = field(default_factory=list)


class Told:
    """An order and what came out of it."""

    def __init__(self) -> None:
        self.out: list[tuple[str, str]] = []
        self.order = Order(self._emit)

    def _emit(self, session_id: str, update: Any) -> None:
        self.out.append((session_id, update.get("content", {}).get("text") or update["sessionUpdate"]))

    def begin(self, method: str, session_id: str | None = None) -> Asked:
        call = Asked(method, session_id)
        self.order.begin(call)
        return call

    def end(self, call: Asked, result: dict[str, Any] | None = None) -> None:
        self.out.append(("", f"answer to {call.method}"))
        self.order.end(call, result)

    def announced(self, session_id: str = "s1") -> "Told":
        self.end(self.begin("session/new"), {"sessionId": session_id})
        self.out.clear()
        return self


def test_what_is_said_about_a_new_session_waits_for_its_announcement() -> None:
    told = Told()
    call = told.begin("session/new")
    told.order.update(call, "s1", TITLE)
    told.order.update(None, "s1", {"sessionUpdate": "current_mode_update"})
    told.order.update(call, "s1", chunk("welcome"))
    told.end(call, {"sessionId": "s1"})
    assert told.out == [
        ("", "answer to session/new"),
        ("s1", "session_info_update"),
        ("s1", "current_mode_update"),
        ("s1", "welcome"),
    ]
    assert told.order.dropped == 0


def test_what_was_said_about_a_session_that_did_not_come_to_be_is_forgotten() -> None:
    told = Told()
    call = told.begin("session/new")
    told.order.update(call, "s1", TITLE)
    told.end(call, None)
    told.end(told.begin("session/new"), {"sessionId": "s1"})
    assert told.out == [("", "answer to session/new"), ("", "answer to session/new")]
    assert told.order.dropped == 1


def test_a_replay_precedes_its_answer_and_everything_else_follows_it() -> None:
    told = Told()
    call = told.begin("session/load", "s1")
    told.order.update(call, "s1", chunk("old"))
    told.order.update(None, "s1", TITLE)
    told.order.update(call, "s1", chunk("older"))
    told.end(call, {})
    told.order.update(call, "s1", chunk("late"))
    assert told.out == [
        ("s1", "old"),
        ("s1", "older"),
        ("", "answer to session/load"),
        ("s1", "session_info_update"),
    ]
    assert told.order.dropped == 1


def test_a_resumed_session_says_nothing_before_its_answer() -> None:
    told = Told().announced()
    call = told.begin("session/resume", "s1")
    told.order.update(call, "s1", TITLE)
    told.order.update(None, "s1", {"sessionUpdate": "current_mode_update"})
    told.end(call, {})
    assert told.out == [
        ("", "answer to session/resume"),
        ("s1", "session_info_update"),
        ("s1", "current_mode_update"),
    ]


@pytest.mark.parametrize("result", [{"stopReason": "end_turn"}, {"stopReason": "cancelled"}, None])
def test_a_turn_that_was_answered_says_nothing_more(result: dict[str, Any] | None) -> None:
    told = Told().announced()
    call = told.begin("session/prompt", "s1")
    told.order.update(call, "s1", chunk("a"))
    told.end(call, result)
    told.order.update(call, "s1", chunk("b"))
    told.order.update(call, "s1", TITLE)
    told.order.update(None, "s1", chunk("c"))
    assert told.out == [("s1", "a"), ("", "answer to session/prompt")]
    assert told.order.dropped == 3


def test_after_a_cancelled_turn_nothing_is_said_until_the_client_speaks_of_the_session() -> None:
    told = Told().announced()
    told.end(told.begin("session/prompt", "s1"), {"stopReason": "cancelled"})
    told.order.update(None, "s1", TITLE)
    told.end(told.begin("session/list"), {"sessions": []})
    assert told.out == [("", "answer to session/prompt"), ("", "answer to session/list")]
    told.begin("session/prompt", "s1")
    assert told.out[2:] == [("s1", "session_info_update")]


def test_after_another_turn_a_title_may_still_come() -> None:
    told = Told().announced()
    told.end(told.begin("session/prompt", "s1"), {"stopReason": "end_turn"})
    told.order.update(None, "s1", TITLE)
    assert told.out[1:] == [("s1", "session_info_update")]


@pytest.mark.parametrize("ending", ["session/close", "session/delete"])
def test_a_closed_session_is_silent_until_it_is_loaded_again(ending: str) -> None:
    told = Told().announced()
    turn = told.begin("session/prompt", "s1")
    told.end(told.begin(ending, "s1"), {})
    told.order.update(turn, "s1", chunk("a"))
    told.order.update(None, "s1", TITLE)
    told.end(turn, {"stopReason": "cancelled"})
    again = told.begin("session/load", "s1")
    told.order.update(again, "s1", chunk("b"))
    told.end(again, {})
    told.order.update(None, "s1", TITLE)
    assert told.out == [
        ("", f"answer to {ending}"),
        ("", "answer to session/prompt"),
        ("s1", "b"),
        ("", "answer to session/load"),
        ("s1", "session_info_update"),
    ]


def test_sessions_do_not_wait_for_one_another() -> None:
    told = Told().announced("s1").announced("s2")
    first = told.begin("session/prompt", "s1")
    second = told.begin("session/prompt", "s2")
    told.begin("session/load", "s3")
    for number in range(2):
        told.order.update(first, "s1", chunk(f"a{number}"))
        told.order.update(second, "s2", chunk(f"b{number}"))
    assert told.out == [("s1", "a0"), ("s2", "b0"), ("s1", "a1"), ("s2", "b1")]


def test_sessions_that_never_came_to_be_are_not_remembered() -> None:
    told = Told()
    for number in range(100):
        told.end(told.begin("session/prompt", f"s{number}"), None)
        told.end(told.begin("session/delete", f"s{number}"), {})
    assert told.order._sessions == {}


class Life(RuleBasedStateMachine):
    """Calls and updates in any order; the promises hold over what came out."""

    calls = Bundle("calls")
    sessions = st.sampled_from(["s1", "s2"])

    def __init__(self) -> None:
        super().__init__()
        self.told = Told()
        self.count = 0
        self.answered: list[Asked] = []

    @rule(target=calls, method=st.sampled_from(["session/load", "session/resume", "session/prompt"]), session=sessions)
    def begin(self, method: str, session: str) -> Asked:
        return self.told.begin(method, session)

    @rule(target=calls)
    def begin_new(self) -> Asked:
        return self.told.begin("session/new")

    @rule(call=consumes(calls), session=sessions, outcome=st.sampled_from(["end_turn", "cancelled", None]))
    def end(self, call: Asked, session: str, outcome: str | None) -> None:
        result = {"stopReason": outcome, "sessionId": call.session_id or session} if outcome else None
        self.told.out.append(("answer", str(id(call))))
        self.told.order.end(call, result)
        self.answered.append(call)

    @rule(call=calls, session=sessions)
    def say(self, call: Asked, session: str) -> None:
        self.count += 1
        call.said.append(f"{self.count}")
        self.told.order.update(call, session, chunk(f"{self.count}"))

    @rule(session=sessions)
    def say_for_none(self, session: str) -> None:
        self.count += 1
        self.told.order.update(None, session, chunk(f"{self.count}"))

    @rule()
    def say_late(self) -> None:
        for call in self.answered:
            if call.method in ("session/prompt", "session/load"):
                before = list(self.told.out)
                self.told.order.update(call, call.session_id or "", chunk("late"))
                assert self.told.out == before

    def teardown(self) -> None:
        spoken = [text for name, text in self.told.out if name in ("s1", "s2")]
        assert len(spoken) == len(set(spoken))
        for session in ("s1", "s2"):
            heard = [int(text) for name, text in self.told.out if name == session]
            for call in self.answered:
                mine = [number for number in heard if str(number) in call.said]
                assert mine == sorted(mine)
        for call in self.answered:
            if call.method == "session/prompt":
                end = self.told.out.index(("answer", str(id(call))))
                assert not [1 for name, text in self.told.out[end:] if name == call.session_id and text in call.said]


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
