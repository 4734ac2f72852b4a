"""The tables of config.toml that bring tools: `[tools.NAME]` and `[mcp.NAME]`, as they stand in the file."""

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from acp_agent.config.schema_text import parse_schema, parse_schema_table
from acp_agent.config.tables import Seconds, Table, Text, Texts, plain
from acp_agent.domain.errors import UsageError

_ADDRESS = re.compile(r"https?://[^\s/{}]+(/\S*)?\Z")


def _risk(value: object) -> object:
    if type(value) is not int or not 0 <= value <= 4:
        raise plain("should be 0 (reads), 1 (local write), 2 (external draft), 3 (external effect) or 4 (irreversible)")
    return value


def _address(value: object) -> object:
    if not isinstance(value, str) or not _ADDRESS.match(value):
        raise plain('should be an address such as "https://api.example.org/v1/items", placeholders after the host')
    if "@" in value.split("//", 1)[1].split("/")[0]:
        raise plain("should not hold a name or password; use headers")
    return value


def _parameters(value: object) -> object:
    try:
        return schema_of_parameters(value)
    except UsageError as error:
        raise plain(f"{error.what} ({error.hint})" if error.hint else error.what) from None


def schema_of_parameters(value: object) -> dict[str, Any]:
    """A JSON schema of an object, from `"branch: str"`, `{ branch = "str", force = "bool?" }` or such a schema."""
    if isinstance(value, str):
        return parse_schema(value) if value.strip() else parse_schema_table({})
    if not isinstance(value, dict):
        raise UsageError('should be a text such as "branch: str", a table, or a JSON schema')
    if "type" in value or "properties" in value:
        if value.get("type") != "object" or not isinstance(value.get("properties", {}), dict):
            raise UsageError('a JSON schema of parameters has type = "object" and a table of properties')
        return dict(value)
    if not all(isinstance(text, str) for text in value.values()):
        raise UsageError('should be a table such as { branch = "str", force = "bool?" }')
    schema = parse_schema_table({name: text.removesuffix("?") for name, text in value.items()})
    schema["required"] = [name for name, text in value.items() if not text.endswith("?")]
    return schema


RiskNumber = Annotated[int, BeforeValidator(_risk)]
Address = Annotated[str, BeforeValidator(_address)]
Parameters = Annotated[dict[str, Any], BeforeValidator(_parameters)]


class DeclaredToolTable(Table):
    """A tool of your own: a `command` in the sandbox, or an HTTP call to `url`; `risk` from 0 to 4.

    `{name}` in the command, the address or the body stands for an argument, `${NAME}` in a header for a variable. A
    command also reads all arguments as JSON; `env` names the variables it is given, `egress` the domains it reaches.
    `dry_run` is shown before an approval, `verify` tells after a crash whether it happened (exit status 0 or 1),
    `compensate` undoes it.
    """

    description: Text
    risk: RiskNumber
    parameters: Parameters = Field(default_factory=lambda: schema_of_parameters(""))
    command: Annotated[Texts, Field(min_length=1)] | None = None
    url: Address | None = None
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    headers: dict[str, str] = Field(default_factory=dict)
    body: Text | None = None
    timeout: Seconds | None = None
    repeatable: bool = False
    env: Texts = ()
    egress: Texts = ()
    dry_run: Annotated[Texts, Field(min_length=1)] | None = None
    verify: Annotated[Texts, Field(min_length=1)] | None = None
    compensate: Annotated[Texts, Field(min_length=1)] | None = None


class ToolServer(Table):
    """An MCP server: a `command` in the sandbox, or the `url` of one that speaks streamable HTTP.

    `risk` is that of its tools (3 where nothing is said), `risks` that of single ones. `rate` bounds calls per minute,
    `network` opens the network to a command whole, `egress` to the named domains.
    """

    command: Text | None = None
    args: Texts = ()
    env: dict[str, str] = Field(default_factory=dict)
    url: Address | None = None
    headers: dict[str, str] = Field(default_factory=dict)
    risk: RiskNumber | None = None
    risks: dict[str, RiskNumber] = Field(default_factory=dict)
    timeout: Seconds = 30.0
    rate: Annotated[int, Field(gt=0)] = 120
    network: bool = False
    egress: Texts = ()
    enabled: bool = True
