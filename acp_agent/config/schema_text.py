"""The shape of an answer: the short text people write, or a JSON Schema file, and answers held against it.

    kind: library|app, files: int, notes: list[str]

Types are `str int float bool list[T]`; alternatives with `|` are types or words. A word is quoted where it has
other characters than letters, digits, '.', '_' and '-', or is the name of a type.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from acp_agent.config.names import printable
from acp_agent.config.nearness import nearest
from acp_agent.config.paths import shown_path
from acp_agent.config.toml_source import read_text
from acp_agent.domain.errors import UsageError

TYPES = {"str": "string", "int": "integer", "float": "number", "bool": "boolean"}
# Names of types elsewhere; taken as words they would quietly ask for the wrong thing.
FOREIGN_TYPES = {
    "string": "str",
    "text": "str",
    "integer": "int",
    "number": "float",
    "boolean": "bool",
    "array": "list[str]",
    "list": "list[str]",
    "object": None,
    "dict": None,
    "null": None,
    "none": None,
    "any": None,
}
EXAMPLE = "such as 'kind: library|app, files: int, notes: list[str]'"
TOKEN = re.compile(r"""\s*(?:(?P<quoted>"[^"\n]*"|'[^'\n]*')|(?P<word>[A-Za-z0-9_.-]+)|(?P<mark>[:,|\[\]]))""")
FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*\Z")
MAX_DEPTH = 10


class _Token(NamedTuple):
    kind: str
    text: str
    column: int


def load_schema(given: str, folder: Path) -> dict[str, Any]:
    """The JSON Schema of `--schema`: a file (relative to `folder`) if there is one or it ends in .json, or a text."""
    try:
        path = folder / Path(given.strip()).expanduser()
        is_file = path.is_file()
    except (OSError, ValueError, RuntimeError):
        # Too long, or with characters no file name has: it is the text itself.
        return parse_schema(given)
    if is_file or (given.strip().endswith(".json") and ":" not in given):
        return read_schema_file(path)
    return parse_schema(given)


def parse_schema(text: str) -> dict[str, Any]:
    """`kind: library|app, files: int` as a JSON Schema of an object, all required. Raises UsageError with column."""
    reader = _Reader(text)
    fields: dict[str, Any] = {}
    while not reader.at("end"):
        token = reader.take()
        name = token.text
        if token.kind != "word" or not FIELD.match(name):
            raise reader.error("expected the name of a field", token)
        if name in fields:
            raise reader.error(f"the field {printable(name)} is there twice", token)
        reader.expect(":", f"after {printable(name)}")
        fields[name] = reader.alternatives(0)
        if not reader.at("end"):
            reader.expect(",", "between two fields")
    if not fields:
        raise UsageError("schema: is empty", hint=f"name fields and types, {EXAMPLE}")
    return _object(fields)


def parse_schema_table(table: Mapping[str, str]) -> dict[str, Any]:
    """The same from `{ files = "int", kind = "library|app" }`."""
    fields: dict[str, Any] = {}
    for name, text in table.items():
        if not FIELD.match(name):
            raise UsageError(f"schema: {printable(name)} is no name of a field", hint="letters, digits, '_' and '-'")
        reader = _Reader(text, f"schema.{name}")
        fields[name] = reader.alternatives(0)
        if not reader.at("end"):
            raise reader.error("expected nothing more", reader.take())
    return _object(fields)


def read_schema_file(path: Path) -> dict[str, Any]:
    """A JSON Schema from a file; every `$ref` stays inside it. Raises UsageError naming file and line."""
    shown = shown_path(path)
    text = read_text(path, hint=f"a schema is a JSON Schema file or a text {EXAMPLE}")
    try:
        schema = json.loads(text)
    except json.JSONDecodeError as error:
        what = f"{shown}:{error.lineno}: broken JSON: {error.msg}, column {error.colno}"
        raise UsageError(what, hint="mend this line") from None
    except RecursionError:
        raise UsageError(f"{shown}: is nested too deeply", hint="write it flatter") from None
    if not isinstance(schema, dict):
        raise UsageError(f"{shown}: a JSON Schema is an object", hint=f"or give a text {EXAMPLE}")
    if problem := _schema_problem(schema):
        raise UsageError(f"{shown}: is no valid JSON Schema: {problem}", hint="see https://json-schema.org")
    return schema


def check_value(schema: dict[str, Any], value: object) -> str | None:
    """What is wrong with `value`, in one line that names the place in it, or None when it fits `schema`."""
    from jsonschema.exceptions import best_match

    try:
        problem = best_match(_validator(schema).iter_errors(value))
    except RecursionError:
        return "is nested too deeply to be checked"
    if problem is None:
        return None
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in problem.absolute_path)
    message = " ".join(str(problem.message).split())
    return f"{place.lstrip('.') or 'the answer'}: {message if len(message) <= 300 else message[:297] + '...'}"


def _validator(schema: dict[str, Any]) -> Any:
    # 80 ms that only a run with a schema should pay.
    from jsonschema import Draft202012Validator
    from jsonschema.validators import validator_for
    from referencing.jsonschema import EMPTY_REGISTRY

    # Without a registry of its own it would fetch references from the network.
    return validator_for(schema, default=Draft202012Validator)(schema, registry=EMPTY_REGISTRY)


