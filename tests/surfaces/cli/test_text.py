"""Words of others reach a terminal only after they were made harmless."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acp_agent.surfaces.cli.columns import aligned
from acp_agent.surfaces.cli.text import cells, cut, head_of, last_lines, one_line, plain, wrapped


@pytest.mark.parametrize(
    ("given_text", "shown"),
    [
        ("plain text\nsecond line", "plain text\nsecond line"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("over\rwritten", "over\\x0dwritten"),
        ("dos\r\nline", "dos\nline"),
        ("a\tb", "a    b"),
        ("back\x08space \x7f", "back\\x08space \\x7f"),
        ("\u202egpj.exe", "\\u202egpj.exe"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("hidden \U000e0041 tag", "hidden \\U000e0041 tag"),
        ("\udc80 not utf-8", "\\udc80 not utf-8"),
        ("line\u2028separator", "line\\u2028separator"),
        ("[bold]markup stays words[/bold]", "[bold]markup stays words[/bold]"),
        ("日本 ü 👩‍💻", "日本 ü 👩‍💻"),
    ],
)
def test_what_could_drive_or_disguise_a_terminal_is_written_out(given_text: str, shown: str) -> None:
    assert plain(given_text) == shown


@given(st.text())
def test_harmless_text_has_no_control_character_and_can_be_encoded(text: str) -> None:
    shown = plain(text)
    assert not any(ord(character) < 32 and character != "\n" for character in shown)
    assert "\x7f" not in shown
    shown.encode("utf-8")
    assert plain(shown) == shown


@given(st.text(), st.integers(min_value=0, max_value=30))
def test_cut_text_never_takes_more_columns_than_it_may(text: str, width: int) -> None:
    assert cells(cut(one_line(text), width)) <= width


def test_wide_glyphs_take_two_columns_and_combining_marks_none() -> None:
    assert (cells("ab"), cells("日本"), cells("e\u0301")) == (2, 4, 1)
    assert cut("日本語", 4) == "日…"


def test_the_head_of_a_text_says_how_many_lines_are_left_out() -> None:
    assert head_of("a\nb\nc\nd", 2, 100) == ("a\nb", 2)
    assert head_of("short", 2, 100) == ("short", 0)
    assert head_of("x" * 50, 2, 10) == ("xxxxxxxxx…", 0)


def test_columns_align_wide_glyphs_and_leave_out_what_is_empty() -> None:
    table = aligned(("name", "none", "n"), [("日本", "", "1"), ("a\x1bb", "", "10")], right={2})
    assert table == "name     n\n日本     1\na\\x1bb  10"
    assert aligned(("name",), [("abcdefgh",)], width=5) == "name\nabcd…"


HEAD = ("id", "project", "step", "cost")
ROWS = [("b_x", "2 projects", "do it", "$1.00"), ("  r_x", "a-name-of-many-words-" * 3, "step " * 30, "$0.50")]


@given(st.integers(1, 200), st.lists(st.tuples(*[st.text(max_size=60)] * 4), max_size=3))
def test_a_table_is_never_wider_than_the_window(width: int, rows: list[tuple[str, str, str, str]]) -> None:
    table = aligned(HEAD, [*ROWS, *rows], right={3}, width=width, spare=("cost",))
    assert max(cells(line) for line in table.splitlines()) <= width


def test_a_narrow_window_cuts_the_widest_columns_and_then_leaves_out_what_matters_least() -> None:
    assert aligned(HEAD, ROWS, right={3}, width=60, spare=("cost",)).splitlines() == [
        "id     project                 step                     cost",
        "b_x    2 projects              do it                   $1.00",
        "  r_x  a-name-of-many-words-…  step step step step s…  $0.50",
    ]
    assert aligned(HEAD, ROWS, right={3}, width=40, spare=("cost",)).splitlines() == [
        "id     project          step",
        "b_x    2 projects       do it",
        "  r_x  a-name-of-many…  step step step …",
    ]


def test_a_pipe_gets_everything() -> None:
    assert "a-name-of-many-words-" * 3 in aligned(HEAD, ROWS, right={3})


@given(st.text(), st.integers(1, 80))
def test_wrapped_words_are_the_same_words_in_lines_that_fit(text: str, width: int) -> None:
    line = one_line(text)
    lines = wrapped(line, width).split("\n")
    assert " ".join(lines).split() == line.split()
    assert all(cells(part) <= width or " " not in part for part in lines)


def test_the_last_lines_are_those_with_words_in_them() -> None:
    assert last_lines("one\ntwo\n\nthree\x1b[0m  \n\n", 2) == "two\nthree\\x1b[0m"
    assert last_lines("", 3) == ""
    assert len(last_lines("x" * 10_000, 1)) == 400
