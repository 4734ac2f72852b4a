"""SKILL.md: front matter and body, read leniently for use and checked strictly for its author (agentskills.io).

PyYAML is imported only where a front matter is more than plain `key: value` lines.
"""

import json
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from acp_agent.config.names import printable
from acp_agent.config.nearness import nearest
from acp_agent.config.paths import shown_path
from acp_agent.config.problem import Problem, by_line

FENCE = "---"
MAX_NAME = 64
MAX_DESCRIPTION = 1024
MAX_COMPATIBILITY = 500
MAX_BYTES = 60_000
"""Of a SKILL.md: the whole of it must fit into one result of a tool."""
ADVISED_LINES = 500
FIELDS = ("name", "description", "license", "compatibility", "metadata", "allowed-tools")
MANUAL = "disable-model-invocation"

# A line that every reader of YAML understands alike: a key, and text without anything YAML gives a meaning to.
_TEXT = r"\x20-\x22\x24-\x39\x3b-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd"
_PLAIN = re.compile(
    rf"([a-z][a-z-]*): (?![\s\"'\[\]{{}}>|*&!%@`,?~=<-])((?:[{_TEXT}]|:(?=[^\s]|\Z)(?!\Z)|(?<=\S)(?<!: )#)+)\Z"
)
_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_KEY_AND_TEXT = re.compile(r"([A-Za-z][A-Za-z-]*): +(?![\"'>|])(.*\S)\s*\Z")


class Value(NamedTuple):
    """What stands at a key: text, or None for anything else; `line` counts from 1 within the file."""

    text: str | None
    line: int
    table: "dict[str, Value] | None" = None


class FrontMatter(NamedTuple):
    """The two parts of a SKILL.md. `first` is the line of the file where `text` begins, `body` what comes after it."""

    text: str
    first: int
    body: str


class BrokenSkill(ValueError):
    """A front matter that cannot be read; `line` counts from 1."""

    def __init__(self, what: str, line: int, hint: str | None = None) -> None:
        super().__init__(what)
        self.line = line
        self.hint = hint


class SkillFile(NamedTuple):
    """A skill that can be used, although `warnings` may say what its author should mend."""

    name: str
    description: str
    body: str
    manual: bool = False
    warnings: tuple[str, ...] = ()


def split(text: str) -> FrontMatter:
    """The front matter between two lines `---`, and the body. Raises BrokenSkill where either fence is missing."""
    lines = _LINE.findall(text.removeprefix("\ufeff"))
    if not lines or lines[0].rstrip() != FENCE:
        raise BrokenSkill(f"should begin with a line {FENCE}", 1, "the name and the description stand in front matter")
    for index, line in enumerate(lines[1:], 1):
        if line.rstrip() == FENCE:
            return FrontMatter("".join(lines[1:index]), 2, "".join(lines[index + 1 :]))
    raise BrokenSkill(f"the front matter has no closing {FENCE}", 1, f"end it with a line {FENCE}")


def front_matter(text: str) -> tuple[dict[str, str], str]:
    """The texts of a front matter, if there is any, and the body. Raises BrokenSkill for one that cannot be read."""
    if not text.lstrip("\ufeff").startswith(FENCE):
        return {}, text
    parts = split(text)
    values = _lenient(parts)
    return {key: _text_of(values, key) for key in values}, parts.body


def load(folder: Path, text: str) -> SkillFile | str:
    """The skill of a SKILL.md, read leniently; where it cannot be used at all, why."""
    try:
        parts = split(text)
        values = _lenient(parts)
    except BrokenSkill as error:
        return f"line {error.line}: {error}"
    name, description = _text_of(values, "name"), _text_of(values, "description")
    if not description:
        return "has no description"
    name = unicodedata.normalize("NFKC", name) or folder.name
    if len(name) > MAX_NAME or not re.fullmatch(r"[\w.-]+", name):
        return f"cannot be called {printable(name)}"
    warnings = tuple(problem.what for problem in _name_problems(values.get("name"), folder, "", ""))
    manual = _text_of(values, MANUAL).lower() == "true"
    return SkillFile(name, description[:MAX_DESCRIPTION], parts.body, manual, warnings)


