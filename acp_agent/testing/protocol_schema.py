"""The protocol's JSON schema as an oracle: is this message what its method says it is?"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.protocols import Validator

JSON_RPC = frozenset({"jsonrpc", "id", "method", "params", "result", "error"})
Kind = str
"""`Request`, `Response` or `Notification`: the ending of a definition's name in the schema."""


class ProtocolSchema:
    """The schema of one version of the protocol, from its file."""

    def __init__(self, path: Path | str) -> None:
        self._definitions: dict[str, Any] = json.loads(Path(path).read_text("utf-8"))["$defs"]
        self._named = {
            (definition["x-method"], _kind_of(name)): name
            for name, definition in self._definitions.items()
            if "x-method" in definition
        }
        # Not stable yet, so not in the schema; what it answers is what a new session answers.
        self._named.setdefault(("session/fork", "Response"), self._named["session/new", "Response"])
        self._validator = cache(self._new_validator)

    def problem(self, method: str, kind: Kind, value: Any) -> str | None:
        """What is wrong with the params or the result of `method`; None for what is valid.

        Stricter than the schema in one point: a key at the root, or of an update, that the schema does not know is
        wrong too, because custom data belongs into `_meta`.
        """
        name = self._named.get((method, kind))
        if name is None:
            return f"{method} is no {kind.lower()} of the protocol"
        return self._invalid(name, value) or self._unknown_key(name, value)

    def error_problem(self, error: Any) -> str | None:
        """What is wrong with an error object: besides its schema, its message must be one line that says something."""
        if problem := self._invalid("Error", error):
            return problem
        message = error["message"]
        return None if message.strip() and "\n" not in message else f"the message of an error is {message!r}"

    def _invalid(self, name: str, value: Any) -> str | None:
        found = min(self._validator(name).iter_errors(value), key=lambda error: len(error.path), default=None)
        if found is None:
            return None
        deepest = max(found.context or [found], key=lambda error: len(error.path))
        return f"{name}{deepest.json_path[1:]}: {deepest.message[:300]}"

    def _new_validator(self, name: str) -> Validator:
        return Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": self._definitions})

    def _unknown_key(self, name: str, value: Any) -> str | None:
        unknown = set(value) - self._keys(self._definitions[name])
        if name == "SessionNotification" and not unknown:
            unknown = set(value["update"]) - self._keys(self._variant(value["update"]["sessionUpdate"]))
        return f"{name}: unknown keys {sorted(unknown)}" if unknown else None

    def _variant(self, kind: str) -> Mapping[str, Any]:
        for variant in self._definitions["SessionUpdate"]["oneOf"]:
            if variant["properties"]["sessionUpdate"]["const"] == kind:
                return dict(variant)
        raise LookupError(kind)

    def _keys(self, definition: Mapping[str, Any]) -> set[str]:
        """Every key that a definition, or one it is made of, knows."""
        keys = set(definition.get("properties", ()))
        for part in ("allOf", "anyOf", "oneOf"):
            for piece in definition.get(part, ()):
                keys |= self._keys(piece)
        if "$ref" in definition:
            keys |= self._keys(self._definitions[definition["$ref"].rpartition("/")[2]])
        return keys


def _kind_of(name: str) -> Kind:
    return next(kind for kind in ("Request", "Response", "Notification") if name.endswith(kind))
