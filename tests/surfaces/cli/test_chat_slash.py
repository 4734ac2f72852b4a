"""What is typed after a slash is a command or is explained; it never reaches the model."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acp_agent.domain.policy import Mode
from acp_agent.surfaces.cli.chat.slash import COMMANDS, MODES, Command, Unknown, completions, parse


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fix the bug", None),
        (" /not a command", None),
        ("", None),
        ("/help", Command("help", "")),
        ("/?", Command("help", "")),
        ("/MODEL  openai/x ", Command("model", "openai/x")),
        ("/mode edit", Command("mode", "edit")),
        ("/q", Command("quit", "")),
        ("/exit", Command("quit", "")),
    ],
)
def test_a_command_is_told_from_a_message(text: str, expected: Command | None) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("/cots", "there is no command /cots; did you mean /cost?"),
        ("/etc/hosts is wrong", "there is no command /etc/hosts. /help lists them; begin with a space"),
        ("/\x1b[31mred", "there is no command /\\x1b[31mred."),
        ("/", "there is no command /."),
        ("/cost now", "/cost takes nothing behind it"),
    ],
)
def test_an_unknown_command_is_explained(text: str, advice: str) -> None:
    found = parse(text)
    assert isinstance(found, Unknown)
    assert found.advice.startswith(advice)


@given(st.text())
def test_no_text_after_a_slash_is_a_message(text: str) -> None:
    assert parse("/" + text) is not None


def test_every_mode_is_explained() -> None:
    assert list(MODES) == [mode.value for mode in Mode]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("/mo", ["/model ", "/mode "]),
        ("/q", ["/quit"]),
        ("/mode e", ["edit"]),
        ("/model op", ["openai/a", "openai/b"]),
        ("/cost ", []),
        ("fix /mo", []),
    ],
)
def test_tab_completes_commands_and_what_they_take(line: str, expected: list[str]) -> None:
    assert completions(line, ["main", "openai/a", "openai/b"]) == expected
    assert len(completions("/", [])) == len(COMMANDS)
