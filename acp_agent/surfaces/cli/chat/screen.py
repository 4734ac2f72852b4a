"""What a conversation is shown on: the words it is told in, and the plain form for pipes and simple terminals."""

import sys
from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

import click

from acp_agent.domain.tool import PlanStep
from acp_agent.surfaces.cli.chat.diffs import Line
from acp_agent.surfaces.cli.columns import aligned
from acp_agent.surfaces.cli.glyphs import LOOKS, speaks_unicode
from acp_agent.surfaces.cli.text import cut, one_line, plain

State = Literal["running", "ok", "failed", "cancelled", "waiting", "limit"]
STEP_MARKS = {"pending": ("·", "."), "in_progress": ("▸", ">"), "completed": ("✓", "+")}
THOUGHT = 100
"""Characters kept of a thought; the record has all of it."""


class Act(NamedTuple):
    """One line about something the agent did: `title` names it, `detail` says how it went."""

    state: State
    title: str
    detail: str = ""


class Screen(Protocol):
    """What the narration draws on; every text is made harmless here, so that no caller can forget to."""

    def words(self, piece: str) -> None:
        """More of the answer."""
        ...

    def thought(self, piece: str) -> None:
        """More of the reasoning before the answer."""
        ...

    def end_message(self) -> None:
        """The answer, or the thought, is complete."""
        ...

    def said(self, prompt: str) -> None:
        """What a person said in an earlier turn."""
        ...

    def act(self, act: Act, lines: Sequence[Line] = ()) -> None:
        """Something was done; `lines` are what it changed or printed."""
        ...

    def plan(self, steps: tuple[PlanStep, ...]) -> None:
        """The agent's plan as it stands."""
        ...

    def question(self, act: Act, lines: Sequence[Line]) -> None:
        """What a person is about to decide: never less than all of `lines`."""
        ...

    def note(self, text: str, state: State | None = None) -> None:
        """A line of ours."""
        ...

    def listing(self, rows: Sequence[tuple[str, ...]]) -> None:
        """A table of ours."""
        ...

    def busy(self, doing: str | None) -> None:
        """What is under way, None for nothing."""
        ...

    def tick(self) -> None:
        """Time passes."""
        ...

    def pause(self) -> None:
        """Leave the terminal to somebody else; the next call takes it back."""
        ...

    def rest(self) -> None:
        """The turn is over: a person is next."""
        ...


class PlainScreen:
    """Whole lines: the answer on stdout, all the rest on stderr. Diffs are shown only where a person decides."""

    def __init__(self) -> None:
        self._unicode = speaks_unicode(sys.stderr)
        self._line = ""
        self._thought = ""

    def words(self, piece: str) -> None:
        """Print the lines that are complete."""
        self._end_thought()
        *lines, self._line = (self._line + piece).split("\n")
        for line in lines:
            click.echo(plain(line.removesuffix("\r")))

    def thought(self, piece: str) -> None:
        """Keep the beginning."""
        self._thought = (self._thought + piece)[: 4 * THOUGHT]

    def end_message(self) -> None:
        """Print what is left of the last line."""
        self._end_thought()
        if self._line:
            click.echo(plain(self._line))
        self._line = ""
        sys.stdout.flush()

    def said(self, prompt: str) -> None:
        """`> what to do`."""
        self.end_message()
        click.echo("> " + plain(prompt).replace("\n", "\n  "), err=True)

    def act(self, act: Act, lines: Sequence[Line] = ()) -> None:
        """`● Edit src/app.py  +1 -1`; the changes themselves are in the files."""
        self.question(act, [line for line in lines if line.kind == "output"])

    def plan(self, steps: tuple[PlanStep, ...]) -> None:
        """One line per step."""
        for step in steps:
            click.echo(f"  {STEP_MARKS[step.status][not self._unicode]} {one_line(step.text)}", err=True)

    def question(self, act: Act, lines: Sequence[Line]) -> None:
        """The call, then its diff or its command."""
        self.end_message()
        click.echo(f"{glyph(act.state, self._unicode)} {act_text(act)}", err=True)
        for line in lines:
            click.echo(f"  {plain(line.text)}", err=True)

    def note(self, text: str, state: State | None = None) -> None:
        """A line on stderr."""
        self.end_message()
        mark = f"{glyph(state, self._unicode)} " if state else ""
        click.echo(mark + one_line(text), err=True)

    def listing(self, rows: Sequence[tuple[str, ...]]) -> None:
        """Aligned columns on stderr."""
        click.echo(columns_of(rows), err=True)

    def busy(self, doing: str | None) -> None:
        """Nothing: what is under way is told when it is done."""

    def tick(self) -> None:
        """Nothing moves."""

    def pause(self) -> None:
        """Nothing is held."""

    def rest(self) -> None:
        """End the last line."""
        self.end_message()

    def _end_thought(self) -> None:
        thought, self._thought = self._thought, ""
        if thought.strip():
            click.echo(thought_text(thought), err=True)


def glyph(state: State, unicode: bool) -> str:
    """The mark before a line."""
    look = LOOKS[state]
    return look.glyph if unicode else look.ascii


def columns_of(rows: Sequence[tuple[str, ...]]) -> str:
    """Rows as aligned columns, made harmless."""
    return aligned([""] * len(rows[0]), rows).lstrip("\n")


def act_text(act: Act, room: int | None = None) -> str:
    """Title and detail as one line; in `room` columns the title is cut first."""
    title, detail = one_line(act.title), one_line(act.detail)
    if room is not None and room > 0:
        detail = cut(detail, max(room // 2, room - len(title) - 2))
        title = cut(title, max(room - len(detail) - 2, room // 3))
    return f"{title}  {detail}" if detail else title


def thought_text(thought: str, room: int = THOUGHT) -> str:
    """`thought: the first words`."""
    return cut(f"thought: {one_line(thought)}", room)
