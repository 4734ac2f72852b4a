"""Valid JSON passes unchanged; what models commonly get wrong is read; what was cut off is not completed."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acp_agent.tools.repair import Unreadable, parse_arguments

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(
    value=st.dictionaries(st.text(), VALUES, max_size=5), indent=st.sampled_from([None, 2]), ascii_only=st.booleans()
)
def test_any_valid_json_object_passes_unchanged(value: dict[str, object], indent: int | None, ascii_only: bool) -> None:
    assert parse_arguments(json.dumps(value, indent=indent, ensure_ascii=ascii_only)) == value


@given(text=st.text(alphabet="{}[]\",:\\'ab1 \n`", max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        assert isinstance(parse_arguments(text), dict)
    except Unreadable as error:
        assert str(error)


@pytest.mark.parametrize(
    "text",
    [
        '```json\n{"path": "a", "all": true}\n```',
        'Here you are: {"path": "a", "all": true} Done.',
        '{"path": "a", "all": true,}',
        '{"path": "a", "all": true',
        "{'path': 'a', 'all': True}",
        "{'path': 'a', 'all': true}",
        '"{\\"path\\": \\"a\\", \\"all\\": true}"',
        '  {"path": "a", "all": true}}',
    ],
)
def test_common_slips_are_mended(text: str) -> None:
    assert parse_arguments(text) == {"path": "a", "all": True}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", {}),
        ('{"content": "one\ntwo"}', {"content": "one\ntwo"}),
        ('{"content": "a,]"', {"content": "a,]"}),
        ('{"content": "say \\"}\\"",}', {"content": 'say "}"'}),
        ("{'pattern': '\\d+'}", {"pattern": "\\d+"}),
        ('{"list": [1, 2,],}', {"list": [1, 2]}),
    ],
)
def test_strings_are_left_as_they_are(text: str, value: dict[str, object]) -> None:
    assert parse_arguments(text) == value


@pytest.mark.parametrize(
    "text",
    [
        '{"path": "a", "content": "half a fi',
        '{"edits": [{"old": "a", "new": "b"}',
        '{"path": "a",',
        '{"timeout": 12',
        '{"path":',
        "[1, 2]",
        "42",
        "null",
        "rm -rf",
        "[" * 100_000,
        "{" * 100_000,
        '{"a":' * 50_000,
    ],
)
def test_what_was_cut_off_or_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(Unreadable):
        parse_arguments(text)
