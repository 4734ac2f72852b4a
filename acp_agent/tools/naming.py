"""The simple commands of a shell line, by name, for rules and for people; whatever is not plainly named is opaque.

tree-sitter-bash reads the line, bash runs it, and the two may differ: so only what is known to be read alike counts as
named. This names things and bounds nothing: the boundary is the sandbox.
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

from acp_agent.tools.programs import hides, takes_data

if TYPE_CHECKING:
    from tree_sitter import Language, Node

LONGEST = 32_768
MOST_NODES = 5_000
_MOST_SHOWN = 200
_TRANSPARENT = frozenset({
    "program", "list", "pipeline", "subshell", "compound_statement", "negated_command", "redirected_statement",
    "if_statement", "elif_clause", "else_clause", "while_statement", "for_statement", "do_group", "case_statement",
    "case_item", "comment", "variable_name", "file_redirect", "heredoc_redirect", "heredoc_start", "heredoc_body",
    "heredoc_content", "heredoc_end", "herestring_redirect", "command", "command_name", "word", "number", "string",
    "string_content", "raw_string", "concatenation", "file_descriptor", "extglob_pattern",
})  # fmt: skip
_TOKENS = frozenset({
    ";", "&&", "||", "|", "|&", "&", "(", ")", "{", "}", "\n", ";;", ";&", ";;&", "!", '"', "if", "then", "else",
    "elif", "fi", "while", "until", "do", "done", "for", "in", "case", "esac", "select", ">", ">>", ">|", "<", "<>",
    "&>", "&>>", ">&", "<&", ">&-", "<&-", "<<", "<<-", "<<<",
})  # fmt: skip
_BRACES = re.compile(r"\{[^{}]*(?:,|\.\.)[^{}]*\}|\{.*\{")
_OTHER_BLANKS = re.compile(r"[^\S \t\n]|[\x00-\x08\x0e-\x1f\x7f\u200b-\u200f\u2028-\u202f\ufeff]")
_NO_FILE = re.compile(r"/dev/(?:null|stdout|stderr|zero)\Z|\d+\Z|-\Z")
_READS = ("<", "<&")


@dataclass(frozen=True, slots=True)
class Named:
    """What a line runs: each simple command as its words, quoted where they need it; `> FILE` for a redirection.

    `why` says what of it cannot be named; None where all of it is.
    """

    commands: tuple[str, ...] = ()
    why: str | None = None

    @property
    def opaque(self) -> bool:
        """Whether it may do something that its names do not tell."""
        return self.why is not None


def named(line: str) -> Named:
    """The commands of `line`. Never raises: what cannot be read is opaque."""
    if len(line) > LONGEST:
        return Named(why="the command is too long to be read")
    language = _language()
    if language is None:
        return Named(why="the parser of shell commands is missing (tree-sitter-bash)")
    try:
        return _Reading(line.encode(), language).named()
    except (UnicodeEncodeError, RecursionError, ValueError) as error:
        return Named(why=f"the command cannot be read: {type(error).__name__}")


@cache
def _language() -> "Language | None":
    """The grammar, loaded on the first command; None where the packages are missing."""
    try:
        import tree_sitter_bash
        from tree_sitter import Language
    except ImportError:
        return None
    return Language(tree_sitter_bash.language())


class _Reading:
    """One walk over the tree of a line, without recursion: a line may nest as deep as it is long."""

    def __init__(self, source: bytes, language: "Language") -> None:
        from tree_sitter import Parser

        self._root = Parser(language).parse(source).root_node
        self._source = source
        self._commands: list[str] = []
        self._why: str | None = None

    def named(self) -> Named:
        text = self._source.decode()
        if self._root.has_error:
            self._hide("the command is not valid shell as far as we can read it")
        if _OTHER_BLANKS.search(text) or re.search(r"\S\\\n\S", text):
            self._hide("blanks or line ends that shells and parsers read differently")
        reached = 0
        for count, node in enumerate(self._nodes()):
            if count > MOST_NODES:
                self._hide("the command has too many parts to be read")
                break
            if node.child_count == 0:
                # What lies between two tokens is what the parser skipped; a shell would not.
                if self._source[reached : node.start_byte].replace(b"\\\n", b"").strip():
                    self._hide("parts of the command were not understood")
                reached = max(reached, node.end_byte)
            self._visit(node)
        if not self._commands and self._why is None:
            self._hide("no command was found")
        return Named(tuple(dict.fromkeys(self._commands)), self._why)

    def _nodes(self) -> "Iterator[Node]":
        stack = [self._root]
        while stack:
            node = stack.pop()
            yield node
            stack.extend(reversed(node.children))

    def _hide(self, why: str) -> None:
        self._why = self._why or why

    def _visit(self, node: "Node") -> None:
        if node.is_missing or node.type not in (_TRANSPARENT if node.is_named else _TOKENS):
            self._hide(f"{node.type.replace('_', ' ')}: what it does is known only when it runs")
        match node.type:
            case "command":
                self._command(node)
            case "file_redirect":
                self._redirect(node)
            case "heredoc_redirect" | "herestring_redirect":
                self._input(node)
            case "compound_statement" if node.child_count and node.children[0].type != "{":
                self._hide("arithmetic: what it does is known only when it runs")
            case "for_statement" if node.children[0].type != "for":
                self._hide("select reads from standard input")
            case _:
                pass

    def _command(self, node: "Node") -> None:
        words = _words(node)
        if words is None:
            self._hide("an expansion or a quoted escape: what it stands for is known only when it runs")
            words = _known_words(node)
        if not words:
            return
        self._commands.append(shlex.join(words))
        if re.search(r"[*?\[\]{}~!]", words[0].removeprefix("~/")) and words[0] != "[":
            self._hide("the name of the command is a pattern")
        if why := hides(words):
            self._hide(why)
        self._commands += _inner(words)

    def _redirect(self, node: "Node") -> None:
        target = node.child_by_field_name("destination")
        operator = next((child.type for child in node.children if not child.is_named), "")
        text = None if target is None else _static(target)
        if text is None:
            self._hide("a redirection to what is known only when it runs")
        elif text.startswith(("/dev/tcp", "/dev/udp")):
            self._hide("a redirection to the network")
        elif operator not in _READS and not _NO_FILE.match(text):
            self._commands.append(f"> {shlex.quote(text)}")

    def _input(self, node: "Node") -> None:
        """A text that is fed into a command: harmless where the command takes it for data."""
        parent = node.parent
        body = parent if parent is None or parent.type == "command" else parent.child_by_field_name("body")
        words = _words(body) if body is not None and body.type == "command" else None
        if not words or not takes_data(words):
            self._hide("a text is fed into a command that may run it")


def _words(command: "Node") -> list[str] | None:
    """The words of a simple command, unquoted; None where one of them is known only when it runs."""
    words: list[str] = []
    for child in command.children:
        if child.type in ("herestring_redirect", "file_redirect"):
            continue
        inner = child.children[0] if child.type == "command_name" and child.child_count == 1 else child
        text = _static(inner)
        if text is None:
            return None
        words.append(text)
    return words


def _known_words(command: "Node") -> list[str]:
    """What can be said of a command all the same, so that rules that deny it still find it."""
    words = []
    for child in command.children:
        if child.type in ("variable_assignment", "herestring_redirect", "file_redirect"):
            continue
        inner = child.children[0] if child.type == "command_name" and child.child_count == 1 else child
        text = _static(inner)
        words.append(text if text is not None else (inner.text or b"")[:_MOST_SHOWN].decode(errors="replace"))
    return words


def _static(node: "Node") -> str | None:
    """What a word stands for, where nothing of it is expanded."""
    text = (node.text or b"").decode()
    match node.type:
        case "word" | "number":
            return None if _BRACES.search(text) or "$" in text or "`" in text else _unescaped(text)
        case "raw_string":
            return text[1:-1]
        case "string":
            plain = all(child.type in ('"', "string_content") for child in node.children)
            return re.sub(r'\\([$`"\\\n])', r"\1", text[1:-1]) if plain else None
        case "concatenation":
            # Braces are read before quotes are taken away.
            parts = [] if _BRACES.search(text) else [_static(child) for child in node.children]
            return "".join(part for part in parts if part is not None) if parts and None not in parts else None
        case _:
            return None


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)


def _inner(words: list[str]) -> tuple[str, ...]:
    """Commands written out as an argument of another (`sh -c 'git push'`): named too, so that a rule can deny them."""
    found: list[str] = []
    for option, code in pairwise(words[1:]):
        if re.match(r"-\w*[ceS]\Z|-exec", option) and " " in code and len(code) < 1000:
            found += [shlex.join(part.split()) for part in re.split(r"[;&|\n()`]+", code) if part.split()]
    if words[0] == "eval":
        found += [shlex.join(" ".join(words[1:]).split())]
    return tuple(found)
