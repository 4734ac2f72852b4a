"""What our own code says of a project without asking a model: languages, sizes, tests, licence, README, history."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import anyio.to_thread

from acp_agent.config.discover_repositories import SKIPPED
from acp_agent.config.guess import LANGUAGES
from acp_agent.fleet.git import git

MOST_FILES = 5_000
LARGEST_FILE = 1 << 20
SHOWN_FILES = 12
README_LENGTH = 300

_NAMES = {
    "cpp": "C++",
    "csharp": "C#",
    "docs": "Markdown",
    "javascript": "JavaScript",
    "php": "PHP",
    "typescript": "TypeScript",
}
_TEST_FOLDERS = frozenset({"test", "tests", "spec", "specs", "__tests__"})
_TEST_FILE = re.compile(r"(test_.*|.*_test|.*_spec|.*[.-](test|spec)|Test[A-Z].*|.*Tests?)\.\w+")
_LICENCE_FILE = re.compile(r"(?i)(licen[cs]e|copying|unlicense)([.-].*)?")
_README_FILE = re.compile(r"(?i)readme(\.(md|rst|txt))?")
_LICENCES = (
    ("Apache License", "Apache-2.0"),
    ("MIT License", "MIT"),
    ("Permission is hereby granted, free of charge", "MIT"),
    ("Mozilla Public License", "MPL-2.0"),
    ("GNU AFFERO GENERAL PUBLIC LICENSE", "AGPL"),
    ("GNU LESSER GENERAL PUBLIC LICENSE", "LGPL"),
    ("GNU GENERAL PUBLIC LICENSE", "GPL"),
    ("Redistribution and use in source and binary forms", "BSD"),
    ("ISC License", "ISC"),
    ("This is free and unencumbered software", "Unlicense"),
)
_NO_PROSE = re.compile(r"^(#|=|-{3}|\*{3}|<|\[!\[|!\[|```|\||::|\.\. )")


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """One project as files and history show it. `languages` are (name, files, lines), the largest first.

    `lines` counts those of all languages; `licence` is an SPDX-like name, `other`, or "" without a file; `last_commit`
    is a date (YYYY-MM-DD), "" outside git; `readme` the first words of prose.
    """

    project: str
    files: int
    paths: tuple[str, ...]
    languages: tuple[tuple[str, int, int], ...]
    lines: int
    test_files: int
    licence: str
    last_commit: str
    readme: str

    @property
    def main_language(self) -> str:
        """The language with the most lines; prose counts only where there is no code."""
        code = [name for name, _, _ in self.languages if name != _NAMES["docs"]]
        return next(iter(code), self.languages[0][0] if self.languages else "")

    def for_a_small_model(self) -> tuple[tuple[str, str], ...]:
        """What a very small model reads, as (name, value): with more than this its answers are worse (measured)."""
        more = self.files - len(self.paths)
        return (
            ("Project", self.project),
            ("README", self.readme),
            ("Files", ", ".join(self.paths) + (f" and {more} more" if more else "")),
            ("Main language", self.main_language),
            ("Has tests", "yes" if self.test_files else "no"),
        )


async def gather(project: str, root: Path, subdir: str = "") -> Facts:
    """The facts of the project in folder `subdir` of `root`; in a repository only files that git does not ignore."""
    folder = root / subdir
    paths, last_commit = await _from_git(folder) or (await anyio.to_thread.run_sync(_walked, folder), "")
    return await anyio.to_thread.run_sync(_facts, project, folder, paths, last_commit)


async def _from_git(folder: Path) -> tuple[list[str], str] | None:
    listed = await git(folder, "ls-files", "-z", "--cached", "--others", "--exclude-standard", check=False)
    if listed.status != 0:
        return None
    # A file that was deleted and not yet committed is still listed.
    paths = [path for path in dict.fromkeys(listed.fields) if (folder / path).is_file()]
    dated = await git(folder, "log", "-1", "--format=%cs", "--", ".", check=False)
    return sorted(paths), dated.text.strip() if dated.status == 0 else ""


def _walked(folder: Path) -> list[str]:
    found: list[str] = []
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in SKIPPED)
        base = os.path.relpath(place, folder)
        found += (name if base == "." else f"{base}/{name}" for name in sorted(names))
        if len(found) >= MOST_FILES:
            break
    return sorted(found[:MOST_FILES])


def _facts(project: str, folder: Path, paths: Sequence[str], last_commit: str) -> Facts:
    files: Counter[str] = Counter()
    lines: Counter[str] = Counter()
    for path in paths[:MOST_FILES]:
        if language := LANGUAGES.get(PurePosixPath(path).suffix.lower()):
            files[language] += 1
            lines[language] += _lines(folder / path)
    ranked = sorted(files, key=lambda language: (-lines[language], -files[language], language))
    top = [path for path in paths if "/" not in path]
    return Facts(
        project=project,
        files=len(paths),
        paths=tuple(_telling(paths))[:SHOWN_FILES],
        languages=tuple((_NAMES.get(name, name.capitalize()), files[name], lines[name]) for name in ranked),
        lines=lines.total(),
        test_files=sum(map(_is_test, paths)),
        licence=_licence(folder, top),
        last_commit=last_commit,
        readme=_readme(folder, top),
    )


def _telling(paths: Iterable[str]) -> list[str]:
    """Names that tell the most first: those at the top, then by depth."""
    return sorted((path for path in paths if not path.startswith(".")), key=lambda path: (path.count("/"), path))


def _is_test(path: str) -> bool:
    parts = PurePosixPath(path)
    if parts.suffix.lower() not in LANGUAGES or LANGUAGES[parts.suffix.lower()] == "docs":
        return False
    return bool(_TEST_FOLDERS.intersection(parts.parts[:-1]) or _TEST_FILE.fullmatch(parts.name))


def _lines(path: Path) -> int:
    return _text(path).count("\n")


def _text(path: Path) -> str:
    """The text of a file of the project, "" where there is none to read."""
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > LARGEST_FILE:
            return ""
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""


def _licence(folder: Path, top: Iterable[str]) -> str:
    names = [name for name in top if _LICENCE_FILE.fullmatch(name)]
    if not names:
        return ""
    head = " ".join(_text(folder / names[0])[:2_000].split()).lower()
    return next((licence for words, licence in _LICENCES if words.lower() in head), "other")


def _readme(folder: Path, top: Iterable[str]) -> str:
    name = next((name for name in top if _README_FILE.fullmatch(name)), None)
    prose: list[str] = []
    for line in _text(folder / name).splitlines() if name else ():
        text = line.strip()
        if prose and not text:
            break
        if text and not _NO_PROSE.match(text):
            prose.append(text)
    return " ".join(prose)[:README_LENGTH]
