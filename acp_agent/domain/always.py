"""What a person allows always: by which name, as which patterns, and the fold of what holds still."""

import shlex
from collections.abc import Iterable, Sequence
from typing import Literal

from acp_agent.domain.base import Frozen
from acp_agent.domain.rules import Rule
from acp_agent.domain.weight import Weight

STREAM = "policy"
"""The one stream of what a person allows always, whatever session it was said in."""

_WITH_SUBCOMMANDS = {
    "git": 1, "npm": 1, "pnpm": 1, "yarn": 1, "cargo": 1, "go": 1, "uv": 1, "pip": 1, "poetry": 1, "hatch": 1, "nox": 1,
    "docker": 1, "kubectl": 1, "gh": 1, "terraform": 1, "dotnet": 1, "mvn": 1, "gradle": 1, "bundle": 1, "composer": 1,
    "npm run": 2, "pnpm run": 2, "yarn run": 2, "uv run": 2, "poetry run": 2, "bundle exec": 2, "go tool": 2,
    "python -m": 2, "python3 -m": 2,
}  # fmt: skip
"""Programs whose next words say what they do; a pattern keeps these."""

_AS_IT_IS_TEXT = """
bash chmod chown cd cp curl dd docker install kill ln mkfs mv node perl php pkill psql python python3 rm rmdir
ruby scp sh shred sqlite3 tee touch truncate wget
"""
_AS_IT_IS = frozenset(_AS_IT_IS_TEXT.split())
"""Programs that do too many things to be allowed with any words: only the command as it stands."""


class AllowedAlways(Frozen):
    """A person allows calls of `tool` by `role` in the project at `root`, without being asked again.

    `patterns` are those of shell commands, none for a whole tool; `name` is what lists show and `--revoke` takes.
    """

    type: Literal["allowed_always"] = "allowed_always"
    name: str
    tool: str
    role: str
    root: str
    patterns: tuple[str, ...] = ()


class AllowanceRevoked(Frozen):
    """A person takes back what was allowed under a name; `root` limits it to one project."""

    type: Literal["allowance_revoked"] = "allowance_revoked"
    name: str
    root: str | None = None


def patterns_of(weight: Weight) -> tuple[str, ...]:
    """The patterns that would allow this shell line, and lines that do the same kind of thing, always."""
    return tuple(dict.fromkeys(_pattern(command) for command in weight.commands))


def allowance_of(tool: str, name: str, patterns: tuple[str, ...], role: str, root: str) -> AllowedAlways | None:
    """What "always" means for a call that was asked about under that name; None where it cannot be said."""
    # A name without patterns is the tool's own: one of an earlier version named a single command.
    if not name or not (patterns or name == tool):
        return None
    return AllowedAlways(name=name, tool=tool, role=role, root=root, patterns=patterns)


def name_of(tool: str, patterns: Sequence[str]) -> str:
    """What such an allowance is called."""
    return f"{tool}: {', '.join(patterns)}" if patterns else tool


def in_force(facts: Iterable[object]) -> tuple[AllowedAlways, ...]:
    """What is allowed always after `facts`, in the order it was allowed."""
    held: dict[tuple[str, str, str], AllowedAlways] = {}
    for fact in facts:
        if isinstance(fact, AllowedAlways):
            held[(fact.name, fact.role, fact.root)] = fact
        elif isinstance(fact, AllowanceRevoked):
            held = {key: one for key, one in held.items() if not _is_meant(fact, one)}
    return tuple(held.values())


def rules_of(allowances: Iterable[AllowedAlways], role: str, root: str) -> tuple[Rule, ...]:
    """What is allowed always to `role` in the project at `root`, in the one grammar of rules."""
    return tuple(
        Rule(verdict="allow", scope="granted", tool=_exactly(one.tool), command=pattern, where="allowed always")
        for one in allowances
        if (one.role, one.root) == (role, root)
        for pattern in (one.patterns or (None,))
    )


def _is_meant(revoked: AllowanceRevoked, one: AllowedAlways) -> bool:
    return one.name == revoked.name and revoked.root in (None, one.root)


def _pattern(command: str) -> str:
    words = shlex.split(command)
    # Before the blanks of a word are lost: each word of the pattern is matched as it is.
    fixed = [_exactly(word) for word in words]
    if words[0] in (">", *_AS_IT_IS) and " ".join(words[:2]) not in _WITH_SUBCOMMANDS:
        return shlex.join(fixed)
    kept = 1 + max(_WITH_SUBCOMMANDS.get(words[0], 0), _WITH_SUBCOMMANDS.get(" ".join(words[:2]), 0))
    if any(word.startswith("-") for word in words[1:kept] if word != "-m"):
        return shlex.join(fixed)
    return f"{shlex.join(fixed[:kept])} *"


def _exactly(text: str) -> str:
    """A pattern that fits `text` alone."""
    return "".join(f"[{char}]" if char in "*?[" else char for char in text)
