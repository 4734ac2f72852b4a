"""Reading TOML with errors that name the place, and the lines of its keys."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
import tomlkit
from hypothesis import given
from hypothesis import strategies as st

from acp_agent.config.names import printable, shown_key
from acp_agent.config.problem import FileError
from acp_agent.config.toml_lines import line_of, lines_of_keys
from acp_agent.config.toml_source import MAX_BYTES, read_toml


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, ("f.toml: no such file", "write one")),
        (b"a = 1\nb = \n", ("f.toml:2: broken TOML: Invalid value, column 5", "mend this line")),
        (b"a = 1\n[x\n", ("f.toml:2: broken TOML: Expected ']' at the end of a table declaration, column 3",)),
        (b"a = 1\na = 2\n", ("f.toml:2: broken TOML: Cannot overwrite a value, column 6",)),
        (b'a = """\n\n', ("f.toml:3: broken TOML: Unterminated string",)),
        (b"a = 1\nb = '\xff'\n", ("f.toml:2: is not UTF-8 text", "save the file as UTF-8")),
        (b"a\0b", ("f.toml: is a binary file", "is this the right file?")),
        (b"#" * (MAX_BYTES + 1), ("f.toml: is larger than 1 MiB", "is this the right file?")),
        (b"a = " + b"[" * 5000, ("f.toml: is nested too deeply", "write it flatter")),
    ],
)
def test_a_file_that_cannot_be_read_says_where_and_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None, expected: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path("f.toml").write_bytes(content)
    with pytest.raises(FileError) as error:
        read_toml(Path("f.toml"), "write one")
    assert (error.value.what, error.value.hint)[: len(expected)] == expected


def test_a_folder_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("f.toml").mkdir()
    with pytest.raises(FileError, match="is a folder, not a file"):
        read_toml(Path("f.toml"))


def test_a_byte_order_mark_and_windows_lines_are_read(tmp_path: Path) -> None:
    file = tmp_path / "f.toml"
    file.write_bytes(b"\xef\xbb\xbfa = 1\r\n[b]\r\nc = 2\r\n")
    source = read_toml(file)
    assert (source.data, line_of(source.text, ("b", "c"))) == ({"a": 1, "b": {"c": 2}}, 3)


TEXT = '''\
top = 1 # [not.a.table]
"quoted key" = "a = [b]"

[a.b]
many = [
  "x", # comment
  { in = 1, deep.er = [1, 2] },
]
long = """
[not.a.table]
no = 1
"""
when = 1979-05-27T07:32:00Z
real = 1.5
[[list]]
one = 1
[[list]]
two = 2
[list.inner]
three = 3
[a."c d".e]
'''


def test_every_key_has_its_line_whatever_stands_around_it() -> None:
    assert tomllib.loads(TEXT)
    lines = lines_of_keys(TEXT)
    assert {shown_key(key): line for key, line in lines.items()} == {
        "top": 1,
        "'quoted key'": 2,
        "a": 4,
        "a.b": 4,
        "a.b.many": 5,
        "a.b.many[0]": 6,
        "a.b.many[1]": 7,
        "a.b.many[1].in": 7,
        "a.b.many[1].deep": 7,
        "a.b.many[1].deep.er": 7,
        "a.b.many[1].deep.er[0]": 7,
        "a.b.many[1].deep.er[1]": 7,
        "a.b.long": 9,
        "a.b.when": 13,
        "a.b.real": 14,
        "list": 15,
        "list[0]": 15,
        "list[0].one": 16,
        "list[1]": 17,
        "list[1].two": 18,
        "list[1].inner": 19,
        "list[1].inner.three": 20,
        "a.'c d'": 21,
        "a.'c d'.e": 21,
    }


def test_a_key_that_is_not_there_has_the_line_of_its_nearest_parent() -> None:
    assert line_of(TEXT, ("a", "b", "missing", "x")) == 4
    assert line_of(TEXT, ("missing",)) is None


scalars = st.integers() | st.text() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False)
tables = st.dictionaries(
    st.text(min_size=1),
    st.recursive(
        scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=8
    ),
    max_size=4,
)


def keys_of(value: Any, key: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    found = [key] if key else []
    if isinstance(value, dict):
        for name, inner in value.items():
            found += keys_of(inner, (*key, name))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            found += keys_of(inner, (*key, index))
    return found


@given(tables)
def test_every_key_of_any_file_is_found(data: dict[str, Any]) -> None:
    text = tomlkit.dumps(data)
    assert set(lines_of_keys(text)) == set(keys_of(tomllib.loads(text)))


@given(st.text())
def test_what_is_shown_is_one_line_without_control_characters(text: str) -> None:
    assert printable(text).isprintable()
