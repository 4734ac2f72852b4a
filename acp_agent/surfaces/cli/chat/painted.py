"""The conversation on a terminal: what is finished is printed once; only the block under way is drawn again."""

import sys
import time
from collections.abc import Callable, Sequence
from typing import Literal

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.live import Live
from rich.padding import Padding
from rich.segment import Segment
from rich.text import Text

from acp_agent.domain.tool import PlanStep
from acp_agent.surfaces.cli.chat.blocks import Blocks, tail_of
from acp_agent.surfaces.cli.chat.diffs import Kind, Line
from acp_agent.surfaces.cli.chat.markdown import THEME, rendered
from acp_agent.surfaces.cli.chat.screen import STEP_MARKS, Act, State, act_text, columns_of, glyph, thought_text
from acp_agent.surfaces.cli.formats import duration
from acp_agent.surfaces.cli.glyphs import colour, speaks_unicode
from acp_agent.surfaces.cli.text import cut, one_line, plain

WIDEST = 100
"""Columns a line of prose takes at most: longer ones are hard to read."""
FRAME = 0.08
"""Seconds between two drawings of the block under way."""
MOST_LINES = 40
"""Lines shown of a change that was made; of one to be decided on, all."""
THOUGHT_LINES = 3
INDENT = 2
STYLES: dict[Kind, str] = {"added": "green", "removed": "red", "hunk": "cyan dim", "head": "dim", "output": "dim"}
FRAMES = ("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏", "|/-\\")
Part = Literal["nothing", "prose", "line"]
"""What was printed last: an empty line stands around prose, and none between lines about what is done."""


