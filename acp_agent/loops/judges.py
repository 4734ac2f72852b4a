"""Which files decide about a change beside the commands themselves: an agent that may edit them judges its own work."""

import re
import shlex
from collections.abc import Iterable, Iterator

ALWAYS = (
    "/loops/**",
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
_MODULE = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*\Z")


def judges_of(commands: Iterable[str]) -> tuple[str, ...]:
    """Globs of the files that gates and metrics with these commands rest on, from the project's directory."""
    return tuple(dict.fromkeys(glob for command in commands for glob in _of(command)))


def _of(command: str) -> Iterator[str]:
    words = _words(command)
    for before, word in zip(["", *words], words, strict=False):
        if before == "-m" and _MODULE.match(word):
            # A module of that name in the project would be run instead of the one that is meant.
            path = word.replace(".", "/")
            yield from (f"/{path}.py", f"/{path}/**")
        yield from _OF_PROGRAM.get(word.rpartition("/")[2], ())
        if (named := _FILE.match(word)) and ".." not in named[1] and not word.startswith("-"):
            yield f"/{named[1]}"


def _words(command: str) -> list[str]:
    try:
        lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        return list(lexer)
    except ValueError:
        return command.split()
