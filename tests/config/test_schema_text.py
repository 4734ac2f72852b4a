# ruff: noqa: E501  (error texts stand on one line, as a person sees them)
"""The shape of an answer: its text, its file, and answers held against it."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot

from acp_agent.config.schema_text import (
    FOREIGN_TYPES,
    TYPES,
    check_value,
    load_schema,
    parse_schema,
    parse_schema_table,
    read_schema_file,
)
from acp_agent.domain.errors import UsageError


def of(**fields: Any) -> dict[str, Any]:
    return {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}


STRING = {"type": "string"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "kind: library|app, files: int, notes: list[str]",
            of(
                kind={"type": "string", "enum": ["library", "app"]},
                files={"type": "integer"},
                notes={"type": "array", "items": STRING},
            ),
        ),
        ("a:str,b:float,c:bool,", of(a=STRING, b={"type": "number"}, c={"type": "boolean"})),
        (
            "a: list[list[low|high]]",
            of(a={"type": "array", "items": {"type": "array", "items": {"type": "string", "enum": ["low", "high"]}}}),
        ),
        ("a: int|unknown", of(a={"anyOf": [{"type": "integer"}, {"type": "string", "enum": ["unknown"]}]})),
        ("a: int | str", of(a={"anyOf": [{"type": "integer"}, STRING]})),
        ("a: \"not there\"|'str'", of(a={"type": "string", "enum": ["not there", "str"]})),
        ("a: '3.11'", of(a={"type": "string", "enum": ["3.11"]})),
        ("a: list|b", None),
    ],
)
def test_a_text_becomes_a_json_schema(text: str, expected: dict[str, Any] | None) -> None:
    if expected is None:
        with pytest.raises(UsageError):
            parse_schema(text)
    else:
        assert parse_schema(text) == expected


def test_errors_of_a_text_name_the_column_and_what_was_expected() -> None:
    found = {}
    for text in (
        "",
        "  ",
        "a",
        "a:",
        "a: ,",
        "a: strng",
        "a: string",
        "a: null|str",
        "a: object",
        "a: x|x",
        "a: int|int",
        "a: list[str",
        "a: list[]",
        "a: list str",
        "a: int b: int",
        "a: int, a: str",
        "a: ''|b",
        "1: int",
        "a: in?t",
        "a: 'x",
        ": int",
        "a: " + "list[" * 11 + "str" + "]" * 11,
    ):
        with pytest.raises(UsageError) as error:
            parse_schema(text)
        found[text] = f"{error.value.what} | {error.value.hint}"
    assert found == snapshot(
        {
            "": "schema: is empty | name fields and types, such as 'kind: library|app, files: int, notes: list[str]'",
            "  ": "schema: is empty | name fields and types, such as 'kind: library|app, files: int, notes: list[str]'",
            "a": "schema: column 2: expected ':' after 'a', not the end | write it such as 'kind: library|app, files: int, notes: list[str]'",
            "a:": "schema: column 3: expected a type or a word, not the end | write it such as 'kind: library|app, files: int, notes: list[str]'",
            "a: ,": "schema: column 4: expected a type or a word, not ',' | write it such as 'kind: library|app, files: int, notes: list[str]'",
            "a: strng": "schema: column 4: unknown type 'strng' | did you mean 'str'?",
            "a: string": "schema: column 4: unknown type 'string' | did you mean str? If it is a word, quote it",
            "a: null|str": "schema: column 4: unknown type 'null' | types are str, int, float, bool and list[T]. If it is a word, quote it",
            "a: object": "schema: column 4: unknown type 'object' | types are str, int, float, bool and list[T]. If it is a word, quote it",
            "a: x|x": "schema: column 6: 'x' is there twice | write it such as 'kind: library|app, files: int, notes: list[str]'",
            "a: int|int": "schema: column 8: 'int' is there twice | write it such as 'kind: library|app, files: int, notes: list[str]'",
            "a: list[str": "schema: column 12: expected ']' at the end of list[, not the end | write it such as 'kind: library|app, files: int, notes: list[str]'",
            "a: list[]": "schema: column 9: expected a type or a word, not ']' | write it such as 'kind: library|app, files: int, notes: list[str]'",
            "a: list str": "schema: column 4: unknown type 'list' | did you mean list[str]? If it is a word, quote it",
            "a: int b: int": "schema: column 8: expected ',' between two fields, not 'b' | write it such as 'kind: library|app, files: int, notes: list[str]'",
            "a: int, a: str": "schema: column 9: the field 'a' is there twice | write it such as 'kind: library|app, files: int, notes: list[str]'",
            "a: ''|b": "schema: column 4: an empty word | write it such as 'kind: library|app, files: int, notes: list[str]'",
            "1: int": "schema: column 1: expected the name of a field, not '1' | write it such as 'kind: library|app, files: int, notes: list[str]'",
            "a: in?t": "schema: column 6: cannot read '?' | write it such as 'kind: library|app, files: int, notes: list[str]'",
            "a: 'x": "schema: column 4: the quote is not closed | write it such as 'kind: library|app, files: int, notes: list[str]'",
            ": int": "schema: column 1: expected the name of a field, not ':' | write it such as 'kind: library|app, files: int, notes: list[str]'",
            "a: list[list[list[list[list[list[list[list[list[list[list[str]]]]]]]]]]]": "schema: column 54: lists are nested more than 10 deep | write it such as 'kind: library|app, files: int, notes: list[str]'",
        }
    )


def test_a_table_is_the_same_as_the_text() -> None:
    table = {"outdated": "list[str]", "effort": "low|mid|high"}
    assert parse_schema_table(table) == parse_schema("outdated: list[str], effort: low|mid|high")
    for bad, expected in (
        ({"a b": "int"}, "'a b' is no name"),
        ({"a": "int, b: str"}, r"schema.a: column 4: expected"),
    ):
        with pytest.raises(UsageError, match=expected):
            parse_schema_table(bad)


words = st.text(alphabet="abcdefgh_", min_size=1, max_size=6).filter(
    lambda word: word not in TYPES and word.lower() not in FOREIGN_TYPES
)
enums = st.lists(words, min_size=2, max_size=4, unique=True).map(
    lambda found: ("|".join(found), st.sampled_from(found))
)
simple = st.one_of(
    st.just(("str", st.text(max_size=5))),
    st.just(("int", st.integers())),
    st.just(("float", st.floats(allow_nan=False, allow_infinity=False))),
    st.just(("bool", st.booleans())),
    enums,
)
types = st.recursive(
    simple, lambda inner: inner.map(lambda pair: (f"list[{pair[0]}]", st.lists(pair[1], max_size=3))), max_leaves=4
)
names = st.text(alphabet="abc_XYZ", min_size=1, max_size=5)
schemas = st.dictionaries(names, types, min_size=1, max_size=4)


@given(schemas, st.data())
def test_every_value_of_the_shape_fits_and_every_other_is_told(schema: dict[str, Any], data: st.DataObject) -> None:
    parsed = parse_schema(", ".join(f"{name}: {text}" for name, (text, _) in schema.items()))
    value = {name: data.draw(strategy) for name, (_, strategy) in schema.items()}
    assert check_value(parsed, value) is None
    assert check_value(parsed, {**value, "more than that": 1}) is not None
    first = next(iter(value))
    assert check_value(parsed, {**value, first: {}}) is not None
    del value[first]
    assert check_value(parsed, value) is not None


@given(st.text(alphabet="ab:,|[]\"' listr\n?"))
def test_no_text_breaks_the_parser(text: str) -> None:
    try:
        parsed = parse_schema(text)
    except UsageError as error:
        assert "\n" not in error.what
        return
    json.dumps(parsed)


def test_a_misfit_is_told_in_one_line_with_its_place() -> None:
    schema = parse_schema("kind: library|app, files: int, notes: list[str]")
    good = {"kind": "app", "files": 1, "notes": []}
    wrong: list[object] = [
        3,
        "text",
        {},
        {**good, "kind": "lib"},
        {**good, "files": 1.5},
        {**good, "files": True},
        {**good, "notes": ["a", 2]},
        {**good, "more": 1},
    ]
    assert check_value(schema, good) is None
    assert [check_value(schema, value) for value in wrong] == snapshot(
        [
            "the answer: 3 is not of type 'object'",
            "the answer: 'text' is not of type 'object'",
            "the answer: 'kind' is a required property",
            "kind: 'lib' is not one of ['library', 'app']",
            "files: 1.5 is not of type 'integer'",
            "files: True is not of type 'integer'",
            "notes[1]: 2 is not of type 'string'",
            "the answer: Additional properties are not allowed ('more' was unexpected)",
        ]
    )


def test_a_schema_file_is_found_checked_and_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    schema = {
        "type": "object",
        "properties": {"score": {"$ref": "#/$defs/score"}},
        "required": ["score"],
        "$defs": {"score": {"type": "integer", "minimum": 0, "maximum": 9}},
    }
    Path("answer.json").write_text(json.dumps(schema))
    loaded = load_schema("answer.json", tmp_path)
    assert loaded == schema
    assert check_value(loaded, {"score": 3}) is None
    assert check_value(loaded, {"score": 10}) == "score: 10 is greater than the maximum of 9"
    assert load_schema("a: int", tmp_path) == parse_schema("a: int")


def test_a_text_longer_than_any_file_name_is_a_text(tmp_path: Path) -> None:
    text = "kind: " + "|".join(f"word{number}" for number in range(2000))
    assert len(load_schema(text, tmp_path)["properties"]["kind"]["enum"]) == 2000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "s.json: no such file"),
        ('{"a": 1,\n"b" 2}', "s.json:2: broken JSON"),
        ("[]", "s.json: a JSON Schema is an object"),
        ('{"type": "strng"}', "s.json: is no valid JSON Schema: type: 'strng' is not valid"),
        ('{"$ref": "https://example.org/x"}', "s.json: is no valid JSON Schema: $ref 'https://example.org/x' leaves"),
        ('{"properties": {"a": {"$ref": "other.json"}}}', "s.json: is no valid JSON Schema: $ref 'other.json' leaves"),
        ('{"$ref": "#/nowhere"}', "s.json: is no valid JSON Schema: $ref '#/nowhere' leads nowhere"),
        ('{"pattern": "["}', "s.json: is no valid JSON Schema: pattern: '[' is not a 'regex'"),
        ('{"properties": 3}', "s.json: is no valid JSON Schema: properties: 3 is not of type 'object'"),
        ("[" * 100_000, "s.json: is nested too deeply"),
    ],
)
def test_a_bad_schema_file_is_refused_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, expected: str
) -> None:
    monkeypatch.chdir(tmp_path)
    if text is not None:
        Path("s.json").write_text(text)
    with pytest.raises(UsageError) as error:
        load_schema("s.json", tmp_path)
    assert error.value.what.startswith(expected)


def test_a_schema_that_refers_to_itself_without_end_is_told(tmp_path: Path) -> None:
    file = tmp_path / "s.json"
    file.write_text('{"$ref": "#"}')
    assert check_value(read_schema_file(file), {}) == "is nested too deeply to be checked"
