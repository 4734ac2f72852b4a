"""Tag expressions such as `(python || rust) && !legacy`: parse and evaluate, without recursion.

Standard library only: `acp projects ls` uses it before anything heavy is imported.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass, field

from acp_agent.domain.errors import UsageError

_TOKEN = re.compile(r"\s*(?:(?P<tag>[A-Za-z0-9][A-Za-z0-9._-]*)|(?P<operator>&&|\|\||[!()])|(?P<stray>\S))", re.ASCII)
_BINDING = {"||": 1, "&&": 2, "!": 3}
_SHOWN = 40
_HINT = "An expression is tags joined by && and ||, with ! and parentheses: --expr '(python || rust) && !legacy'"


@dataclass(frozen=True)
class Expression:
    """A parsed expression. `wanted` are the tags it asks for, `unwanted` those under an odd number of `!`."""

    text: str
    postfix: tuple[str, ...]
    wanted: frozenset[str]
    unwanted: frozenset[str]

    def matches(self, tags: Collection[str]) -> bool:
        """Whether a project with these tags is meant."""
        values: list[bool] = []
        for token in self.postfix:
            if token == "!":
                values.append(not values.pop())
            elif token in _BINDING:
                right, left = values.pop(), values.pop()
                values.append((left and right) if token == "&&" else (left or right))
            else:
                values.append(token in tags)
        return values.pop()


def parse(text: str, option: str = "--expr") -> Expression:
    """Read an expression; `!` binds tighter than `&&`, that tighter than `||`.

    Raises UsageError that begins with `option` and names the column (from 1) of what is wrong.
    """
    parser = _Parser(text, option)
    for found in _TOKEN.finditer(text):
        parser.take(found)
    return parser.finish()


@dataclass
class _Parser:
    """The shunting-yard algorithm: a stack instead of recursion, so that depth costs memory only."""

    text: str
    option: str
    postfix: list[str] = field(default_factory=list)
    stack: list[tuple[str, int]] = field(default_factory=list)
    wanted: set[str] = field(default_factory=set)
    unwanted: set[str] = field(default_factory=set)
    negated: bool = False
    after_tag: bool = False
    last: tuple[str, int] | None = None

    def take(self, found: re.Match[str]) -> None:
        kind = found.lastgroup or ""
        token, column = found[kind], found.start(kind) + 1
        if kind == "stray":
            raise self._error(self._stray(token, column))
        if kind == "tag":
            self._tag(token, column)
        elif token in ("!", "("):
            self._opening(token, column)
        elif token == ")":
            self._closing(column)
        else:
            self._joining(token, column)
        self.last = (token, column)

    def finish(self) -> Expression:
        if not self.after_tag:
            raise self._error(f"expected a tag {self._where(len(self.text) + 1)}")
        while self.stack:
            token, column = self._pop()
            if token == "(":
                raise self._error(f'the "(" at column {column} is never closed')
            self.postfix.append(token)
        return Expression(self.text, tuple(self.postfix), frozenset(self.wanted), frozenset(self.unwanted))

    def _tag(self, token: str, column: int) -> None:
        self._expect_operand(token, column)
        self.postfix.append(token)
        (self.unwanted if self.negated else self.wanted).add(token)
        self.after_tag = True

    def _opening(self, token: str, column: int) -> None:
        self._expect_operand(token, column)
        self.stack.append((token, column))
        self.negated ^= token == "!"

    def _closing(self, column: int) -> None:
        if not self.after_tag:
            raise self._error(f"expected a tag {self._where(column)}")
        while self.stack and self.stack[-1][0] != "(":
            self.postfix.append(self._pop()[0])
        if not self.stack:
            raise self._error(f'the ")" at column {column} closes nothing')
        self._pop()

    def _joining(self, token: str, column: int) -> None:
        if not self.after_tag:
            raise self._error(f'expected a tag before "{token}" at column {column}')
        while self.stack and _BINDING.get(self.stack[-1][0], 0) >= _BINDING[token]:
            self.postfix.append(self._pop()[0])
        self.stack.append((token, column))
        self.after_tag = False

    def _pop(self) -> tuple[str, int]:
        token, column = self.stack.pop()
        self.negated ^= token == "!"
        return token, column

    def _expect_operand(self, token: str, column: int) -> None:
        if self.after_tag:
            raise self._error(f'expected "&&" or "||" before "{token[:_SHOWN]}" at column {column}')

    def _where(self, column: int) -> str:
        return f'after "{self.last[0]}" at column {self.last[1]}' if self.last else f"at column {column}"

    def _stray(self, token: str, column: int) -> str:
        if token in "&|":
            return f'"{token}" at column {column} must be "{token * 2}"'
        shown = token if token.isprintable() else ascii(token)[1:-1]
        return f'unexpected "{shown}" at column {column}'

    def _error(self, what: str) -> UsageError:
        return UsageError(f"{self.option}: {what}", hint=_HINT)
