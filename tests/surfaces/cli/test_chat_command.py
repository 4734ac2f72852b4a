"""What `acp chat` refuses, and how: one line, a hint, an exit code, nothing begun."""

from collections.abc import Callable
from pathlib import Path

import pytest

from acp_agent.testing.model_server import ModelServer

Acp = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize(
    ("words", "code", "first_line"),
    [
        (["missing"], 2, "acp: 'missing' is not a directory"),
        (["--resume", "s_nothing"], 2, "acp: there is no session s_nothing"),
        (["--resume"], 5, "acp: there is no session in {here} yet"),
        (["--model", "nothing"], 2, "acp: no model alias named 'nothing'"),
        (["--role", "nobody"], 2, "acp: no role named 'nobody'"),
        (["--mode", "fly"], 2, "acp: invalid value for '--mode'"),
        (["-p", " "], 2, "acp: --print: the message is empty"),
    ],
)
def test_bad_input_is_one_line(
    words: list[str], code: int, first_line: str, acp: Acp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ended, out, err = acp("chat", *words)
    assert (ended, out) == (code, "")
    assert err.startswith(first_line.format(here=tmp_path.resolve()))
    assert len(err.splitlines()) == 2


@pytest.mark.parametrize(
    ("stdin", "first_line"),
    [
        (b"/nonsense\nhello\n", "acp: there is no command /nonsense"),
        (b"/mode fly\nhello\n", "acp: there is no mode fly"),
        (b"\xff\xfe\nhello\n", "acp: the message is not UTF-8"),
        (b"a\0b\nhello\n", "acp: the message holds a NUL character"),
        (b"x" * (1 << 20) + b"yz\nhello\n", "acp: the message is larger than 1 MiB"),
    ],
)
def test_a_script_ends_at_a_line_nobody_can_use(
    stdin: bytes, first_line: str, acp: Acp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ModelServer() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        ended, out, err = acp("chat", str(tmp_path), stdin=stdin)
        assert not [request for request in server.requests if request.is_chat]
    assert (ended, out) == (2, "")
    assert err.splitlines()[1].startswith(first_line)


def test_leaving_without_a_word_leaves_no_session(acp: Acp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ModelServer() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        ended, out, err = acp("chat", str(tmp_path), stdin=b"/cost\n/q\n")
        assert (ended, out) == (0, "")
        assert err.splitlines()[1:] == ["this session: 0 turns, 0 tokens in, 0 out, $0.00"]
        assert acp("chat", str(tmp_path), "--resume")[0] == 5