def _schema_problem(schema: dict[str, Any]) -> str | None:
    from jsonschema.exceptions import SchemaError
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import DRAFT202012, EMPTY_REGISTRY

    references = _references(schema)
    if outside := next((reference for reference in references if not reference.startswith("#")), None):
        return f"$ref {printable(outside)} leaves the file"
    resolver = EMPTY_REGISTRY.with_resource("", DRAFT202012.create_resource(schema)).resolver()
    for reference in references:
        try:
            resolver.lookup(reference)
        except Unresolvable:
            return f"$ref {printable(reference)} leads nowhere"
    try:
        _validator(schema).check_schema(schema)
    except SchemaError as error:
        place = "/".join(map(str, error.absolute_path))
        return " ".join(f"{place or 'top'}: {error.message}".split())[:300]
    except RecursionError:
        return "nested too deeply"
    return None


def _references(schema: dict[str, Any]) -> list[str]:
    found: list[str] = []
    left: list[object] = [schema]
    while left:
        part = left.pop()
        if isinstance(part, dict):
            for key in ("$ref", "$dynamicRef"):
                if isinstance(reference := part.get(key), str):
                    found.append(reference)
            left.extend(part.values())
        elif isinstance(part, list):
            left.extend(part)
    return found


def _object(fields: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}


class _Reader:
    """A walk over the tokens of one schema text."""

    def __init__(self, text: str, key: str = "schema") -> None:
        self._key = key
        self._tokens = self._split(text)
        self._next = 0

    def _split(self, text: str) -> list[_Token]:
        tokens: list[_Token] = []
        position = 0
        while position < len(text.rstrip()):
            match = TOKEN.match(text, position)
            if match is None:
                column = position + len(text[position:]) - len(text[position:].lstrip()) + 1
                char = text[column - 1]
                what = "the quote is not closed" if char in "\"'" else f"cannot read {printable(char)}"
                raise self.error(what, _Token("", char, column))
            kind = match.lastgroup or ""
            tokens.append(_Token(kind, match[kind], match.start(kind) + 1))
            position = match.end()
        tokens.append(_Token("end", "", len(text.rstrip()) + 1))
        return tokens

    def alternatives(self, depth: int) -> dict[str, Any]:
        """One type, or several types and words between `|`."""
        words: list[str] = []
        types: list[dict[str, Any]] = []
        first = self._tokens[self._next]
        self._alternative(words, types, depth)
        while self._mark("|"):
            self._alternative(words, types, depth)
        if len(words) == 1 and not types and first.kind == "word":
            hint = nearest(words[0], [*TYPES, "list[str]"])
            raise self.error(f"unknown type {printable(words[0])}", first, hint)
        if words:
            types.append({"type": "string", "enum": words})
        return types[0] if len(types) == 1 else {"anyOf": types}

    def _alternative(self, words: list[str], types: list[dict[str, Any]], depth: int) -> None:
        token = self.take()
        if token.kind not in ("word", "quoted"):
            raise self.error("expected a type or a word", token)
        following = self._tokens[self._next]
        if token.text == "list" and following.text == "[" and following.kind == "mark":
            found = self._list(token, depth)
        elif token.kind == "word" and token.text in TYPES:
            found = {"type": TYPES[token.text]}
        else:
            word = self._word(token)
            if word in words:
                raise self.error(f"{printable(word)} is there twice", token)
            words.append(word)
            return
        if found in types:
            raise self.error(f"{printable(token.text)} is there twice", token)
        types.append(found)

    def _list(self, token: _Token, depth: int) -> dict[str, Any]:
        if depth == MAX_DEPTH:
            raise self.error(f"lists are nested more than {MAX_DEPTH} deep", token)
        self.expect("[", "after list")
        items = self.alternatives(depth + 1)
        self.expect("]", "at the end of list[")
        return {"type": "array", "items": items}

    def _word(self, token: _Token) -> str:
        if token.kind == "quoted":
            if len(token.text) == 2:
                raise self.error("an empty word", token)
            return token.text[1:-1]
        if (lower := token.text.lower()) in FOREIGN_TYPES:
            meant = FOREIGN_TYPES[lower]
            hint = f"did you mean {meant}?" if meant else "types are str, int, float, bool and list[T]."
            raise self.error(f"unknown type {printable(token.text)}", token, f"{hint} If it is a word, quote it")
        return token.text

    def expect(self, mark: str, where: str) -> None:
        """Take `mark` or raise."""
        token = self.take()
        if token.kind != "mark" or token.text != mark:
            raise self.error(f"expected {printable(mark)} {where}", token)

    def _mark(self, mark: str) -> bool:
        token = self._tokens[self._next]
        found = token.kind == "mark" and token.text == mark
        self._next += found
        return found

    def at(self, kind: str) -> bool:
        """Whether the next token is of `kind`."""
        return self._tokens[self._next].kind == kind

    def take(self) -> _Token:
        """The next token; the last one, `end`, stays."""
        token = self._tokens[self._next]
        self._next += token.kind != "end"
        return token

    def error(self, what: str, token: _Token, hint: str | None = None) -> UsageError:
        """`what` and where it was met."""
        met = f", not {printable(token.text)}" if what.startswith("expected") and token.text else ""
        if what.startswith("expected") and not token.text:
            met = ", not the end"
        return UsageError(f"{self._key}: column {token.column}: {what}{met}", hint=hint or f"write it {EXAMPLE}")
