"""Rules: one grammar for the user's file, an administrator's, a project's, and what a person allows always.

Deny beats ask beats allow, whatever is more specific and whoever wrote it. A file of a project can only tighten.
"""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Literal

from acp_agent.domain.base import Frozen
from acp_agent.domain.patterns import command_fits, command_may_be, path_fits, path_may_be
from acp_agent.domain.weight import Weight

Verdict = Literal["allow", "ask", "deny"]
Scope = Literal["managed", "user", "project", "granted"]
SHELL = "shell"


class Rule(Frozen):
    """A verdict about calls of `tool` (a pattern of names).

    With `command` only about simple commands that fit, with `path` only about files that fit; with `role` only for that
    role. `where` is the place it was written, `why` what a person or the model is told.
    """

    verdict: Verdict
    scope: Scope = "user"
    tool: str = "*"
    command: str | None = None
    path: str | None = None
    role: str | None = None
    where: str = ""
    why: str = ""

    @property
    def shown(self) -> str:
        """The rule in a few words: `deny shell "git push *"`."""
        what = f' "{self.command}"' if self.command is not None else f" in {self.path}" if self.path is not None else ""
        return f"{self.verdict} {self.tool}{what}"


def closed_paths(rules: Iterable[Rule], role: str) -> tuple[str, ...]:
    """Patterns of paths that are denied to every tool of `role`: what commands must not change either."""
    closed = (rule for rule in rules if (rule.verdict, rule.tool, rule.command) == ("deny", "*", None))
    return tuple(rule.path for rule in closed if rule.path is not None and rule.role in (None, role))


class Ruling(Frozen):
    """What the rules say of one call, and which of them says it; no verdict where none speaks of it."""

    verdict: Verdict | None = None
    rule: Rule | None = None


def ruled(rules: Iterable[Rule], tool: str, role: str, weight: Weight) -> Ruling:
    """What `rules` say about a call of `tool` that weighs `weight`.

    To forbid or ask, a rule need only fit one of the commands or paths; to allow, every one of them must be allowed by
    some rule. An opaque call is never allowed by a rule.
    """
    about = [rule for rule in rules if fnmatchcase(tool, rule.tool) and rule.role in (None, role)]
    for verdict in ("deny", "ask"):
        found = next((rule for rule in about if rule.verdict == verdict and _touches(rule, weight)), None)
        if found is not None:
            return Ruling(verdict=found.verdict, rule=found)
    allowing = _allowing([rule for rule in about if rule.verdict == "allow" and not _is_project(rule)], weight)
    return Ruling(verdict="allow", rule=allowing) if allowing is not None else Ruling()


def _is_project(rule: Rule) -> bool:
    """Such a rule is refused where its file is read; here it counts for nothing all the same."""
    return rule.scope == "project"


def _touches(rule: Rule, weight: Weight) -> bool:
    if rule.command is not None and not any(command_may_be(rule.command, command) for command in weight.commands):
        return False
    paths = (*weight.reads, *weight.writes)
    return rule.path is None or any(path_may_be(rule.path, path) for path in paths)


def _allowing(rules: Sequence[Rule], weight: Weight) -> Rule | None:
    """The first of the rules that together allow all that the call does; None where something is left over."""
    if weight.opaque or not rules:
        return None
    whole = next((rule for rule in rules if rule.command is None and rule.path is None), None)
    if whole is not None:
        return whole
    needed = [
        next((rule for rule in rules if rule.command is not None and command_fits(rule.command, command)), None)
        for command in weight.commands
    ]
    needed += [
        next((rule for rule in rules if rule.path is not None and path_fits(rule.path, path)), None)
        for path in (*weight.reads, *weight.writes)
    ]
    return needed[0] if needed and None not in needed else None
