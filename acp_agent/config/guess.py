"""What a repository is, told from its files' names and a few of their texts: tags and the gate's command. Pure."""

import json
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import PurePosixPath
from typing import NamedTuple

MARKERS: Mapping[str, tuple[str, ...]] = {
    "pyproject.toml": ("python",),
    "setup.py": ("python",),
    "setup.cfg": ("python",),
    "requirements.txt": ("python",),
    "Pipfile": ("python",),
    "uv.lock": ("python",),
    "poetry.lock": ("python",),
    "tsconfig.json": ("typescript",),
    "package.json": ("javascript",),
    "Cargo.toml": ("rust",),
    "go.mod": ("go",),
    "pom.xml": ("java",),
    "build.gradle": ("java",),
    "build.gradle.kts": ("java",),
    "Gemfile": ("ruby",),
    "composer.json": ("php",),
    "mix.exs": ("elixir",),
    "CMakeLists.txt": ("cpp",),
    "mkdocs.yml": ("docs",),
    "docusaurus.config.js": ("docs",),
    "Dockerfile": ("docker",),
}
LANGUAGES: Mapping[str, str] = {
    ".py": "python",
    ".ts": "typescript",
    ".tsx": "typescript",
    ".js": "javascript",
    ".jsx": "javascript",
    ".mjs": "javascript",
    ".rs": "rust",
    ".go": "go",
    ".java": "java",
    ".kt": "kotlin",
    ".rb": "ruby",
    ".php": "php",
    ".ex": "elixir",
    ".c": "c",
    ".cc": "cpp",
    ".cpp": "cpp",
    ".cs": "csharp",
    ".swift": "swift",
    ".sh": "shell",
    ".md": "docs",
    ".rst": "docs",
}
READ = ("pyproject.toml", "package.json", "setup.cfg", "tox.ini", "pytest.ini")
"""Files whose text `guess` wants, where they exist at the top of the repository."""
SHARE = 0.2
"""A language is a tag from this share of the files that have one."""
NO_TEST = "no test specified"


class Guess(NamedTuple):
    """Tags, the most telling first, and a command that tests the project, if its files say one."""

    tags: tuple[str, ...]
    gate: str | None


def guess(files: Collection[str], texts: Mapping[str, str]) -> Guess:
    """From the paths in a repository (with `/`, relative to it) and the `texts` of those named in `READ`."""
    return Guess(_tags(files), _gate(files, texts))


def _tags(files: Collection[str]) -> tuple[str, ...]:
    top = {name for name in files if "/" not in name}
    tags = {tag: None for name, found in MARKERS.items() if name in top for tag in found}
    counts = Counter(LANGUAGES[suffix] for name in files if (suffix := PurePosixPath(name).suffix.lower()) in LANGUAGES)
    documents = counts.pop("docs", 0)
    code = sum(counts.values())
    tags |= {language: None for language, count in counts.most_common() if count >= SHARE * code}
    if "typescript" in tags and not counts["javascript"]:
        # Its package.json alone does not make a project JavaScript.
        tags.pop("javascript", None)
    if documents and not code:
        tags["docs"] = None
    return tuple(tags)


def _gate(files: Collection[str], texts: Mapping[str, str]) -> str | None:
    if _has_pytest(files, texts):
        return "pytest -q"
    if _has_npm_test(texts.get("package.json", "")):
        return "npm test"
    if "Cargo.toml" in files:
        return "cargo test"
    return "go test ./..." if "go.mod" in files else None


def _has_pytest(files: Collection[str], texts: Mapping[str, str]) -> bool:
    has_tests = any(
        (name := PurePosixPath(path)).suffix == ".py" and (name.stem.startswith("test_") or name.stem.endswith("_test"))
        for path in files
    )
    return has_tests and (
        "pytest.ini" in files
        or "conftest.py" in files
        or "tests/conftest.py" in files
        or "pytest" in texts.get("pyproject.toml", "")
        or "[tool:pytest]" in texts.get("setup.cfg", "")
        or "[pytest]" in texts.get("tox.ini", "")
    )


def _has_npm_test(text: str) -> bool:
    try:
        package = json.loads(text)
    except (ValueError, RecursionError):
        return False
    scripts = package.get("scripts") if isinstance(package, dict) else None
    test = scripts.get("test") if isinstance(scripts, dict) else None
    return isinstance(test, str) and bool(test.strip()) and NO_TEST not in test
