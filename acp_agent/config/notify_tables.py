"""`[notify.NAME]` and `[policy] then`: whom an approval goes to that nobody gives in its time."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

from acp_agent.config.duration import parse_duration
from acp_agent.config.names import printable
from acp_agent.config.nearness import nearest
from acp_agent.config.problem import Problem
from acp_agent.config.tables import Items, Seconds, Table, Text, Texts, plain, problem_at, tables_in
from acp_agent.config.toml_source import TomlSource
from acp_agent.domain.notify import Channel, Escalation, Told

LONGEST = 60.0
"""Seconds that a channel may be given."""
STEP = re.compile(r"notify:([\w-]+)(?::(.+))?\Z")
LAST = ("deny", "park")
EXPECTED = 'should be a list of "notify:NAME" or "notify:NAME:TIME" that ends with "deny" or "park"'


def _timeout(value: float) -> float:
    if value > LONGEST:
        raise plain("should be at most 1m")
    return value


def _then(value: object) -> object:
    if not isinstance(value, list) or not value or not all(isinstance(word, str) for word in value):
        raise plain(EXPECTED)
    if value[-1] not in LAST:
        raise plain(EXPECTED)
    for word in value[:-1]:
        match = STEP.match(word)
        if match is None:
            raise plain(EXPECTED)
        try:
            parse_duration(match[2] or "1s")
        except ValueError as error:
            raise plain(f"{printable(word)}: {error}") from None
    return tuple(value)


Then = Annotated[tuple[str, ...], BeforeValidator(_then)]
ToldOf = Annotated[tuple[Told, ...], Items]


class NotifyTable(Table):
    """A channel: `run` is run by the shell, outside of the sandbox, with one line of JSON on its stdin.

    `on` are things a run waits for of which it is told at once; `env` names the variables it is given.
    """

    run: Text
    timeout: Annotated[Seconds, AfterValidator(_timeout)] = 10.0
    env: Texts = ()
    on: ToldOf = ()


def channels_of(tables: Mapping[str, NotifyTable]) -> dict[str, Channel]:
    """The channels of a file, by name."""
    return {name: Channel(name=name, **table.model_dump()) for name, table in tables.items()}


def channel_secrets(channels: Mapping[str, Channel], environ: Mapping[str, str]) -> list[str]:
    """Values that channels are given by name: nothing of ours may show them."""
    return [value for channel in channels.values() for name in channel.env if (value := environ.get(name))]


def escalations_of(then: tuple[str, ...], within: float) -> tuple[Escalation, ...]:
    """The steps before the last; one that says no time of its own has `within`."""
    found = [match for word in then if (match := STEP.match(word))]
    return tuple(
        Escalation(channel=match[1], within=parse_duration(match[2]) if match[2] else within) for match in found
    )


def notify_problems(source: TomlSource) -> Iterator[Problem]:
    """Steps that lead nowhere. From the data as read."""
    policy: Any = source.data.get("policy")
    then = policy.get("then") if isinstance(policy, dict) else None
    if not isinstance(then, list):
        return
    if "answer_within" not in policy:
        yield problem_at(source, ("policy", "then"), "needs answer_within", "say how long the first step takes")
    known = [name for name, _ in tables_in(source.data, "notify")]
    for index, word in enumerate(then):
        match = STEP.match(word) if isinstance(word, str) else None
        if match is not None and match[1] not in known:
            hint = nearest(match[1], known) or f"define it as [notify.{match[1]}]"
            yield problem_at(source, ("policy", "then", index), f"no channel named {printable(match[1])}", hint)
