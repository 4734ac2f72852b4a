"""What the model does in a crash trial, and what a project must look like afterwards.

The replies are chosen by the turn of the conversation, so the server remembers nothing over a restart. Every command
appends its own call id to a file: the one effect that nobody can take back or tell from a second one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from acp_agent.testing.script import Rule, Step, ToolCall

EFFECTS = "effects.log"
PROMPT = "mend the bug and note what you did"
FILES = {
    "README.md": "# sample\n",
    "a.py": "def first() -> int:\n    return 1\n\n\ndef second() -> int:\n    return 2\n",
    "b.py": "LIMIT = 10\n",
    "c.py": "def third() -> int:\n    return 3\n",
}
EDITED = {
    "README.md": "# sample\n",
    "a.py": "def first() -> int:\n    return 11\n\n\ndef second() -> int:\n    return 22\n",
    "b.py": "LIMIT = 20\n",
    "c.py": "def third() -> int:\n    return 3\n",
    "docs/new.md": "# written by the agent\n" + "words\n" * 200,
}
COMMANDS = ("call_2_0", "call_4_1")
"""The call ids of the commands, in the order in which they run."""


@dataclass(frozen=True)
class Pace:
    """How long things take, in seconds: `thinking` before a reply's first byte, `gap` between its chunks, `working`
    before and after a command's effect."""

    thinking: float = 0.04
    gap: float = 0.003
    working: float = 0.06


def turns(pace: Pace) -> tuple[Step, ...]:
    """Reads at once, an edit, a command, edits of two files, a new file and a second command, the final words."""
    reads: list[ToolCall] = [("read_file", {"path": name}) for name in FILES]
    steps: tuple[list[ToolCall], ...] = (
        [*reads, ("list_files", {}), ("search", {"pattern": "return"})],
        [("edit_file", {"path": "a.py", "edits": [{"old": "return 1", "new": "return 11"}]})],
        [("shell", {"command": command("call_2_0", pace)})],
        [
            ("edit_file", {"path": "a.py", "edits": [{"old": "return 2", "new": "return 22"}]}),
            ("edit_file", {"path": "b.py", "edits": [{"old": "LIMIT = 10", "new": "LIMIT = 20"}]}),
        ],
        [
            ("write_file", {"path": "docs/new.md", "content": EDITED["docs/new.md"]}),
            ("shell", {"command": command("call_4_1", pace)}),
        ],
    )
    said = ("I look around.", "", "", "Two files.", "", "")
    replies = [
        Step(text=text, tools=tools, delay=pace.thinking, gap=pace.gap, chunk=96)
        for text, tools in zip(said, steps, strict=False)
    ]
    return (*replies, Step(text="Done: the bug is mended.", delay=pace.thinking, gap=pace.gap))


def command(call_id: str, pace: Pace) -> str:
    """A command that must not run twice."""
    return f"sleep {pace.working}; echo {call_id} >> {EFFECTS}; sleep {pace.working}"


def rules(names: Sequence[str], pace: Pace) -> list[Rule]:
    """One rule a project, each a little slower than the one before, so that they drift apart."""
    return [
        Rule(
            system=f"Project: {name}\n",
            contains=PROMPT,
            turns=turns(Pace(pace.thinking * (1 + index / 3), pace.gap, pace.working)),
        )
        for index, name in enumerate(names)
    ]


def expected_tree(effects: Sequence[str]) -> dict[str, str]:
    """All files of the result, given the lines that the commands left."""
    return {**EDITED, EFFECTS: "".join(f"{line}\n" for line in effects)} if effects else dict(EDITED)
