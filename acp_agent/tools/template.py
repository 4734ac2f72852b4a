"""`{name}` in what a person declared, filled with an argument of a call, quoted as its place demands."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from acp_agent.domain.errors import ToolError

PLACE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


def filled_argv(template: Sequence[str], values: Mapping[str, Any]) -> list[str]:
    """One argument per item, whatever stands in a value; a list that is a whole item becomes an argument each.

    An item whose argument was not given is left out. Raises ToolError(kind="invalid_arguments") for a value that the
    program would take for an option: one that begins with `-` and is a whole argument, unless `--` stands before it.
    """
    argv: list[str] = []
    for item in template:
        names = PLACE.findall(item)
        if any(values.get(name) is None for name in names):
            continue
        whole = PLACE.fullmatch(item)
        value = values[whole[1]] if whole else None
        texts = [_text(one) for one in value] if isinstance(value, list) else [_filled(item, values, _text)]
        for text in texts:
            if whole and text.startswith("-") and "--" not in argv and not _is_number(value):
                raise ToolError(
                    f"{whole[1]} begins with '-', which the program would take for an option.",
                    kind="invalid_arguments",
                    hint="Give a value without it, such as ./NAME for a file.",
                )
            if "\0" in text:
                raise ToolError("An argument holds a NUL character.", kind="invalid_arguments")
            argv.append(text)
    return argv


def filled_url(template: str, values: Mapping[str, Any]) -> str:
    """Each value percent-encoded; one that was not given is empty."""
    return _filled(template, values, lambda value: quote(_text(value), safe=""))


def filled_json(template: str, values: Mapping[str, Any]) -> str:
    """Each value as JSON; one that was not given is null."""
    return PLACE.sub(lambda found: json.dumps(values.get(found[1])), template)


def places_of(*templates: str) -> set[str]:
    """The names that stand in them."""
    return {name for template in templates for name in PLACE.findall(template)}


def _filled(template: str, values: Mapping[str, Any], put: Callable[[Any], str]) -> str:
    return PLACE.sub(lambda found: put(values[found[1]]) if values.get(found[1]) is not None else "", template)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
