"""Reads the arguments of a call: strict JSON first, then one round of repair for what models commonly get wrong."""

import ast
import json
import re
import warnings
from collections.abc import Callable, Iterator
from typing import ClassVar

_FENCE = re.compile(r"^\s*```[a-zA-Z]*\s*\n?(.*?)\n?\s*```\s*$", re.DOTALL)
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]|[\ud800-\udfff]")
# Python's own parser needs much memory and stack for large literals; a large one is content, not a slip.
_LITERAL_LIMIT = 50_000


class Unreadable(ValueError):
    """Arguments that are no JSON object, also after repair; says where."""


def parse_arguments(text: str) -> dict[str, object]:
    """The JSON object in `text`. Valid JSON passes unchanged. Raises Unreadable."""
    if not text.strip():
        return {}
    problem = ""
    for candidate in _candidates(text):
        try:
            value = candidate()
        except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
            problem = problem or _where(error)
            continue
        if isinstance(value, str) and value.lstrip().startswith("{") and value != text:
            return parse_arguments(value)
        if isinstance(value, dict) and all(isinstance(key, str) for key in value):
            _require_unicode(text, value)
            return value
        problem = problem or f"a JSON object is needed, not {_kind(value)}"
    raise Unreadable(problem)


def _require_unicode(text: str, value: dict[str, object]) -> None:
    """Refuse half of a surrogate pair: valid in JSON's grammar, but no text, and no file or record can hold it."""
    if _SURROGATE.search(text):
        try:
            json.dumps(value, ensure_ascii=False, default=repr).encode()
        except UnicodeEncodeError:
            raise Unreadable("a string holds half of a surrogate pair") from None


def _candidates(text: str) -> Iterator[Callable[[], object]]:
    yield lambda: json.loads(text)
    fenced = _FENCE.match(text)
    bare = fenced.group(1) if fenced else text.strip()
    # Line breaks typed into a string instead of \n.
    yield lambda: json.loads(bare, strict=False)
    if not bare.startswith("{"):
        bare = bare[bare.find("{") :] if "{" in bare else bare
        yield lambda: json.loads(bare, strict=False)
    yield lambda: json.loads(_without_slips(bare), strict=False)
    if len(bare) <= _LITERAL_LIMIT:
        yield lambda: _literal(bare)


def _without_slips(text: str) -> str:
    """Commas before a closing bracket dropped, what follows the object too, and the object's own missing brace added.

    A string that is not closed, or an inner list, is left as it is: the arguments were cut off there, and completing
    them would do half of what was meant.
    """
    kept: list[str] = []
    depth = 0
    in_string = escaped = False
    for character in text:
        if in_string:
            in_string = escaped or character != '"'
            escaped = character == "\\" and not escaped
        elif character == '"':
            in_string = True
        elif character in "{[":
            depth += 1
        elif character in "}]":
            _drop_comma(kept)
            depth -= 1
        kept.append(character)
        if depth == 0:
            break
    whole = "".join(kept)
    # After a digit or a comma more was to come.
    complete = depth == 1 and not in_string and whole.rstrip()[-1:] not in tuple("0123456789,:")
    return whole + "}" if complete else whole


def _drop_comma(kept: list[str]) -> None:
    end = len(kept)
    while end and kept[end - 1].isspace():
        end -= 1
    if end and kept[end - 1] == ",":
        del kept[end - 1 :]


class _Constants(ast.NodeTransformer):
    """JSON's words in what is otherwise Python."""

    WORDS: ClassVar[dict[str, bool | None]] = {"true": True, "false": False, "null": None}

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """A word of JSON as Python's constant."""
        return ast.copy_location(ast.Constant(self.WORDS[node.id]), node) if node.id in self.WORDS else node


def _literal(text: str) -> object:
    with warnings.catch_warnings():
        # A backslash that Python finds odd is the model's, and not worth a warning to anybody.
        warnings.simplefilter("ignore")
        tree = ast.parse(text.strip(), mode="eval")
        return ast.literal_eval(_Constants().visit(tree))


def _where(error: BaseException) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"not valid JSON: {error.msg} at character {error.pos}"
    return f"not valid JSON: {str(error) or type(error).__name__}"


def _kind(value: object) -> str:
    return {list: "a list", str: "a string", bool: "a boolean", type(None): "null"}.get(type(value), "a number")
