"""Scripts as JSON files: the fields are those of the dataclasses, `{"rules": [...], "steps": [...]}`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from acp_agent.testing.script import Script


class ScriptError(ValueError):
    """A script file that cannot be used; the message names the file and every field that is wrong."""


def load_script(path: Path | str) -> Script:
    """Read a script file."""
    try:
        data = json.loads(Path(path).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ScriptError(f"{path}: {error}") from error
    return parse_script(data, source=str(path))


def parse_script(data: Any, *, source: str = "script") -> Script:
    """A script from parsed JSON; `source` stands before each error."""
    from pydantic import TypeAdapter, ValidationError  # only who reads a file pays for the import

    try:
        return TypeAdapter(Script).validate_python(data)
    except ValidationError as error:
        lines = [f"{source}: {_place(problem['loc'])}: {problem['msg']}" for problem in error.errors()]
        raise ScriptError("\n".join(lines)) from error


def save_script(script: Script, path: Path | str) -> Path:
    """Write a script for the process form of the server and return its path. A callable cannot be written."""
    if script.answer is not None:
        raise ScriptError("answer: a callable cannot be written to a file")
    data = asdict(script)
    del data["answer"]
    Path(path).write_text(json.dumps(data, indent=1), "utf-8")
    return Path(path)


def _place(location: tuple[int | str, ...]) -> str:
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return place.lstrip(".") or "top level"
