"""Scripts: which rule applies to which conversation, and the JSON files that hold them."""

from pathlib import Path
from typing import Any

import pytest

from acp_agent.testing import model_server
from acp_agent.testing.request import CHAT_PATH, Request, conversation_key
from acp_agent.testing.script import Player, Rule, Script, Step
from acp_agent.testing.script_file import ScriptError, load_script, parse_script, save_script

USER = {"role": "user", "content": "Please fix the bug."}
SPOKEN = {"role": "assistant", "content": "hm"}
RESULT = {"role": "tool", "tool_call_id": "call_0_0", "content": "it is 42"}
PARTS = {
    "role": "user",
    "content": [{"type": "text", "text": "look "}, {"type": "image_url"}, {"type": "text", "text": "here"}],
}
SYSTEM = {"role": "system", "content": "You are the reviewer."}
CALLED = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "x", "function": {"name": "grep", "arguments": '{"q":1}'}}],
}


def request_of(*messages: dict[str, Any], **fields: Any) -> Request:
    body = {"model": "test-model", "messages": list(messages), **fields}
    return Request("POST", CHAT_PATH, {"authorization": "Bearer secret"}, body, 0.0, conversation_key(body))


@pytest.mark.parametrize(
    ("rule", "messages", "applies"),
    [
        ({"model": "test-*"}, [USER], True),
        ({"model": "gpt-*"}, [USER], False),
        ({"api_key": "secret"}, [USER], True),
        ({"api_key": "other"}, [USER], False),
        ({"contains": "look here"}, [USER, PARTS], True),
        ({"contains": "fix"}, [USER, PARTS], False),
        ({"matches": r"fix\b.*bug"}, [USER], True),
        ({"matches": r"^fix"}, [USER], False),
        ({"system": "reviewer"}, [SYSTEM, USER], True),
        ({"system": "reviewer"}, [USER], False),
        ({"system_matches": "the (re|inter)viewer"}, [{**SYSTEM, "role": "developer"}, USER], True),
        ({"anywhere": 'grep({"q":1})'}, [USER, CALLED, RESULT], True),
        ({"anywhere_matches": "is 4[23]"}, [USER, CALLED, RESULT, SPOKEN, PARTS], True),
        ({"anywhere_matches": "is 5"}, [USER, CALLED, RESULT], False),
        ({"result": "42"}, [USER, CALLED, RESULT], True),
        ({"result": "42"}, [USER, CALLED, RESULT, SPOKEN, {**RESULT, "content": "43"}], False),
        ({"turn": 1}, [USER, CALLED, RESULT], True),
        ({"turn": 1}, [USER], False),
        ({"turn": 0, "since": "prompt"}, [USER, SPOKEN, PARTS], True),
        ({"tool_results": 1}, [USER, CALLED, RESULT], True),
        ({"tool_results": 1}, [USER], False),
        ({"has_tool_result": True}, [USER, CALLED, RESULT], True),
        ({"has_tool_result": False}, [USER, CALLED, RESULT], False),
    ],
)
def test_each_condition_of_a_rule(rule: dict[str, Any], messages: list[dict[str, Any]], applies: bool) -> None:
    assert Rule(reply=Step(), **rule).applies(request_of(*messages)) == applies


def test_turns_end_repeat_or_count_from_the_last_prompt() -> None:
    turns = [Step(text="one"), Step(text="two")]
    rules = [
        Rule(model="short", turns=turns),
        Rule(model="long", turns=turns, repeat_last=True),
        Rule(model="fresh", turns=turns, since="prompt"),
        Rule(reply=Step(text="past the end")),
    ]
    player = Player(Script(rules=rules))
    history = [USER, SPOKEN, SPOKEN, USER, SPOKEN]
    answers = {name: player.choose(request_of(*history, model=name)).text for name in ("short", "long", "fresh")}
    assert answers == {"short": "past the end", "long": "two", "fresh": "two"}


def test_all_turns_of_a_conversation_share_its_key() -> None:
    first, later = request_of(SYSTEM, USER), request_of(SYSTEM, USER, SPOKEN, PARTS)
    assert first.conversation == later.conversation
    assert first.conversation != request_of(SYSTEM, PARTS).conversation
    assert request_of(USER, prompt_cache_key="mine").conversation == "mine"


def test_a_script_file_mirrors_the_dataclasses(tmp_path: Path) -> None:
    script = Script(
        rules=[Rule(contains="x", turns=[Step(tools=[("a", {"b": [1]}), ("c", "{")], cut_after=2), Step(text="y")])],
        steps=[Step(usage=None, error={"message": "no"}, headers={"a": "b"})],
        repeat_last_step=True,
    )
    loaded = load_script(save_script(script, tmp_path / "script.json"))
    assert save_script(loaded, tmp_path / "again.json").read_text() == (tmp_path / "script.json").read_text()
    with pytest.raises(ScriptError, match="a callable cannot be written"):
        save_script(Script(answer=lambda request: None), tmp_path / "no.json")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"rules": [{"turns": [{"text": "x"}, {"txet": "x"}]}]}, r"script: rules\[0\].turns\[1\].txet: Unexpected"),
        ({"steps": [{"chunk": 0}]}, r"script: steps\[0\]: .*chunk: must be at least 1, not 0"),
        ({"steps": [{"cut_after": -1}]}, r"script: steps\[0\]: .*cut_after: must not be negative"),
        ({"steps": [{"delay": "soon"}]}, r"script: steps\[0\].delay: Input should be a valid number"),
        ({"rules": [{}]}, r"script: rules\[0\]: .*turns: a rule needs either turns or reply"),
        ({"rules": [{"reply": {}, "matches": "("}]}, r"script: rules\[0\]: .*matches: not a regular expression"),
        ([], "script: top level: "),
    ],
)
def test_errors_of_a_script_name_the_field(data: object, message: str) -> None:
    with pytest.raises(ScriptError, match=message):
        parse_script(data)


def test_a_script_file_that_is_no_json_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "script.json"
    path.write_text("{")
    assert model_server.main(["--script", str(path)]) == 2
    assert capsys.readouterr().err.startswith(f"{path}: Expecting")
