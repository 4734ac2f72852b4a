"""Commands that a file of a project names; none runs before a person trusted it."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

RUNNING_KEYS = frozenset({"run", "setup", "command"})
COMMAND_PREFIX = "cmd:"


class Command(NamedTuple):
    """A command and the dotted key it stands at."""

    key: str
    run: str


def loop_commands(table: Mapping[str, Any], key: str = "") -> tuple[Command, ...]:
    """Every command of a loop, and the way out that it asks for, which is agreed to as they are."""
    asked = table.get("egress")
    outward = (
        (Command(f"{key}.egress".lstrip("."), ", ".join(map(str, asked))),) if isinstance(asked, list) and asked else ()
    )
    return (*commands_in(table, key), *outward)


def commands_in(value: object, key: str, name: str = "") -> Iterator[Command]:
    """Every command in a table whose form is not known here: what `run`, `setup`, `command` and `cmd:...` say."""
    if isinstance(value, dict):
        for part, inner in value.items():
            yield from commands_in(inner, f"{key}.{part}" if key else str(part), str(part))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from commands_in(inner, f"{key}[{index}]", name)
    elif isinstance(value, str) and (name in RUNNING_KEYS or value.startswith(COMMAND_PREFIX)):
        yield Command(key, value)
