"""Whether a file that was edited still parses, where the standard library has a parser: a warning, never a refusal."""

import ast
import json
import threading
import tomllib
import warnings
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath

_LARGEST = 1_000_000
_ASIDE = threading.Lock()


def _python(text: str) -> None:
    # Warnings of the parser are about the file, not about us; their filters are of the whole process.
    with _ASIDE, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ast.parse(text)


_PARSERS: Mapping[str, Callable[[str], object]] = {
    ".py": _python,
    ".pyi": _python,
    ".json": json.loads,
    ".toml": tomllib.loads,
}


def problem_of(path: str, text: str) -> str | None:
    """Why `text` does not parse as what `path` is called, None where it does or nobody here can tell."""
    parse = _PARSERS.get(PurePosixPath(path).suffix.lower())
    if parse is None or len(text) > _LARGEST:
        return None
    try:
        parse(text)
    except SyntaxError as error:
        return f"line {error.lineno}: {error.msg}"
    except (ValueError, RecursionError, MemoryError) as error:
        return str(error)[:200] or type(error).__name__
    return None


def warning(path: str, before: str | None, after: str) -> str | None:
    """What to tell about a file that does not parse, and whether it did before; None where there is nothing to tell."""
    problem = problem_of(path, after)
    if problem is None:
        return None
    if before is not None and problem_of(path, before) is not None:
        return f"Warning: {path} does not parse, and did not before: {problem}."
    return f"Warning: {path} does not parse: {problem}."