def problems(folder: Path) -> list[Problem]:
    """Everything in which the skill of `folder` breaks the specification, in the order of its lines."""
    file = folder / "SKILL.md"
    shown = shown_path(file)
    if not folder.is_dir() or not file.is_file():
        return [Problem(shown, None, "", "no such file", "a skill is a folder with a SKILL.md")]
    data = file.read_bytes()
    if len(data) > MAX_BYTES:
        what = f"has {len(data):,} bytes, at most {MAX_BYTES:,} can be used"
        return [Problem(shown, None, "", what, "move parts into references/")]
    try:
        text = data.decode("utf-8-sig")
        parts = split(text)
        values, odd = _parsed(parts)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return [Problem(shown, line, "", "is not UTF-8 text", "save the file as UTF-8")]
    except BrokenSkill as error:
        return [Problem(shown, error.line, "", str(error), error.hint)]
    found = [Problem(shown, line, key, what) for line, key, what in (*odd, *_inner_fences(parts))]
    found += _field_problems(values, shown)
    found += _name_problems(values.get("name"), folder, shown, "name")
    return by_line(found)


def advice(folder: Path) -> list[str]:
    """What the specification advises and the skill of `folder` does not do."""
    body = split((folder / "SKILL.md").read_text(encoding="utf-8-sig")).body
    lines = len(body.splitlines())
    if not body.strip():
        return ["has no instructions after its front matter"]
    return [f"has {lines} lines, under {ADVISED_LINES} are advised"] if lines >= ADVISED_LINES else []


def _text_of(values: dict[str, Value], key: str) -> str:
    found = values.get(key)
    return " ".join((found.text or "").split()) if found else ""


def _lenient(parts: FrontMatter) -> dict[str, Value]:
    """The values; where YAML refuses them because of an unquoted colon, once more with the text quoted."""
    if (plain := _plain_values(parts)) is not None:
        return plain
    try:
        return _parsed(parts)[0]
    except BrokenSkill:
        quoted = "".join(f"{_quoted(line)}\n" for line in parts.text.splitlines())
        if quoted == parts.text:
            raise
        return _parsed(parts._replace(text=quoted))[0]


def _quoted(line: str) -> str:
    found = _KEY_AND_TEXT.match(line)
    return f"{found[1]}: {json.dumps(found[2])}" if found else line


def _plain_values(parts: FrontMatter) -> dict[str, Value] | None:
    """The values of a front matter that is nothing but plain lines; None where it takes YAML to read it."""
    values: dict[str, Value] = {}
    for line, text in enumerate(parts.text.splitlines(), parts.first):
        found = _PLAIN.match(text)
        if found is None or found[1] in values:
            return None
        values[found[1]] = Value(found[2].rstrip(" "), line)
    return values