class PaintedScreen:
    """A `Screen` with rich. `now` gives monotonic seconds."""

    def __init__(self, console: Console | None = None, now: Callable[[], float] = time.monotonic) -> None:
        self._console = console or Console(file=sys.stdout, emoji=False, markup=False, highlight=False, theme=THEME)
        self._unicode = speaks_unicode(self._console.file)
        self._now = now
        self._live: Live | None = None
        self._drawn = 0.0
        self._blocks = Blocks()
        self._thought = ""
        self._doing: str | None = None
        self._since = 0.0
        self._last: Part = "line"

    def words(self, piece: str) -> None:
        """Print the blocks that are complete; the rest is drawn at the next tick."""
        self._end_thought()
        for block in self._blocks.feed(piece):
            self._print_block(block)

    def thought(self, piece: str) -> None:
        """Drawn while it lasts, dimmed; one line of it stays."""
        self._thought += piece

    def end_message(self) -> None:
        """Print what is left of the answer."""
        self._end_thought()
        for block in self._blocks.finish():
            self._print_block(block)

    def said(self, prompt: str) -> None:
        """The prompt as it was typed."""
        self.end_message()
        self._print("prose", Text("> " + plain(prompt).replace("\n", "\n  "), style="bold"))

    def act(self, act: Act, lines: Sequence[Line] = ()) -> None:
        """One line, and the beginning of what it changed."""
        self.question(act, lines[:MOST_LINES])
        if len(lines) > MOST_LINES:
            self._print("line", Text(f"{' ' * INDENT}... {len(lines) - MOST_LINES} more lines", style="dim"))

    def plan(self, steps: tuple[PlanStep, ...]) -> None:
        """One line per step."""
        for step in steps:
            mark = STEP_MARKS[step.status][not self._unicode]
            style = {"completed": "dim", "in_progress": "bold"}.get(step.status, "")
            self._print("line", Text(f"{' ' * INDENT}{mark} {one_line(step.text)}", style=style))

    def question(self, act: Act, lines: Sequence[Line]) -> None:
        """One line, and all of `lines` in their colours."""
        self.end_message()
        text = act_text(act, self._console.width - 2)
        self._print("line", Text.assemble((glyph(act.state, self._unicode), colour(act.state)), " ", text))
        for line in lines:
            below = Text(plain(line.text), style=STYLES.get(line.kind, ""), overflow="fold")
            self._print("line", Padding(below, (0, 0, 0, INDENT)))

    def note(self, text: str, state: State | None = None) -> None:
        """A line of ours, wrapped where the window ends."""
        self.end_message()
        mark = (glyph(state, self._unicode) + " ", colour(state)) if state else ""
        self._print("line", Text.assemble(mark, (one_line(text), "" if state else "dim")))

    def listing(self, rows: Sequence[tuple[str, ...]]) -> None:
        """Aligned columns, wrapped where the window ends."""
        self._print("line", Text(columns_of(rows)))

    def busy(self, doing: str | None) -> None:
        """Shown with a moving mark and the seconds since it began."""
        if self._doing is None and doing is not None:
            self._last = "nothing"
        if doing != self._doing:
            self._doing, self._since = doing, self._now()

    def tick(self) -> None:
        """Draw what is under way, a few times a second at most."""
        now = self._now()
        if now - self._drawn < FRAME:
            return
        self._drawn = now
        lines = self._under_way(now)
        if lines is None:
            self.pause()
            return
        if self._live is None:
            self._live = Live(console=self._console, auto_refresh=False, transient=True, redirect_stdout=False)
            self._live.start()
        self._live.update(lines, refresh=True)

    def pause(self) -> None:
        """Take what is under way off the screen."""
        if self._live is not None:
            live, self._live = self._live, None
            live.update(Text(""), refresh=True)
            live.stop()

    def rest(self) -> None:
        """Everything is printed; an empty line sets the next prompt apart."""
        self.end_message()
        self.busy(None)
        self.pause()
        self._console.print()
        self._last = "line"

    def _under_way(self, now: float) -> "_Lines | None":
        room = max(self._console.height - 3, 3)
        lines: list[list[Segment]] = []
        if self._thought:
            text = Text(one_line(self._thought[-4 * self._console.width :]), style="dim italic")
            lines += self._laid_out(text)[-THOUGHT_LINES:]
        elif pending := self._blocks.pending:
            block = self._laid_out(rendered(tail_of(pending, self._blocks.opener, room)))
            lines += [[], *block][-room:]
        if self._doing is not None:
            frames = FRAMES[not self._unicode]
            frame = frames[int(now / FRAME) % len(frames)]
            doing = f"{frame} {one_line(self._doing)} {duration(now - self._since)}  Ctrl-C cancels"
            lines += [[], *self._laid_out(Text(cut(doing, self._console.width - 1), style="dim"))]
        return _Lines(lines) if lines else None

    def _laid_out(self, renderable: RenderableType) -> list[list[Segment]]:
        options = self._console.options.update(width=min(self._console.width, WIDEST))
        lines = [_stripped(line) for line in self._console.render_lines(renderable, options, pad=False)]
        full = [number for number, line in enumerate(lines) if line]
        return lines[full[0] : full[-1] + 1] if full else []

    def _print_block(self, block: str) -> None:
        self._print("prose", _Lines(self._laid_out(rendered(block))))

    def _end_thought(self) -> None:
        thought, self._thought = self._thought, ""
        if thought.strip():
            self._print("line", Text(thought_text(thought, self._console.width - 1), style="dim italic"))

    def _print(self, part: Part, renderable: RenderableType) -> None:
        if part == "prose" or part != self._last:
            self._console.print()
        self._console.print(renderable)
        self._last = part


class _Lines:
    """Lines that are laid out already."""

    def __init__(self, lines: Sequence[list[Segment]]) -> None:
        self._lines = lines

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for line in self._lines:
            yield from line
            yield Segment.line()


def _stripped(line: list[Segment]) -> list[Segment]:
    """Without the blanks that only fill the window: they would be copied with the text."""
    kept = list(line)
    while kept and not kept[-1].text.strip() and (kept[-1].style is None or kept[-1].style.bgcolor is None):
        kept.pop()
    return kept
