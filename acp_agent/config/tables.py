"""The base of every table of a configuration file, its common values, and pydantic's errors in a person's words."""

from collections.abc import Collection, Mapping
from typing import Annotated, Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from acp_agent.config.duration import EXPECTED, parse_duration
from acp_agent.config.names import name_problem, printable, shown_key
from acp_agent.config.nearness import nearest
from acp_agent.config.problem import MISSING, UNKNOWN_KEY, Problem, by_line
from acp_agent.config.toml_lines import line_of
from acp_agent.config.toml_source import Key, TomlSource
from acp_agent.domain.base import Frozen


class Table(Frozen):
    """A table as it stands in a file: closed, and a value is never bent into another type."""

    # Errors never show what stood there: it may be a key pasted into the wrong place.
    model_config = ConfigDict(strict=True, hide_input_in_errors=True, populate_by_name=True)


AnyTable = TypeVar("AnyTable", bound=Table)


def plain(what: str) -> PydanticCustomError:
    """An error of a validator whose text is already for a person."""
    return PydanticCustomError("plain", "{what}", {"what": what})


def _text(value: object) -> object:
    if not isinstance(value, str):
        raise plain("should be a string")
    if not value.strip():
        raise plain("should not be empty")
    if "\0" in value:
        raise plain("should not contain a NUL character")
    return value


def _texts(value: object) -> object:
    if not isinstance(value, (list, tuple)) or not all(isinstance(item, str) for item in value):
        raise plain("should be a list of strings")
    return tuple(_text(item) for item in value)


def _named(value: object) -> object:
    if isinstance(value, str) and (problem := name_problem(value)):
        raise plain(problem)
    return _text(value)


def _tags(value: object) -> object:
    tags = _texts(value)
    assert isinstance(tags, tuple)
    for tag in tags:
        if problem := name_problem(tag):
            raise plain(f"tag {printable(tag)} {problem}")
    return tuple(dict.fromkeys(tags))


def _seconds(value: object) -> object:
    if not isinstance(value, str):
        raise plain(EXPECTED)
    try:
        return parse_duration(value)
    except ValueError as error:
        raise plain(str(error)) from None


def _items(value: object) -> object:
    if not isinstance(value, list):
        raise plain("should be a list")
    return tuple(value)


Text = Annotated[str, BeforeValidator(_text)]
"""A string with something in it."""
Texts = Annotated[tuple[str, ...], BeforeValidator(_texts)]
Name = Annotated[str, BeforeValidator(_named)]
Tags = Annotated[tuple[str, ...], BeforeValidator(_tags)]
Seconds = Annotated[float, BeforeValidator(_seconds)]
"""Written as a duration (`"30m"`), kept in seconds."""
Money = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""US dollars."""
Items = BeforeValidator(_items)
"""A list in the file becomes a tuple."""

PLAIN_WORDS = {
    "missing": MISSING,
    "too_short": "should not be empty",
    "string_type": "should be a string",
    "bool_type": "should be true or false",
    "int_type": "should be a whole number",
    "float_type": "should be a number",
    "finite_number": "should be a finite number",
    "model_type": "should be a table",
    "dict_type": "should be a table",
    "greater_than_equal": "should be at least {ge:g}",
    "greater_than": "should be more than {gt:g}",
    "less_than_equal": "should be at most {le:g}",
}


def checked(model: type[AnyTable], source: TomlSource, key: Key = ()) -> AnyTable | list[Problem]:
    """The file, or its table at `key`, as `model`; else all that is wrong with its shape, in the order of its lines."""
    data: Any = source.data
    for part in key:
        data = data[part]
    try:
        return model.model_validate(data)
    except ValidationError as error:
        found = [_problem(model, source, detail, data, key) for detail in error.errors(include_url=False)]
        return by_line(found)


def problem_at(source: TomlSource, key: Key, what: str, hint: str | None = None) -> Problem:
    """A problem of `key`, with the line where it stands."""
    return Problem(source.shown, line_of(source.text, key), shown_key(key), what, hint)


def tables_in(data: Mapping[str, Any], group: str) -> list[tuple[str, dict[str, Any]]]:
    """The named tables of a group in a file that may be wrong elsewhere."""
    found = data.get(group)
    return (
        [(name, table) for name, table in found.items() if isinstance(table, dict)] if isinstance(found, dict) else []
    )


def fields_of(model: type[BaseModel]) -> dict[str, Any]:
    """The keys a table may have, as they are written in the file, and their annotations."""
    return {field.alias or name: field.annotation for name, field in model.model_fields.items()}


def _problem(model: type[BaseModel], source: TomlSource, detail: ErrorDetails, data: Any, above: Key) -> Problem:
    key = _key_in_file(data, detail)
    context = detail.get("ctx", {})
    hint: str | None = None
    match detail["type"]:
        case "extra_forbidden":
            what, hint = UNKNOWN_KEY, nearest(str(key[-1]), list(fields_of(_model_at(model, key[:-1]))))
        case "literal_error" | "enum":
            what = f"should be one of {context['expected']}".replace(" or ", ", ").replace("'", "")
            if isinstance(detail["input"], str):
                choices = what.removeprefix("should be one of ").split(", ")
                hint = nearest(detail["input"], choices) if len(choices) > 1 else None
        case "plain":
            what = detail["msg"]
        case kind:
            what = PLAIN_WORDS.get(kind, detail["msg"].lower()).format(**context)
    return problem_at(source, (*above, *key), what, hint)


def _key_in_file(data: Any, detail: ErrorDetails) -> Key:
    """Pydantic's place without the branches of unions, which stand in no file."""
    key: Key = ()
    for position, part in enumerate(detail["loc"]):
        if part in _keys(data):
            data = data[part]
        elif detail["type"] != "missing" or position < len(detail["loc"]) - 1:
            continue
        key = (*key, part)
    return key


def _keys(data: object) -> Collection[str | int]:
    if isinstance(data, dict):
        return data
    return range(len(data)) if isinstance(data, list) else ()


def _model_at(model: type[BaseModel], key: Key) -> type[BaseModel]:
    parts = iter(key)
    for part in parts:
        annotation = fields_of(model).get(str(part))
        if get_origin(annotation) is dict:
            # The next part is a name the person chose.
            next(parts, None)
        model = _first_model(annotation) or model
    return model


def _first_model(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_first_model(part) for part in get_args(annotation))
    return next((model for model in found if model), None)
