"""The chat on a terminal: what is finished stands there once, and nothing a model says can drive the terminal."""

import io
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from acp_agent.surfaces.cli.chat.diffs import shown
from acp_agent.surfaces.cli.chat.markdown import THEME, rendered
from acp_agent.surfaces.cli.chat.painted import PaintedScreen
from acp_agent.surfaces.cli.chat.screen import Act

SEQUENCE = re.compile(r"\x1b\[(\??[0-9;]*)([A-Za-z])")


class Window(io.StringIO):
    """A terminal of unlimited height: what a person finds when scrolling back."""

    encoding = "utf-8"

    def lines(self) -> list[str]:
        rows, row, column = [""], 0, 0
        text = self.getvalue()
        position = 0
        while position < len(text):
            found = SEQUENCE.match(text, position)
            if found:
                position = found.end()
                number = int(found[1]) if found[1].isdigit() else 1
                match found[2]:
                    case "A":
                        row -= number
                        assert row >= 0
                    case "K":
                        rows[row] = "" if found[1] == "2" else rows[row][:column]
                    case "m" | "h" | "l":
                        pass
                    case other:
                        raise AssertionError(f"an unknown sequence: {other}")
                continue
            character = text[position]
            position += 1
            if character == "\n":
                row, column = row + 1, 0
                rows += [""] * (row == len(rows))
            elif character == "\r":
                column = 0
            else:
                rows[row] = rows[row][:column].ljust(column) + character + rows[row][column + 1 :]
                column += 1
        return [line.rstrip() for line in rows]


class Clock:
    """Each look at it is a second later."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


def painted(width: int = 60, height: int = 12) -> tuple[PaintedScreen, Window]:
    window = Window()
    console = Console(
        file=window, force_terminal=True, width=width, height=height, emoji=False, markup=False, highlight=False,
        theme=THEME, legacy_windows=False, _environ={"TERM": "xterm-256color"},
    )  # fmt: skip
    return PaintedScreen(console, Clock()), window


CODE = "\n".join(f"value_{number} = {number}" for number in range(40))
ANSWER = f"First *words*.\n\n```python\n{CODE}\n```\n\n- a\n- b\n\nLast."


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_long_answer_stands_there_once(size: int) -> None:
    screen, window = painted()
    screen.busy("thinking")
    for start in range(0, len(ANSWER), size):
        screen.words(ANSWER[start : start + size])
        screen.tick()
    screen.end_message()
    screen.rest()
    code = [f" {line}" for line in CODE.splitlines()]
    expected = ["", "First words.", "", *code, "", " • a", " • b", "", "Last."]
    assert [*window.lines(), ""][: len(expected)] == expected
    assert not any(window.lines()[len(expected) :])


def test_what_is_under_way_shows_its_end_and_goes_away() -> None:
    screen, window = painted(height=8)
    screen.busy("thinking")
    screen.thought("Hm. " * 100)
    screen.tick()
    assert sum("Hm." in line for line in window.lines()) == 3
    screen.words("```\n" + "\n".join(f"line {number}" for number in range(30)))
    screen.tick()
    shown_now = [line for line in window.lines() if line.startswith(" line")]
    assert shown_now == [f" line {number}" for number in range(25, 30)]
    assert any(re.search(r"thinking \d\.0s  Ctrl-C cancels", line) for line in window.lines())
    screen.pause()
    assert [line[:20] for line in window.lines() if line] == ["thought: Hm. Hm. Hm."]


def test_acts_are_lines_and_prose_stands_apart() -> None:
    screen, window = painted(width=40)
    screen.busy("thinking")
    screen.words("I look.")
    screen.act(Act("running", "Read app.py"))
    diff = "--- a/app.py\n+++ b/app.py\n@@ -1 +1 @@\n-x = [red]1\n+x = [/red]2\n"
    screen.act(Act("running", "Edit " + "very/" * 20 + "long.py", "+1 -1"), shown(diff))
    screen.words("Done.")
    screen.rest()
    assert window.lines() == [
        "",
        "I look.",
        "",
        "● Read app.py",
        "● Edit very/very/very/very/very/…  +1 -1",
        "  @@ -1 +1 @@",
        "  -x = [red]1",
        "  +x = [/red]2",
        "",
        "Done.",
        "",
        "",
    ]


def test_nothing_in_markdown_is_hidden() -> None:
    screen, window = painted()
    screen.words("# Head\n\nuse <b>x</b> &lt; [here](http://example.org/x) :smile: [bold]y[/bold]\n\n<div>z</div>")
    screen.end_message()
    assert [line for line in window.lines() if line] == [
        "Head",
        "use <b>x</b> &lt; here (http://example.org/x) :smile:",
        "[bold]y[/bold]",
        "<div>z</div>",
    ]


UNSAFE = st.sampled_from(
    [
        "\x1b[2J",
        "\x1b]8;;http://x\x07",
        "\x9b31m",
        "\r",
        "\x00",
        "\u202e",
        "&#x202e;",
        "&#27;",
        "[x](javascript:\u202e)",
    ]
)


@given(st.lists(UNSAFE | st.sampled_from(["# ", "`", "```\n", "\n\n", "* ", "| a |\n|---|\n", "<", ">", "word"])))
def test_no_text_drives_the_terminal(parts: list[str]) -> None:
    window = Window()
    console = Console(file=window, force_terminal=True, width=50, emoji=False, theme=THEME, legacy_windows=False)
    console.print(rendered("".join(parts)))
    left = re.sub(r"\x1b\[[0-9;]*m", "", window.getvalue())
    assert [character for character in left if unicodedata.category(character) in ("Cc", "Cf", "Cs")] == [
        "\n" for character in left if character == "\n"
    ]
