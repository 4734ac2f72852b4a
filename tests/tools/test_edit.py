"""Edits are exact, all or none, and a miss is answered with what the model needs."""

# ruff: noqa: E501  (what a model reads stands here as it reads it)

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot

from acp_agent.domain.errors import ToolError
from acp_agent.tools.edit import Edit, apply_edits
from acp_agent.tools.text import decode, unified

SMALL = st.text(alphabet="ab\n \t", max_size=30)
PIECE = st.text(alphabet="ab\n \t", min_size=1, max_size=4)
EDITS = st.lists(st.builds(lambda old, new, every: Edit.model_validate({"old": old, "new": new, "all": every}),
                           PIECE, SMALL, st.booleans()), min_size=1, max_size=4)  # fmt: skip


def replaced(content: str, edits: list[Edit]) -> str | None:
    """The oracle: `str.replace`, one after the other, None where one does not fit."""
    for edit in edits:
        places = sum(content.startswith(edit.old, index) for index in range(len(content)))
        if places == 0 or edit.old == edit.new or (places > 1 and not edit.all):
            return None
        content = content.replace(edit.old, edit.new)
    return content


@given(content=SMALL, edits=EDITS)
def test_edits_do_what_replace_does_or_nothing(content: str, edits: list[Edit]) -> None:
    try:
        edited = apply_edits(content, edits, "a.py")
    except ToolError as error:
        assert error.kind in ("no_match", "ambiguous", "no_change")
        assert replaced(content, edits) is None
    else:
        # What a second try made of whitespace is said; everything else is what replace does.
        assert edited.notes or edited.content == replaced(content, edits)


@given(
    content=st.text(alphabet="aé€\n\r\0\ufeff", max_size=40), encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"])
)
def test_text_survives_the_round_trip(content: str, encoding: str) -> None:
    data = content.encode(encoding)
    try:
        text = decode(data, "a")
    except ToolError as error:
        assert error.kind == "binary"
    else:
        assert text.encode(text.content) == data


def told(content: str, *edits: dict[str, object]) -> str:
    with pytest.raises(ToolError) as caught:
        apply_edits(content, [Edit.model_validate(edit) for edit in edits], "app.py")
    return f"{caught.value.kind}: {caught.value.message}\n-> {caught.value.hint}"


CODE = "def first():\n    return 1\n\n\ndef second():\n\treturn 2\n\n\ndef third():\n    return 1\n"


