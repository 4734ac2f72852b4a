"""Prompts from files: a bad one costs one line that names it."""

from pathlib import Path

import pytest

from acp_agent.domain.errors import UsageError
from acp_agent.surfaces.cli.prompt import prompt_of


def test_words_are_the_prompt_and_the_directory() -> None:
    assert prompt_of(("fix it",), None) == ("fix it", None)
    assert prompt_of(("fix it", "../api"), None) == ("fix it", "../api")


def test_a_file_holds_the_prompt_and_a_word_is_the_directory(tmp_path: Path) -> None:
    file = tmp_path / "task.md"
    file.write_text("\ufefffix\n")
    assert prompt_of(("../api",), str(file)) == ("fix\n", "../api")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "the prompt is empty"),
        (b" \n\t", "the prompt is empty"),
        (b"text\0", "a binary file"),
        (b"one\ntwo \xff", "not UTF-8 at line 2"),
        (b"x" * ((1 << 20) + 1), "larger than 1 MiB"),
    ],
)
def test_a_file_that_is_no_prompt_is_named(tmp_path: Path, content: bytes, problem: str) -> None:
    file = tmp_path / "task.md"
    file.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        prompt_of((), str(file))
    assert caught.value.what == f"-f {file}: {problem}"
    assert caught.value.hint


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ((), "no prompt"),
        ((" ",), "PROMPT: the prompt is empty"),
        (("fix", "the", "bug"), "too many arguments: 'bug'"),
        (("a\udc80",), "PROMPT: not UTF-8"),
    ],
)
def test_words_that_are_no_prompt(words: tuple[str, ...], problem: str) -> None:
    with pytest.raises(UsageError) as caught:
        prompt_of(words, None)
    assert caught.value.what == problem


def test_a_missing_file_and_a_directory_are_named(tmp_path: Path) -> None:
    for path, problem in ((tmp_path / "none", "no such file or directory"), (tmp_path, "is a directory")):
        with pytest.raises(UsageError, match=problem):
            prompt_of((), str(path))


def test_a_huge_file_is_not_read_whole(tmp_path: Path) -> None:
    file = tmp_path / "huge"
    with file.open("wb") as opened:
        opened.truncate(10 << 40)
    with pytest.raises(UsageError, match="larger than 1 MiB"):
        prompt_of((), str(file))
