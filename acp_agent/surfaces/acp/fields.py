"""How anything that comes from a client is parsed: typed, by its name on the wire, with errors that name the field.

Names are camelCase on the wire. A field we do not know is ignored, because the protocol grows; one we know must have
its type. Where the schema says that a malformed optional field counts as absent, it is `Lenient`.
"""

import os
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic.alias_generators import to_camel

from acp_agent.surfaces.acp.faults import InvalidParams

P = TypeVar("P", bound="Params")


class Params(BaseModel):
    """The base of everything that comes from a client."""

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="ignore",
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        defer_build=True,
    )


def parsed(model: type[P], raw: Mapping[str, Any]) -> P:
    """`raw` as a `model`. Raises InvalidParams with the name of the first wrong field; never repeats a value."""
    try:
        return model.model_validate(raw, by_alias=True, by_name=False)
    except ValidationError as error:
        raise InvalidParams(_problem(error)) from None


def _problem(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    path = ""
    for step in first["loc"]:
        if isinstance(step, int):
            path += f"[{step}]"
        elif not step.startswith("<"):
            path += f".{step}" if path else step
    message = _WORDS.get(first["type"]) or first["msg"].removeprefix("Value error, ")
    return f"{path or 'params'}: {message[:1].lower()}{message[1:]}"


_WORDS = {
    "bool_type": "must be a boolean",
    "dict_type": "must be an object",
    "int_type": "must be an integer",
    "list_type": "must be an array",
    "missing": "is missing",
    "model_type": "must be an object",
    "string_type": "must be a string",
}


def _none_if_malformed(value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    try:
        return validate(value)
    except ValidationError:
        return None


def _absolute(path: str) -> str:
    if not os.path.isabs(path) or "\0" in path:
        raise ValueError("must be an absolute path")
    return path


Lenient = WrapValidator(_none_if_malformed)
OptionalText = Annotated[str | None, Lenient]
AbsolutePath = Annotated[str, AfterValidator(_absolute)]
