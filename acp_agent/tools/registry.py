"""How a tool is declared: a documented function over a pydantic model, whence its name, description and schema."""

import inspect
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import Any, ClassVar, Literal, TypeVar, get_origin

import anyio.to_thread
from pydantic import BaseModel, ConfigDict, model_validator

from acp_agent.domain.tool import Asks, Intent, Risk, ToolResult, ToolSpec
from acp_agent.domain.weight import Weight
from acp_agent.tools.breaker import Breaker
from acp_agent.tools.workspace import Workspace

Kind = Literal["read", "edit", "search", "execute", "think", "fetch", "other"]
Seen = Mapping[str, str | None]
Effect = Callable[[str], Awaitable[ToolResult]]
"""What a call does once it runs; it is handed the idempotency key of the call."""
QUICK = 30.0
"""Seconds a tool may take where it declares nothing else."""
RETRIES = 2
"""Further tries of a repeatable tool after a transient failure."""


class Arguments(BaseModel):
    """What a tool is called with. Unknown fields are refused; what models often get wrong is put right first.

    `OTHER_NAMES` are those that models trained on other tools use: other name to ours.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)
    OTHER_NAMES: ClassVar[Mapping[str, str]] = {}

    def title(self) -> str:
        """What a person reads about this call, in a few words."""
        raise NotImplementedError

    @classmethod
    def parameters(cls) -> dict[str, Any]:
        """The JSON schema that the model is shown."""
        return schema_of(cls)

    @model_validator(mode="before")
    @classmethod
    def _mended(cls, given: Any) -> Any:
        """Other names are ours; null is the default; a list or object written as a JSON string is read."""
        if not isinstance(given, dict):
            return given
        mended: dict[str, Any] = {}
        for key, value in given.items():
            ours = cls.OTHER_NAMES.get(key, key)
            name = ours if ours not in given else key
            if value is not None:
                mended[name] = _parsed(value) if name in cls._structures() else value
        return mended

    @classmethod
    def _structures(cls) -> set[str]:
        """Fields that hold lists or objects."""
        return {name for name, field in cls.model_fields.items() if get_origin(field.annotation) in (tuple, list, dict)}


def _parsed(value: Any) -> Any:
    if not isinstance(value, str) or not value.lstrip().startswith(("[", "{")):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def other_names(**ours: str) -> Mapping[str, str]:
    """`OTHER_NAMES` from our name and the other ones in one string: `path="file filename"`."""
    return {other: name for name, others in ours.items() for other in others.split()}


@dataclass(frozen=True, slots=True)
class Hooks:
    """What a tool can say and do about an effect besides making it. Each is handed the call's idempotency key.

    `dry_run` tells what the effect would be, without it. `verify` tells after a crash whether it happened (None: it
    cannot tell). `compensate` undoes it.
    """

    dry_run: Callable[[str], Awaitable[str]] | None = None
    verify: Callable[[str], Awaitable[bool | None]] | None = None
    compensate: Effect | None = None


@dataclass(frozen=True, slots=True)
class Ready:
    """A call that is valid and has had no effect yet: what to record, the effect, and its diff where it is known.

    `originals` are the bytes of the files it will change, by path.
    """

    intent: Intent
    run: Effect
    preview: str | None = None
    originals: Mapping[str, bytes] = field(default_factory=dict)
    hooks: Hooks = Hooks()


A = TypeVar("A", bound=Arguments)


@dataclass(frozen=True)
class Tool:
    """A tool of the registry. `prepare` may read files and raise ToolError; `timeout` bounds one try in seconds.

    `instant`: preparing needs no disk, so no thread either. `weigh` says what one call touches and how much it can
    break, which is never less than `risk` (and is `risk` without it); it may read the disk and raise ToolError. A
    repeatable tool is tried up to `retries` times more after a transient failure. `breaker` is shared by all that fail
    together; a tool without one never rests. `asks`: calls are answered by a person and never run.
    """

    name: str
    description: str
    arguments: type[Arguments]
    risk: Risk
    kind: Kind
    repeatable: bool
    timeout: float | None
    instant: bool
    prepare: Callable[[Any, Workspace, Seen], Ready]
    weigh: Callable[[Any, Workspace], Weight] | None = None
    retries: int = RETRIES
    breaker: Breaker | None = None
    asks: Asks | None = None

    @cached_property
    def weight_of_schema(self) -> int:
        """Characters of its schema as JSON."""
        return len(json.dumps(self.spec.parameters))

    @cached_property
    def spec(self) -> ToolSpec:
        """The tool as the model sees it."""
        return ToolSpec(
            name=self.name,
            description=self.description,
            parameters=self.arguments.parameters(),
            risk=self.risk,
            repeatable=self.repeatable,
            kind=self.kind,
            asks=self.asks,
        )


def tool(
    risk: Risk, *, kind: Kind, weigh: Callable[[Any, Workspace], Weight] | None = None
) -> Callable[[Callable[[A, Workspace], ToolResult]], Tool]:
    """Declare a repeatable tool that only looks: a plain function, run in a thread, nothing to record before it."""

    def declare(function: Callable[[A, Workspace], ToolResult]) -> Tool:
        def prepare(arguments: A, workspace: Workspace, seen: Seen) -> Ready:
            async def run(key: str) -> ToolResult:
                return await anyio.to_thread.run_sync(function, arguments, workspace, abandon_on_cancel=True)

            return Ready(Intent(title=arguments.title()), run)

        declared = _declared(function, prepare, risk, kind, repeatable=True, timeout=QUICK, instant=True)
        return replace(declared, weigh=weigh)

    return declare


def prepared_tool(
    risk: Risk,
    *,
    kind: Kind,
    repeatable: bool = False,
    timeout: float | None = QUICK,
    weigh: Callable[[Any, Workspace], Weight] | None = None,
) -> Callable[[Callable[[A, Workspace, Seen], Ready]], Tool]:
    """Declare a tool in two steps: the function checks without any effect and returns what is Ready to be done."""

    def declare(function: Callable[[A, Workspace, Seen], Ready]) -> Tool:
        declared = _declared(function, function, risk, kind, repeatable=repeatable, timeout=timeout, instant=False)
        return replace(declared, weigh=weigh)

    return declare


def _declared(
    function: Callable[..., object],
    prepare: Callable[[Any, Workspace, Seen], Ready],
    risk: Risk,
    kind: Kind,
    *,
    repeatable: bool,
    timeout: float | None,
    instant: bool,
) -> Tool:
    arguments = inspect.get_annotations(function, eval_str=True)["arguments"]
    name = function.__name__
    return Tool(name, inspect.getdoc(function) or "", arguments, risk, kind, repeatable, timeout, instant, prepare)


@cache
def schema_of(arguments: type[BaseModel]) -> dict[str, Any]:
    """The JSON schema of the arguments, without references and without what tells a model nothing.

    Worked out once: tools are made for each run, their arguments are not. Nobody may change it.
    """
    schema = arguments.model_json_schema()
    definitions = schema.pop("$defs", {})
    plain: dict[str, Any] = _plain(schema, definitions)
    plain.pop("description", None)
    return plain


def _plain(schema: Any, definitions: Mapping[str, Any]) -> Any:
    if isinstance(schema, list):
        return [_plain(item, definitions) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _plain(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    plain: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "properties":
            plain[key] = {name: _plain(inner, definitions) for name, inner in value.items()}
        elif key == "anyOf" and {"type": "null"} in value and len(value) == 2:
            plain |= _plain(next(choice for choice in value if choice != {"type": "null"}), definitions)
        elif key != "title" and not (key == "default" and value is None):
            plain[key] = _plain(value, definitions)
    return plain


def sketch(schema: Mapping[str, Any]) -> str:
    """A schema in one line, as a hint: `{"path": string, "limit"?: integer}`."""
    if "enum" in schema:
        return "|".join(json.dumps(choice) for choice in schema["enum"])
    kind = schema.get("type", "any")
    if kind == "array":
        return f"[{sketch(schema.get('items', {}))}, ...]"
    if kind != "object":
        return str(kind)
    required = schema.get("required", ())
    fields = (
        f'"{name}"{"" if name in required else "?"}: {sketch(inner)}'
        for name, inner in schema.get("properties", {}).items()
    )
    return "{" + ", ".join(fields) + "}"
