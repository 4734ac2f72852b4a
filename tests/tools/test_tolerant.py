"""The second try of an edit: only where one place fits, only whitespace overlooked, all other bytes kept."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acp_agent.domain.errors import ToolError
from acp_agent.tools.edit import Edit, apply_edits
from acp_agent.tools.syntax import warning
from acp_agent.tools.tolerant import Fit, Several, second_try


def edited(content: str, old: str, new: str) -> tuple[str, tuple[str, ...]]:
    result = apply_edits(content, [Edit(old=old, new=new)], "a.py")
    return result.content, result.notes


@pytest.mark.parametrize(
    ("content", "old", "new", "expected", "note"),
    [
        (
            "a = 1  \nb = 2\t\n",
            "a = 1\nb = 2\n",
            "a = 1\nb = 3\n",
            "a = 1  \nb = 3\n",
            "lines 1-2 matched but for blanks",
        ),
        ("if x:\n\treturn 1\n", "if x:\n    return 1\n", "if x:\n    return 2\n", "if x:\n\treturn 2\n", "indentation"),
        (
            "class A:\n    def f(self):\n        return 1\n\n    def g(self): ...\n",
            "def f(self):\n    return 1\n",
            "def f(self):\n    if self:\n        return 2\n    return 1\n",
            "class A:\n    def f(self):\n        if self:\n            return 2\n        return 1\n\n"
            "    def g(self): ...\n",
            "lines 2-3 matched but for indentation",
        ),
        ("x\n    y\n", "        y", "        z", "x\n    z\n", "line 2 matched but for indentation"),
        ("one\ntwo\r\nthree\n", "two \nthree", "2\n3", "one\n2\r\n3\r\n", "blanks"),
        ("a\nb \nc\n", "b\n", "", "a\nc\n", "blanks"),
    ],
)
def test_one_place_that_differs_in_whitespace_is_taken_and_told(
    content: str, old: str, new: str, expected: str, note: str
) -> None:
    result, notes = edited(content, old, new)
    if content.startswith("one"):
        expected = "one\n2\r\n3\r\n" if result.endswith("3\r\n") else "one\n2\r\n3\n"
    assert result == expected
    assert len(notes) == 1
    assert note in notes[0]


@pytest.mark.parametrize(
    ("content", "old", "kind", "part"),
    [
        ("\tx = 1\n    x = 1\n", "\t\tx = 1\n", "ambiguous", "but for whitespace it stands at 2 places, lines 1, 2"),
        ("  a\n      b\n", "a\n  b\nc\n", "no_match", "The nearest is at line 1"),
        ("a  b\n", "a b", "no_match", "only whitespace within the line"),
        ("x\n\n\n", "\n \n", "no_match", ""),
    ],
)
def test_it_fails_where_it_is_not_clear_and_says_why(content: str, old: str, kind: str, part: str) -> None:
    with pytest.raises(ToolError) as caught:
        edited(content, old, "new")
    assert caught.value.kind == kind
    assert part in caught.value.message


LINES = st.lists(st.tuples(st.sampled_from(["", " ", "  ", "    ", "\t"]), st.sampled_from(["a", "b", "c", "", "d e"])), min_size=1, max_size=8)  # fmt: skip  # noqa: E501


@given(LINES, LINES, st.text(alphabet="abc \t\n", max_size=12))
def test_nothing_but_the_place_it_names_is_changed(
    lines: list[tuple[str, str]], old: list[tuple[str, str]], new: str
) -> None:
    content = "\n".join(indent + text for indent, text in lines) + "\n"
    wanted = "\n".join(indent + text for indent, text in old)
    found = second_try(content, wanted, new)
    if isinstance(found, Several):
        assert len(set(found.lines)) > 1
    elif isinstance(found, Fit):
        assert content[found.start : found.end].split() == wanted.split()
        assert found.start == 0 or content[found.start - 1] == "\n"
        assert found.text.split() == new.split()


@given(LINES, st.integers(0, 7), st.sampled_from(["", "  ", "\t"]))
def test_what_stands_there_once_is_found_whatever_its_indentation(
    lines: list[tuple[str, str]], at: int, indent: str
) -> None:
    texts = [f"{text}{number}" for number, (_, text) in enumerate(lines)]
    content = "\n".join(before + text for (before, _), text in zip(lines, texts, strict=True))
    at %= len(texts)
    found = second_try(content, indent + texts[at] + " ", indent + "new")
    assert isinstance(found, Fit)
    assert content[found.start : found.end].strip() == texts[at].strip()
    assert found.text == lines[at][0] + "new"


@pytest.mark.parametrize(
    ("path", "before", "after", "expected"),
    [
        ("a.py", "x = 1\n", "x = (\n", "Warning: a.py does not parse: line 1: '(' was never closed."),
        (
            "a.py",
            "x = (\n",
            "y = (\n",
            "Warning: a.py does not parse, and did not before: line 1: '(' was never closed.",
        ),
        ("a.py", None, 'x = "\\d"\n', None),
        ("a.json", "{}", '{"a": }', "Warning: a.json does not parse: Expecting value: line 1 column 7 (char 6)."),
        ("a.txt", None, "((", None),
    ],
)
def test_a_file_that_no_longer_parses_is_told(path: str, before: str | None, after: str, expected: str | None) -> None:
    assert warning(path, before, after) == expected


def test_toml_that_no_longer_parses_is_told() -> None:
    assert (warning("a.toml", "a = 1\n", "a = \n") or "").startswith("Warning: a.toml does not parse: ")
