"""`${NAME}` and `${NAME:-default}` in a value, as the configuration of MCP servers commonly has them."""

import re
from collections.abc import Mapping

VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


class Unset(Exception):
    """A variable that is not set and has no default."""

    def __init__(self, name: str) -> None:
        super().__init__(f"${{{name}}} is not set")
        self.name = name


def expanded(text: str, environ: Mapping[str, str]) -> str:
    """`text` with every variable replaced; an empty one counts as unset. Raises Unset."""

    def value(found: re.Match[str]) -> str:
        given = environ.get(found[1]) or found[2]
        if given is None:
            raise Unset(found[1])
        return given

    return VARIABLE.sub(value, text)


def secret_values(texts: Mapping[str, str], environ: Mapping[str, str]) -> list[str]:
    """What the variables in `texts` stand for: values that no record should show."""
    names = {found[1] for text in texts.values() for found in VARIABLE.finditer(text)}
    return [value for name in sorted(names) if (value := environ.get(name))]
