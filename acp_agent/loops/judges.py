"""Which files decide about a change beside the commands themselves: an agent that may edit them judges its own work."""

import re
import shlex
from collections.abc import Iterable, Iterator

from acp_agent.domain.governing import LOOP_SUFFIXES, LOOPS_FOLDER

ALWAYS = (
    *(f"/{LOOPS_FOLDER}/*{suffix}" for suffix in LOOP_SUFFIXES),
    "/projects.toml",
    "/.agents/**",
    "/.mcp.json",
    "/.gitattributes",
    "/.gitmodules",
    "/.github/**",
    "/.gitlab-ci.yml",
    "/.ci/**",
    "/.circleci/**",
    "/.pre-commit-config.yaml",
    "/Jenkinsfile",
    "/azure-pipelines.yml",
)
"""Globs over repository and project that no loop may touch: what governs the agent, and what runs elsewhere."""

_PYTHON = ("/pyproject.toml", "/setup.cfg")
_NODE = ("/package.json", "/.npmrc")
_OF_PROGRAM = {
    "pytest": ("conftest.py", "/pytest.ini", "/.pytest.ini", "/tox.ini", *_PYTHON),
    "tox": ("/tox.ini", *_PYTHON),
    "nox": ("/noxfile.py",),
    "mypy": ("/mypy.ini", "/.mypy.ini", *_PYTHON),
    "ruff": ("ruff.toml", ".ruff.toml", *_PYTHON),
    "npm": _NODE,
    "npx": _NODE,
    "pnpm": _NODE,
    "yarn": _NODE,
    "bun": _NODE,
    "jest": ("jest.config.*", *_NODE),
    "vitest": ("vitest.config.*", "vite.config.*", *_NODE),
    "playwright": ("playwright.config.*", *_NODE),
    "eslint": ("eslint.config.*", ".eslintrc*", *_NODE),
    "tsc": ("tsconfig*.json",),
    "make": ("/Makefile", "/makefile", "/GNUmakefile"),
    "just": ("/justfile", "/.justfile"),
    "task": ("/Taskfile.y*ml",),
    "cargo": ("/.cargo/**",),
    "mvn": ("/pom.xml",),
    "gradle": ("/build.gradle*", "/settings.gradle*"),
}
_FILE = re.compile(r"(?:\./)?([A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)*)\Z")
_OPERATORS = frozenset("&|;<>()")
_INTERPRETERS = frozenset(
    {"sh", "bash", "zsh", "dash", "node", "ruby", "perl", "deno", "bun", "run", "uv", "env", "time"}
)
_MODULE = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*\Z")


def judges_of(gates: Iterable[str], metrics: Iterable[str] = ()) -> tuple[str, ...]:
    """Globs of the files that gates and metrics with these commands rest on, from the project's directory.

    Of a gate every file that it names; of a metric the programs alone, since what it measures is what shall change.
    """
    found = [glob for command in gates for glob in _of(command, programs=False)]
    found += [glob for command in metrics for glob in _of(command, programs=True)]
    return tuple(dict.fromkeys(found))


def _of(command: str, *, programs: bool) -> Iterator[str]:
    words = _words(command)
    begins, interpreted = True, False
    for before, word in zip(["", *words], words, strict=False):
        if set(word) <= _OPERATORS:
            begins, interpreted = True, False
            continue
        if before == "-m" and _MODULE.match(word):
            # A module of that name in the project would be run instead of the one that is meant.
            module = word.replace(".", "/")
            yield from (f"/{module}.py", f"/{module}/**")
        name = word.rpartition("/")[2]
        yield from _OF_PROGRAM.get(name, ())
        if (begins or not programs) and (path := _file_of(word)):
            yield f"/{path}"
        interpreted = interpreted or name in _INTERPRETERS or name.startswith("python")
        # What an interpreter is given first is the program; its options and their values come before that.
        passed_over = name in _INTERPRETERS or name.startswith("python") or word[:1] == "-" or "=" in word
        begins = begins and (passed_over or (interpreted and not {".", "/"} & set(word)))


def _file_of(word: str) -> str | None:
    named = _FILE.match(word)
    return named[1] if named and ".." not in named[1] and word[:1] != "-" else None


def _words(command: str) -> list[str]:
    try:
        lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        return list(lexer)
    except ValueError:
        return command.split()
