"""A tool as an MCP server describes it, and the hash it is pinned by."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MAX_NAME = 64
"""Characters that every provider takes for the name of a tool."""
MAX_DESCRIPTION = 4_000
MAX_SCHEMA = 20_000
_STRANGE = re.compile(r"[^A-Za-z0-9_-]")
_NOT_EVALUATED = frozenset({"pattern", "patternProperties", "format", "$dynamicRef"})
_DEEPEST = 24


@dataclass(frozen=True, slots=True)
class Definition:
    """What a server says of one tool. The two hints may raise its risk; there is none that lowers it."""

    name: str
    description: str
    schema: Mapping[str, Any]
    destructive: bool = False
    open_world: bool = False

    @property
    def digest(self) -> str:
        """SHA-256 of name, description and schema, in hex: what a person agreed to."""
        parts = [self.name, self.description, self.schema]
        text = json.dumps(parts, sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def told(self) -> str:
        """The description as the model is shown it."""
        text = self.description.strip()
        return text if len(text) <= MAX_DESCRIPTION else text[:MAX_DESCRIPTION] + " [...]"

    @property
    def parameters(self) -> dict[str, Any]:
        """The schema as models and our own check may have it: an object, no references elsewhere, no patterns.

        A pattern may be written to take for ever. The server checks its arguments itself.
        """
        plain: dict[str, Any] = _plain(self.schema, 0)
        if plain.get("type") != "object" or len(json.dumps(plain)) > MAX_SCHEMA:
            return {"type": "object"}
        plain.setdefault("properties", {})
        return plain


def _plain(schema: Any, depth: int) -> Any:
    if isinstance(schema, list):
        return [_plain(item, depth + 1) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    if depth > _DEEPEST or str(schema.get("$ref", "#")).partition("#")[0]:
        return {}
    # Below `properties` the keys are names of parameters, not words of the schema language.
    return {
        key: {name: _plain(inner, depth + 2) for name, inner in value.items()}
        if key in ("properties", "$defs", "definitions") and isinstance(value, Mapping)
        else _plain(value, depth + 1)
        for key, value in schema.items()
        if key not in _NOT_EVALUATED
    }


def tool_name(server: str, tool: str) -> str:
    """`server__tool` in the letters and the length that every provider takes; a shortened one stays unique."""
    name = _STRANGE.sub("_", f"{server}__{tool}")
    if len(name) <= MAX_NAME and name == f"{server}__{tool}":
        return name
    mark = hashlib.sha256(f"{server}\0{tool}".encode("utf-8", "surrogatepass")).hexdigest()[:6]
    return f"{name[: MAX_NAME - 7]}_{mark}"
