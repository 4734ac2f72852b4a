"""What an editor meets: an agent that it starts and speaks the Agent Client Protocol with, beside its peers.

The bare server is the least that speaks the protocol; `opencode acp` is a whole agent, its program started without the
launcher of its package. All times begin with the exec, or with the prompt in a warm process.
"""

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Literal, NamedTuple

from benchlib.case import Case, Side
from benchlib.editor import Answer, Editor, opened
from benchlib.figures import Limit
from benchlib.opencode import NotRun, environment
from benchlib.world import SAY_MUCH, SAY_OK, WORDS, BenchFailed, World, acp

Who = Literal["bare", "ours", "opencode"]
BARE, OURS, OPENCODE = "bare server", "acp serve", "opencode acp"
USED = ", state used before"
TURNS, WARM_UP = 7, 2


class Desk(NamedTuple):
    """A running agent's editor, and the repository it is opened in."""

    editor: Editor
    root: Path


Measure = Callable[[Desk], float]


@contextmanager
def _desk(who: Who, world: World, used: bool = False) -> Iterator[Desk]:
    """An agent with an empty state, or with one that earlier processes have left."""
    if who == "opencode":
        with _opencode(world, used) as desk:
            yield desk
    elif used:
        place = world.lived_in
        with opened(_console_script(), place.variables, place.folder) as editor:
            yield Desk(editor, place.repositories(1)[0])
    else:
        command = _console_script() if who == "ours" else [sys.executable, "-m", "benchlib.bare_server"]
        with world.fresh(1) as place, opened(command, place.variables, place.folder) as editor:
            yield Desk(editor, place.repositories(1)[0])


@contextmanager
def _opencode(world: World, used: bool) -> Iterator[Desk]:
    if isinstance(world.opencode, str):
        raise NotRun(world.opencode)
    command = [str(world.opencode), "acp"]
    with world.fresh(1) as place, tempfile.TemporaryDirectory(dir=world.folder, ignore_cleanup_errors=True) as empty:
        home = world.folder / "opencode-home" if used else Path(empty)
        home.mkdir(exist_ok=True)
        with opened(command, environment(home, world.url), place.folder) as editor:
            yield Desk(editor, place.repositories(1)[0])


def _console_script() -> list[str]:
    script = Path(sys.executable).parent / "acp"
    return [str(script), "serve"] if script.is_file() else acp("serve")


def _sample(who: Who, measure: Measure, used: bool, world: World) -> float:
    with _desk(who, world, used) as desk:
        return measure(desk)


def _to_initialize(desk: Desk) -> float:
    return (desk.editor.initialize().at - desk.editor.began) * 1000


def _to_first_turn(desk: Desk) -> float:
    desk.editor.initialize()
    answer = desk.editor.prompt(desk.editor.session(desk.root), SAY_OK)
    if "".join(answer.chunks) != "ok":
        raise BenchFailed(f"the model said ok, but told was {answer.chunks}")
    return (answer.at - desk.editor.began) * 1000


def _many_chunks(every: bool, desk: Desk) -> float:
    """A turn of 200 words that the server sends at once. Where it is asked, every one must arrive by itself."""
    desk.editor.initialize()
    session_id = desk.editor.session(desk.root)
    samples = []
    for _ in range(WARM_UP + TURNS):
        began = time.perf_counter()
        answer = desk.editor.prompt(session_id, SAY_MUCH)
        samples.append((answer.at - began) * 1000)
        _check(answer, every)
    return median(samples[WARM_UP:])


def _check(answer: Answer, every: bool) -> None:
    words = "".join(answer.chunks).count("word")
    if words != WORDS or (every and len(answer.chunks) != WORDS):
        raise BenchFailed(f"{WORDS} chunks were streamed, but {words} words came in {len(answer.chunks)} chunks")


def _memory(which: str, before: Callable[[Desk], None], settled: bool, desk: Desk) -> float:
    if sys.platform != "linux":
        raise NotRun("only Linux tells the memory of a running process")
    desk.editor.initialize()
    before(desk)
    if settled:
        desk.editor.settle()
    return desk.editor.memory(which)


def _nothing(desk: Desk) -> None:
    """Only `initialize`: the agent goes on to import what it will need."""


def _fifty_turns(desk: Desk) -> None:
    session_id = desk.editor.session(desk.root)
    for _ in range(50):
        desk.editor.prompt(session_id, SAY_OK)


def _twenty_sessions(desk: Desk) -> None:
    for _ in range(20):
        desk.editor.prompt(desk.editor.session(desk.root), SAY_OK)


def _side(name: str, who: Who, measure: Measure, limit: Limit | None = None, used: bool = False) -> Side:
    return Side(name, partial(_sample, who, measure, used), limit)


def _three(measure: Measure, limit: Limit) -> tuple[Side, tuple[Side, ...]]:
    """The baseline, and what is held against it."""
    others = (_side(OURS, "ours", measure, limit), _side(OPENCODE, "opencode", measure))
    return _side(BARE, "bare", measure), others


def serve_cases() -> Iterator[Case]:
    """The cases of an agent that an editor starts."""
    yield Case(
        "serve-initialize",
        "exec to the answer to initialize, with an empty state",
        "ms",
        *_three(_to_initialize, Limit(80, instead=2)),
    )
    baseline, others = _three(_to_first_turn, Limit(450, instead=0.25, beside=OPENCODE))
    used = Limit(450, instead=0.25, beside=OPENCODE + USED)
    again = (
        _side(OURS + USED, "ours", _to_first_turn, used, used=True),
        _side(OPENCODE + USED, "opencode", _to_first_turn, used=True),
    )
    yield Case("serve-first-turn", "exec to the end of a first turn, lean path", "ms", baseline, (*others, *again))
    yield Case(
        "serve-chunks",
        f"a turn of {WORDS} chunks, each told by itself, in a warm process",
        "ms",
        _side(BARE, "bare", partial(_many_chunks, True)),
        (
            _side(OURS, "ours", partial(_many_chunks, True), Limit(20)),
            _side(OPENCODE, "opencode", partial(_many_chunks, False)),
        ),
    )
    yield from _memory_cases()


def _memory_cases() -> Iterator[Case]:
    work: dict[str, tuple[str, Callable[[Desk], None], float]] = {
        "initialize": ("initialize, once its imports are done", _nothing, 50),
        "50-turns": ("50 turns of one session", _fifty_turns, 75),
        "20-sessions": ("a turn in each of 20 sessions", _twenty_sessions, 95),
    }
    for name, (after, before, most) in work.items():
        now, peak = (partial(_memory, which, before, True) for which in ("VmRSS", "VmHWM"))
        baseline, (ours, opencode) = _three(now, Limit(most))
        at_once = [_side(f"{OURS}, as it answers", "ours", partial(_memory, "VmRSS", before, False))]
        more = (_side(f"{OURS}, at its peak", "ours", peak), *(at_once if before is _nothing else ()))
        about = f"resident memory after {after}"
        yield Case(f"serve-memory-{name}", about, "MB", baseline, (ours, *more, opencode))
