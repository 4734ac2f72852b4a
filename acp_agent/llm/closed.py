"""Closed schemas: flat objects whose every field is one of a few known values. Pure.

They are all that the demonstration model answers.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from acp_agent.domain.errors import UsageError

NO_ANSWER = "no answer"
MOST_CHOICES = 201
"""Each choice is weighed by the model on its own."""

OPEN_HINT = (
    "the demonstration model fills only closed answers: enums, booleans, bounded whole numbers;"
    " connect a model for anything else: acp models ls"
)
_OF_OBJECT = frozenset({"type", "properties", "required", "additionalProperties"})
_NOTES = frozenset({"title", "description", "default", "examples", "$schema", "$id", "$comment"})
_OF_RANGE = frozenset({"type", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"})

Scalar = str | int | float | bool | None


class ClosedField(NamedTuple):
    """One field and all the values it may have."""

    name: str
    choices: tuple[Scalar, ...]

    @property
    def label(self) -> str:
        """The name in words."""
        return self.name.replace("_", " ").replace("-", " ").strip()


def words_of(choice: Scalar) -> str:
    """A value as people say it."""
    if choice is None:
        return "none"
    return {True: "yes", False: "no"}[choice] if isinstance(choice, bool) else str(choice)


def closed_fields(schema: Mapping[str, Any]) -> tuple[ClosedField, ...]:
    """The fields of a closed schema in its order. Raises UsageError that names the field which is open."""
    properties = schema.get("properties")
    if schema.get("type") != "object" or not isinstance(properties, dict) or not properties:
        raise UsageError("schema: is no object with fields", hint=OPEN_HINT)
    if odd := _odd(schema, _OF_OBJECT):
        raise UsageError(f"schema: {odd} makes it more than a flat object", hint=OPEN_HINT)
    return tuple(ClosedField(name, _choices(name, field)) for name, field in properties.items())


def with_no_answer(schema: Mapping[str, Any]) -> dict[str, Any]:
    """`schema`, in which every field may also be the words `no answer`. Raises UsageError for one that is open."""
    closed_fields(schema)
    silent = {"const": NO_ANSWER}
    fields = {name: {"anyOf": [field, silent]} for name, field in schema["properties"].items()}
    return {**schema, "properties": fields}


def _choices(name: str, field: Any) -> tuple[Scalar, ...]:
    found = _values(name, field)
    values: dict[tuple[bool, Scalar], Scalar] = {}
    for value in found:
        # True is 1 and False is 0 to Python, but not to JSON.
        values.setdefault((isinstance(value, bool), value), value)
    unique = tuple(value for value in values.values() if value != NO_ANSWER)
    if not unique:
        raise _open(name, "has no value to choose")
    if len(unique) > MOST_CHOICES:
        raise _open(name, f"has {len(unique)} values, more than {MOST_CHOICES}")
    return unique


def _values(name: str, field: Any) -> tuple[Scalar, ...]:
    if not isinstance(field, dict):
        raise _open(name, "may be anything")
    for several in ("anyOf", "oneOf"):
        if isinstance(field.get(several), list):
            _refuse_odd(name, field, frozenset({several}))
            return tuple(value for part in field[several] for value in _values(name, part))
    if "const" in field:
        _refuse_odd(name, field, frozenset({"const", "type"}))
        return _scalars(name, [field["const"]])
    if isinstance(field.get("enum"), list):
        _refuse_odd(name, field, frozenset({"enum", "type"}))
        return _scalars(name, field["enum"])
    match field.get("type"):
        case "boolean":
            _refuse_odd(name, field, frozenset({"type"}))
            return (True, False)
        case "null":
            _refuse_odd(name, field, frozenset({"type"}))
            return (None,)
        case "integer":
            _refuse_odd(name, field, _OF_RANGE)
            return _range(name, field)
        case "string":
            raise _open(name, "is free text")
        case kind:
            raise _open(name, f"is of type {kind}" if isinstance(kind, str) else "has no single type")


def _range(name: str, field: Mapping[str, Any]) -> tuple[int, ...]:
    low, high = _bound(field, "minimum", "exclusiveMinimum", 1), _bound(field, "maximum", "exclusiveMaximum", -1)
    if low is None or high is None:
        raise _open(name, "is a number without minimum and maximum")
    if high - low >= MOST_CHOICES:
        raise _open(name, f"has {high - low + 1} values, more than {MOST_CHOICES}")
    return tuple(range(low, high + 1))


def _bound(field: Mapping[str, Any], inclusive: str, exclusive: str, step: int) -> int | None:
    bounds = [field.get(inclusive), field.get(exclusive)]
    whole = [bound for bound in bounds if isinstance(bound, int) and not isinstance(bound, bool)]
    if len(whole) != 1 or len(whole) != sum(bound is not None for bound in bounds):
        return None
    return whole[0] if field.get(inclusive) is not None else whole[0] + step


def _scalars(name: str, values: list[Any]) -> tuple[Scalar, ...]:
    if any(not isinstance(value, str | int | float | bool | None) for value in values):
        raise _open(name, "has values that are objects or lists")
    return tuple(values)


def _refuse_odd(name: str, field: Mapping[str, Any], known: frozenset[str]) -> None:
    if odd := _odd(field, known):
        raise _open(name, f"has {odd}, which is not understood here")


def _odd(part: Mapping[str, Any], known: frozenset[str]) -> str | None:
    return next((str(key) for key in part if key not in known and key not in _NOTES), None)


def _open(name: str, why: str) -> UsageError:
    return UsageError(f"schema: {name} {why}", hint=OPEN_HINT)