def _parsed(parts: FrontMatter) -> tuple[dict[str, Value], list[tuple[int, str, str]]]:
    """The values, and what strict readers of YAML refuse: (line, key, what). Raises BrokenSkill."""
    import yaml

    try:
        root = yaml.compose(parts.text, Loader=yaml.BaseLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        what = f"broken YAML: {error.problem or error.context}"
        hint = "quote a text that holds a colon" if "mapping values" in what else "mend this line"
        raise BrokenSkill(what, parts.first + (mark.line if mark else 0), hint) from None
    except (yaml.YAMLError, RecursionError, ValueError):
        raise BrokenSkill("broken YAML", parts.first) from None
    if not isinstance(root, yaml.MappingNode):
        raise BrokenSkill("the front matter should be a table of keys", parts.first)
    odd: list[tuple[int, str, str]] = []
    values = _table(root, parts.first, "", odd, 0)
    if any(isinstance(token, (yaml.AnchorToken, yaml.AliasToken, yaml.TagToken)) for token in yaml.scan(parts.text)):
        odd.append((parts.first, "", "uses anchors or tags of YAML, which strict readers refuse"))
    return values, odd


def _table(node: object, first: int, prefix: str, odd: list[tuple[int, str, str]], depth: int) -> dict[str, Value]:
    import yaml

    assert isinstance(node, yaml.MappingNode)
    values: dict[str, Value] = {}
    if node.flow_style:
        odd.append((first + node.start_mark.line, prefix, "is written in { }, which strict readers refuse"))
    for key_node, value_node in node.value:
        line = first + key_node.start_mark.line
        if not isinstance(key_node, yaml.ScalarNode):
            odd.append((line, prefix, "has a key that is no text"))
            continue
        key = f"{prefix}.{key_node.value}" if prefix else key_node.value
        if key_node.value in values:
            odd.append((line, key, "stands there twice"))
        values[key_node.value] = _value(value_node, line, key, first, odd, depth)
    return values


def _value(node: object, line: int, key: str, first: int, odd: list[tuple[int, str, str]], depth: int) -> Value:
    import yaml

    if isinstance(node, yaml.ScalarNode):
        return Value(node.value, line)
    # One level is all the specification knows (metadata); what lies deeper is not followed.
    if isinstance(node, yaml.MappingNode) and depth == 0:
        return Value(None, line, _table(node, first, key, odd, depth + 1))
    return Value(None, line)


def _inner_fences(parts: FrontMatter) -> Iterator[tuple[int, str, str]]:
    for line, text in enumerate(parts.text.splitlines(), parts.first):
        if FENCE in text:
            yield line, "", f"holds {FENCE}, which some readers take for the end of the front matter"


def _field_problems(values: dict[str, Value], shown: str) -> Iterator[Problem]:
    for key, value in values.items():
        if key not in FIELDS:
            yield Problem(shown, value.line, key, "unknown key", nearest(key, list(FIELDS)))
        elif key == "metadata":
            if value.table is None or any(item.text is None for item in value.table.values()):
                yield Problem(shown, value.line, key, "should be a table of texts")
        elif value.text is None:
            yield Problem(shown, value.line, key, "should be a text")
    for key, most in (("description", MAX_DESCRIPTION), ("compatibility", MAX_COMPATIBILITY)):
        found = values.get(key)
        if found is not None and found.text is not None and len(found.text) > most:
            yield Problem(shown, found.line, key, f"has {len(found.text):,} characters, at most {most:,}")
    description = values.get("description")
    if description is None:
        yield Problem(shown, 1, "description", "is missing", "say what the skill does and when to use it")
    elif description.text is not None and not description.text.strip():
        yield Problem(shown, description.line, "description", "should not be empty")


def _name_problems(value: Value | None, folder: Path, shown: str, key: str) -> Iterator[Problem]:
    if value is None:
        yield Problem(shown, 1, key, "is missing", f"name: {folder.name}")
        return
    if value.text is None:
        return
    name = unicodedata.normalize("NFKC", value.text.strip())
    folder_name = unicodedata.normalize("NFKC", folder.absolute().name)
    rules = (
        (not name, "should not be empty"),
        (len(name) > MAX_NAME, f"has {len(name)} characters, at most {MAX_NAME}"),
        (name != name.lower(), "should be lower case"),
        (name.startswith("-") or name.endswith("-"), "should neither begin nor end with a hyphen"),
        ("--" in name, "should not hold two hyphens in a row"),
        (any(not (char.isalnum() or char == "-") for char in name), "should hold letters, digits and hyphens only"),
        (bool(name) and name != folder_name, f"{printable(name)} differs from its folder, {printable(folder_name)}"),
    )
    for broken, what in rules:
        if broken:
            yield Problem(shown, value.line, key, what)
