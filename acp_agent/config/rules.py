"""Rules as files write them: the user's, an administrator's, a project's; each is checked by its own examples."""

import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from acp_agent.config.names import printable
from acp_agent.config.notify_tables import NotifyTable, Then
from acp_agent.config.problem import Problem
from acp_agent.config.tables import Items, Name, Seconds, Table, Text, Texts, problem_at
from acp_agent.config.toml_lines import line_of
from acp_agent.config.toml_source import TomlSource
from acp_agent.domain.patterns import command_fits, command_may_be, path_fits, path_may_be, pattern_problem
from acp_agent.domain.rules import SHELL, Rule, Scope

MANAGED_FILE = Path("/etc/acp-agent/config.toml")
"""What an administrator wrote for everybody on this machine."""
NOT_ONE_COMMAND = re.compile(r"[;&|<`\n]|\$\(")
ONLY_TIGHTEN = "a project's file can only tighten: deny or ask"


class RuleTable(Table):
    """One rule: a verdict on calls of `tool`, on shell commands that fit `command`, or on files that fit `path`.

    `match` and `not_match` are examples it is held against whenever the file is read; `why` is told to the model and to
    people.
    """

    verdict: Literal["deny", "ask", "allow"]
    tool: Text | None = None
    command: Text | None = None
    path: Text | None = None
    role: Name | None = None
    why: Text | None = None
    match: Texts = ()
    not_match: Texts = ()


class PolicyTable(Table):
    """What is allowed, asked and denied beyond the modes.

    `unattended`: where nobody watches, what would be asked waits for `acp approve` (`park`) or is refused (`deny`).
    Once `answer_within` is over what waits takes the steps of `then`: channels that are told, then `deny` or `park`.
    `private` are further names of files that are not for others.
    """

    rules: Annotated[tuple[RuleTable, ...], Items] = ()
    unattended: Literal["park", "deny"] = "park"
    answer_within: Seconds | None = None
    then: Then = ("deny",)
    private: Texts = ()


class ProjectPolicyTable(Table):
    """Rules of a projects.toml: each denies or asks."""

    rules: Annotated[tuple[RuleTable, ...], Items] = ()


class ManagedTable(Table):
    """An administrator's file: rules for everybody and channels, and nothing else."""

    policy: PolicyTable = Field(default_factory=PolicyTable)
    notify: dict[Name, NotifyTable] = Field(default_factory=dict)


def managed_files(environ: Mapping[str, str]) -> list[Path]:
    """The administrator's files: /etc/acp-agent/config.toml where it exists, and the one `ACP_MANAGED_CONFIG` names."""
    named = environ.get("ACP_MANAGED_CONFIG")
    found = [MANAGED_FILE] if MANAGED_FILE.exists() else []
    return [*found, Path(named)] if named else found


def rules_of(table: PolicyTable | ProjectPolicyTable, source: TomlSource, scope: Scope) -> tuple[Rule, ...]:
    """The rules of a file that was found to be right, each with the place where it stands."""
    return tuple(
        Rule(
            verdict=rule.verdict,
            scope=scope,
            tool=rule.tool or (SHELL if rule.command is not None else "*"),
            command=rule.command,
            path=rule.path,
            role=rule.role,
            where=f"{source.shown}:{line_of(source.text, ('policy', 'rules', index))}",
            why=rule.why or "",
        )
        for index, rule in enumerate(table.rules)
    )


def rule_problems(source: TomlSource, scope: Scope) -> Iterator[Problem]:
    """What is wrong with the rules of a file beyond their shape. From the data as read."""
    policy = source.data.get("policy")
    rules = policy.get("rules") if isinstance(policy, dict) else None
    for index, rule in enumerate(rules if isinstance(rules, list) else ()):
        if not isinstance(rule, dict) or not all(isinstance(value, (str, list)) for value in rule.values()):
            continue
        for key, what, hint in _wrong(rule, scope):
            yield problem_at(source, ("policy", "rules", index, *key), what, hint)


Wrong = tuple[tuple[str | int, ...], str, str | None]


def _wrong(rule: Mapping[str, Any], scope: Scope) -> Iterator[Wrong]:
    command, tool = rule.get("command"), rule.get("tool")
    if scope == "project" and rule.get("verdict") == "allow":
        yield ("verdict",), ONLY_TIGHTEN, "what is allowed stands in your own config.toml"
    if command is not None and rule.get("path") is not None:
        yield (), "should name a command or a path, not both", "write two rules"
    if isinstance(command, str):
        if isinstance(tool, str) and not fnmatchcase(SHELL, tool):
            yield ("tool",), "has no commands: only shell has", f'leave tool out, or name "{SHELL}"'
        if problem := pattern_problem(command):
            yield ("command",), problem, 'write words, such as "git push *"'
            return
    for key, fits in (("match", True), ("not_match", False)):
        examples = rule.get(key)
        for position, example in enumerate(examples if isinstance(examples, list) else ()):
            if isinstance(example, str) and (what := _example(rule, example, fits)):
                yield (key, position), what, None


def _example(rule: Mapping[str, Any], example: str, fits: bool) -> str | None:
    """Why the rule is not what its author thinks; None where the example comes out as they say."""
    forbids = rule.get("verdict") != "allow"
    if isinstance(rule.get("command"), str):
        if NOT_ONE_COMMAND.search(example):
            return "should be one simple command: a line is judged command by command"
        found = (command_may_be if forbids else command_fits)(rule["command"], example)
    elif isinstance(rule.get("path"), str):
        found = (path_may_be if forbids else path_fits)(rule["path"], example)
    else:
        found = fnmatchcase(example, rule["tool"] if isinstance(rule.get("tool"), str) else "*")
    if found == fits:
        return None
    return f"the rule {'does not match' if fits else 'matches'} {printable(example)}"


def idle_rules(rules: tuple[Rule, ...], tools: frozenset[str]) -> Iterator[tuple[Rule, str]]:
    """Rules that can never decide anything, and why: the tools they name are not there, or another rule is before them.

    `tools` are the names of all that could be offered.
    """
    for index, rule in enumerate(rules):
        if not any(fnmatchcase(tool, rule.tool) for tool in tools):
            yield rule, f"no tool is called {rule.tool}"
            continue
        beaten = next((other for other in rules if other is not rule and _beats(other, rule, rules, index)), None)
        if beaten is not None:
            yield rule, f"{beaten.shown} ({beaten.where}) decides before it"


def _beats(other: Rule, rule: Rule, rules: tuple[Rule, ...], index: int) -> bool:
    """Whether `other` speaks of all that `rule` speaks of, and is stricter, or as strict and written before it."""
    order = ("deny", "ask", "allow")
    strictness = order.index(other.verdict) - order.index(rule.verdict)
    first = strictness < 0 or (strictness == 0 and rules.index(other) < index)
    same_place = other.command in (None, rule.command) and other.path in (None, rule.path)
    return first and same_place and fnmatchcase(rule.tool, other.tool) and other.role in (None, rule.role)
