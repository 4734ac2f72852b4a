"""How patterns match commands and paths: the same for config files and for what is allowed always."""

import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache

from acp_agent.domain.governing import plain_name

_NOBODYS_NAME = "\1" * 16


def command_fits(pattern: str, command: str) -> bool:
    """Whether a simple command, named as its quoted words, is what `pattern` says, word by word.

    A `*` inside a word stands for any characters of that word; a `*` that is the whole last word stands for any further
    words, also none: `git push *` fits `git push` and `git push origin main`, not `git pull`; `*` fits every command.
    """
    return _fits(_words(pattern), _words(command))


def command_may_be(pattern: str, command: str) -> bool:
    """As `command_fits`, but for rules that forbid: also by another path to the program, and with options before.

    `git push *` is `/usr/bin/git -C elsewhere push` too.
    """
    wanted = _words(pattern)
    return any(_fits(wanted, words) for words in _variants(_words(command)))


def path_fits(pattern: str, path: str) -> bool:
    """Whether a workspace-relative path is what `pattern` says, as .gitignore reads it, letter by letter.

    Without a slash it is a name anywhere, with one it begins at the workspace; `**` stands for any directories, and
    what fits a directory fits all that is in it.
    """
    return _path_fits(_path_pattern(pattern), tuple(path.split("/")))


def path_may_be(pattern: str, path: str) -> bool:
    """As `path_fits`, but for rules that forbid: names are compared as the most lenient file system would."""
    return _path_fits(_lenient_pattern(pattern), tuple(map(_plain_name, path.split("/"))))


@dataclass(frozen=True, slots=True)
class Way:
    """How far a path got in patterns that forbid, as `path_may_be` reads them: name by name, as a walk goes down.

    `fits`: it is what one of them says. `_open` are the patterns that something below it may be, and how far.
    """

    _open: tuple[tuple[tuple[str, ...], frozenset[int]], ...]
    fits: bool = False

    @classmethod
    def of(cls, patterns: Iterable[str]) -> "Way":
        """The way of the workspace itself."""
        return cls(tuple((_lenient_pattern(pattern), frozenset({0})) for pattern in patterns))

    def into(self, name: str) -> "Way":
        """The way of `name` in the folder."""
        part = _plain_name(name)
        going = [(wanted, _advanced(wanted, reachable, part)) for wanted, reachable in self._open]
        fits = any(len(wanted) in reachable for wanted, reachable in going)
        return Way(tuple(one for one in going if one[1]), fits)

    @property
    def leads_on(self) -> bool:
        """Whether something below may fit, so that it is worth looking into."""
        return bool(self._open)

    @property
    def covers(self) -> bool:
        """Whether whatever lies in the folder fits."""
        # No pattern but a wildcard for all names fits this one.
        return self.into(_NOBODYS_NAME).fits


def seen_from(pattern: str, folder: str) -> str | None:
    """A pattern of paths as it reads in `folder`, which lies where it was written for; None: it means nothing there."""
    wanted = _path_pattern(pattern)
    for part in folder.split("/"):
        if wanted[:1] == ("**",):
            return pattern
        if not wanted or not fnmatchcase(plain_name(part), plain_name(wanted[0])):
            return None
        wanted = wanted[1:] or ("**",)
    return f"/{'/'.join(wanted)}"


def pattern_problem(pattern: str) -> str | None:
    """What is wrong with the pattern of a command, for its author; None where it is well made."""
    try:
        words = shlex.split(pattern)
    except ValueError as error:
        return f"cannot be read as words: {str(error).lower()}"
    return None if words else "should not be empty"


@lru_cache(maxsize=2048)
def _words(text: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text))
    except ValueError:
        # The end of what could not be named; it fits nothing but itself.
        return (text,)


def _fits(wanted: Sequence[str], words: Sequence[str]) -> bool:
    if wanted and wanted[-1] == "*":
        wanted, words = wanted[:-1], words[: len(wanted) - 1]
    return len(wanted) == len(words) and all(fnmatchcase(word, one) for word, one in zip(words, wanted, strict=True))


def _variants(words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The command as it stands, by its program's bare name, and without the options before its first real word."""
    yield words
    if not words:
        return
    program = words[0].rpartition("/")[2].casefold()
    for position in range(1, len(words) + 1):
        yield (program, *words[position:])
        if position == len(words):
            return
        is_value = position > 1 and words[position - 1].startswith("-") and "=" not in words[position - 1]
        if not words[position].startswith("-") and not is_value:
            return


@lru_cache(maxsize=1024)
def _path_pattern(pattern: str) -> tuple[str, ...]:
    parts = [part for part in pattern.split("/") if part not in ("", ".")]
    anchored = "/" in pattern.rstrip("/")
    return tuple(parts) if anchored else ("**", *parts)


@lru_cache(maxsize=1024)
def _lenient_pattern(pattern: str) -> tuple[str, ...]:
    return tuple(plain_name(part) if part != "**" else part for part in _path_pattern(pattern))


_plain_name = lru_cache(maxsize=65_536)(plain_name)


def _path_fits(wanted: tuple[str, ...], parts: tuple[str, ...]) -> bool:
    """Whether `parts`, or a directory they lie in, are what `wanted` says."""
    reachable = frozenset({0})
    for part in parts:
        reachable = _advanced(wanted, reachable, part)
        if len(wanted) in reachable:
            return True
    return False


def _advanced(wanted: tuple[str, ...], reachable: frozenset[int], part: str) -> frozenset[int]:
    """Where in the pattern one may stand after one part more; its length: the whole of it fits."""
    following: set[int] = set()
    for at in _skipped(wanted, reachable):
        if wanted[at] == "**":
            # At the end it stands for all below, so that one part of it is enough.
            following.add(len(wanted) if at + 1 == len(wanted) else at)
        elif fnmatchcase(part, wanted[at]):
            following.add(at + 1)
    return frozenset(following)


def _skipped(wanted: tuple[str, ...], reachable: frozenset[int]) -> set[int]:
    """Where in the pattern one may stand: `**` before something else may also stand for nothing."""
    found = set(reachable)
    for at in range(len(wanted) - 1):
        if at in found and wanted[at] == "**":
            found.add(at + 1)
    return found