def test_what_a_model_reads_of_an_edit_that_does_not_fit() -> None:
    assert [
        told(CODE, {"old": "    return 1", "new": "    return 3"}),
        told(CODE, {"old": "def second():\n    return 2", "new": "x", "all": True}),
        told(CODE, {"old": "def secnd():", "new": "x"}),
        told(CODE, {"old": "def  second():", "new": "x"}),
        told(CODE, {"old": "def third(): ", "new": "x", "all": True}),
        told(CODE, {"old": "nothing of the kind anywhere", "new": "x"}),
        told(CODE, {"old": "1\tdef first():\n2\t    return 1", "new": "x"}),
        told(CODE, {"old": "def fourth():", "new": "def second():"}),
        told(CODE, {"old": "def first", "new": "def one"}, {"old": "def zero", "new": "x"}),
        told(CODE, {"old": "", "new": "x"}),
        told(CODE, {"old": "def", "new": "def"}),
    ] == snapshot(
        [
            """\
ambiguous: the edit: old occurs 2 times in app.py, at lines 2, 10. Nothing was changed.
-> Add lines around it to old until it is unique, or set all to true.\
""",
            """\
no_match: the edit: old was not found in app.py. Nothing was changed. The nearest is at line 5 (first difference at line 6: indentation, the file has '\\t', old has '    '):
5	def second():
6		return 2
-> Copy old from the file exactly, with its whitespace.\
""",
            """\
no_match: the edit: old was not found in app.py. Nothing was changed. The nearest is at line 5 (the file has 'def second():', old has 'def secnd():'):
5	def second():
-> Copy old from the file exactly, with its whitespace.\
""",
            """\
no_match: the edit: old was not found in app.py. Nothing was changed. The nearest is at line 5 (only whitespace within the line):
5	def second():
-> Copy old from the file exactly, with its whitespace.\
""",
            """\
no_match: the edit: old was not found in app.py. Nothing was changed. The nearest is at line 9 (blanks at the end of the line, the file has '', old has ' '):
9	def third():
-> Copy old from the file exactly, with its whitespace.\
""",
            """\
no_match: the edit: old was not found in app.py. Nothing was changed. Nothing in it is similar.
-> Read the file again.\
""",
            """\
no_match: the edit: old was not found in app.py. Nothing was changed.
-> Leave out the line numbers that read_file puts before each line.\
""",
            """\
no_match: the edit: old was not found in app.py. Nothing was changed. The text of new is already there, at line 5.
-> Perhaps this edit was made before; read the file again.\
""",
            """\
no_match: edits[1]: old was not found in app.py. Nothing was changed. Nothing in it is similar.
-> Read the file again.\
""",
            """\
empty: the edit: old is empty. Nothing was changed.
-> Name the text to replace, or use write_file.\
""",
            """\
no_change: the edit: old and new are the same. Nothing was changed.
-> None\
""",
        ]
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"one\r\ntwo\r\n", b"one\r\nTWO\r\n2\r\n"),
        (b"one\ntwo\n", b"one\nTWO\n2\n"),
        (b"\xef\xbb\xbfone\ntwo", b"\xef\xbb\xbfone\nTWO\n2"),
        ("one é\ntwo".encode("latin-1"), "one é\nTWO\n2".encode("latin-1")),
        ("one é\ntwo".encode("utf-16"), "one é\nTWO\n2".encode("utf-16")),
    ],
)
def test_encoding_and_line_ends_are_kept(before: bytes, after: bytes) -> None:
    text = decode(before, "a")
    edit = Edit.model_validate({"old": "two", "new": "TWO\n2"})
    assert text.encode(apply_edits(text.content, [edit], "a").content) == after


def test_mixed_line_ends_match_over_several_lines() -> None:
    edit = Edit.model_validate({"old": "one\ntwo", "new": "1\n2"})
    assert apply_edits("zero\none\r\ntwo\r\n", [edit], "a").content == "zero\n1\r\n2\r\n"


def test_a_character_the_encoding_lacks_is_refused() -> None:
    with pytest.raises(ToolError) as caught:
        decode("é".encode("latin-1"), "a").encode("é€")
    assert caught.value.kind == "encoding"


@pytest.mark.parametrize("data", [b"\0", b"\x89PNG\r\n\x1a\n\0\0", bytes(range(256)), b"\xff\xfe\x00\xd8"])
def test_binary_data_is_no_text(data: bytes) -> None:
    with pytest.raises(ToolError) as caught:
        decode(data, "a")
    assert caught.value.kind == "binary"


def test_an_edit_cannot_blow_a_file_up() -> None:
    edit = Edit.model_validate({"old": "a", "new": "b" * 100_000, "all": True})
    with pytest.raises(ToolError) as caught:
        apply_edits("a" * 100_000, [edit], "a")
    assert caught.value.kind == "too_large"


def test_diffs_are_gits_and_bounded() -> None:
    lines = "".join(f"{number}\n" for number in range(100_000))
    assert unified("a", lines, lines.replace("\n500\n", "\nfive\n")).text == (
        "--- a/a\n+++ b/a\n@@ -498,7 +498,7 @@\n 497\n 498\n 499\n-500\n+five\n 501\n 502\n 503\n"
    )
    assert unified("a", None, "x").text == "--- /dev/null\n+++ b/a\n@@ -0,0 +1 @@\n+x\n\\ No newline at end of file\n"
    assert unified("a", lines, lines.replace("1", "x")).counts == "too large to compare"
