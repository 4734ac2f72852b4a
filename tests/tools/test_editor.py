"""Between what an editor holds and the bytes of a file."""

import pytest

from acp_agent.tools.editor import as_held, writable


@pytest.mark.parametrize(
    ("disk", "held", "data"),
    [
        (b"a\nb\n", "a\nb\n", b"a\nb\n"),
        (b"a\r\nb\r\n", "a\nb\n", b"a\r\nb\r\n"),
        (b"\xef\xbb\xbfa\r\n", "a\n", b"\xef\xbb\xbfa\r\n"),
        (b"a\r\nb\r\n", "a\nc\n", b"a\r\nc\r\n"),
        (b"\xef\xbb\xbfa\n", "b\n", b"\xef\xbb\xbfb\n"),
        (b"a\n", "typed\n", b"typed\n"),
        (None, "new\n", b"new\n"),
        (b"caf\xe9\n", "caf\ufffd\n", None),
        (b"a\n", "half \ud800\n", None),
    ],
)
def test_unsaved_text_keeps_the_mark_and_the_line_ends_of_its_file(
    disk: bytes | None, held: str, data: bytes | None
) -> None:
    assert as_held(disk, held) == data


def test_an_editor_is_handed_only_what_it_writes_as_it_is() -> None:
    assert writable("Grüße\r\n".encode()) == "Grüße\r\n"
    assert [writable(data) for data in (b"caf\xe9", b"\xef\xbb\xbfa", b"a\0")] == [None, None, None]
