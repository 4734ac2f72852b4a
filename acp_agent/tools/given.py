"""Arguments of a tool whose parameters are a JSON schema that somebody else wrote: a person, or an MCP server."""

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import model_validator
from pydantic_core import PydanticCustomError

from acp_agent.tools.registry import Arguments

_TITLE_ARGUMENTS = 300
_SHOWN_PROBLEMS = 5


class Given(Arguments):
    """What such a tool was called with: `values`, checked against `SCHEMA`. `NAME` is what a person reads."""

    SCHEMA: ClassVar[dict[str, Any]] = {}
    NAME: ClassVar[str] = ""
    _made: ClassVar[Any]

    values: dict[str, Any]

    def title(self) -> str:
        """The tool and its arguments, as far as they fit."""
        text = json.dumps(self.values, ensure_ascii=False) if self.values else ""
        if len(text) > _TITLE_ARGUMENTS:
            text = text[:_TITLE_ARGUMENTS] + " [...]"
        return f"{self.NAME} {text}".rstrip()

    @classmethod
    def parameters(cls) -> dict[str, Any]:
        """The schema as it was declared."""
        return cls.SCHEMA

    @classmethod
    def validator(cls) -> Any:
        """The schema, ready to be applied; None where it is no schema and so decides nothing. Made once."""
        if not hasattr(cls, "_made"):
            cls._made = _validator(cls.SCHEMA)
        return cls._made

    @model_validator(mode="before")
    @classmethod
    def _mended(cls, given: Any) -> Any:
        """What models often get wrong is put right first; then the schema decides."""
        if not isinstance(given, dict):
            return given
        properties = cls.SCHEMA.get("properties")
        known = properties if isinstance(properties, dict) else {}
        required = cls.SCHEMA.get("required", ())
        values = {
            name: _mended(value, known.get(name))
            for name, value in given.items()
            if value is not None or name in required
        }
        if problems := _problems(cls.validator(), values):
            raise PydanticCustomError("schema", "{what}", {"what": "; ".join(problems)})
        return {"values": values}


def given_for(name: str, schema: Mapping[str, Any]) -> type[Given]:
    """The arguments of one tool."""
    return type("Given", (Given,), {"SCHEMA": dict(schema), "NAME": name, "__module__": __name__})


def _mended(value: Any, schema: Any) -> Any:
    """A number, truth value, list or object that was written as a string, where the schema wants no string."""
    kind = schema.get("type") if isinstance(schema, dict) else None
    if not isinstance(value, str) or kind not in ("integer", "number", "boolean", "array", "object"):
        return value
    try:
        read = json.loads(value.lower() if kind == "boolean" else value)
    except (ValueError, RecursionError):
        return value
    wanted: dict[str, tuple[type, ...]] = {
        "integer": (int,), "number": (int, float), "boolean": (bool,), "array": (list,), "object": (dict,),
    }  # fmt: skip
    fits = isinstance(read, wanted[kind]) and (kind == "boolean" or not isinstance(read, bool))
    return read if fits else value


def _validator(schema: dict[str, Any]) -> Any:
    # 80 ms that only a call of such a tool should pay.
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError
    from referencing.jsonschema import EMPTY_REGISTRY

    try:
        Draft202012Validator.check_schema(schema)
    except (SchemaError, RecursionError):
        return None
    # Without a registry of its own it would fetch references from the network.
    return Draft202012Validator(schema, registry=EMPTY_REGISTRY)


def _problems(validator: Any, values: dict[str, Any]) -> list[str]:
    from referencing.exceptions import Unresolvable

    found: list[str] = []
    try:
        for problem in validator.iter_errors(values) if validator is not None else ():
            place = ".".join(map(str, problem.absolute_path))
            message = " ".join(str(problem.message).split())[:300]
            found.append(f"{place}: {message}" if place else message)
            if len(found) == _SHOWN_PROBLEMS:
                break
    except (RecursionError, Unresolvable):
        # A schema that cannot be applied decides nothing; whoever wrote it checks the call itself.
        return []
    return found
