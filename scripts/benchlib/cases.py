"""All that is measured: commands, turns in a warm process, fleets; what an editor meets is in benchlib.serving."""

import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from benchlib.case import Case, Side
from benchlib.figures import Limit
from benchlib.looping import loop_cases
from benchlib.recording import recording_cases
from benchlib.serving import serve_cases
from benchlib.srt import milliseconds as srt_milliseconds
from benchlib.world import (
    EDIT,
    READ_ONE,
    SAY_OK,
    SAY_OK_LATE,
    BenchFailed,
    Ended,
    World,
    acp,
    bare,
    inside,
)

IMPORT_CLICK = [sys.executable, "-c", "import click"]


def chosen(names: Sequence[str]) -> list[Case]:
    """The cases of these names, or whose names begin with one of them and a dash; all for no name.

    Raises KeyError for a name that is none.
    """
    found = []
    for name in names:
        fitting = [case for case in CASES if case.name == name or case.name.startswith(f"{name}-")]
        if not fitting:
            raise KeyError(name)
        found += fitting
    return [case for case in CASES if case in found] if names else list(CASES)


def _seconds(ended: Ended) -> float:
    return ended.seconds


def _milliseconds(ended: Ended) -> float:
    return ended.seconds * 1000


def _peak(ended: Ended) -> float:
    return ended.peak


Reading = Callable[[Ended], float]


def _plain(command: Sequence[str], reading: Reading, world: World) -> float:
    """A process with an empty state of its own, beside repositories it leaves as they are."""
    with world.fresh() as place:
        return reading(place.run(command))


def _listing(command: Sequence[str], reading: Reading, world: World) -> float:
    """A process that finds forty projects and runs to list."""
    return reading(world.lived_in.run(command))


def _inside(who: str, what: str, world: World) -> float:
    """A measurement within one process (benchlib.inside), in place in repositories that it only reads."""
    with world.fresh() as place:
        folders = [str(path) for path in world.untouched.repositories(20)]
        return float(place.run([*inside(who, what), *folders]).stdout) * 1000


def _fleet(prompt: str, count: int, options: Sequence[str], reading: Reading, world: World) -> float:
    """`acp run` over projects, each in a worktree of its own, held against what is on record."""
    with world.fresh(count) as place:
        ended = place.run(acp("run", prompt, "--all", *options))
        worked = place.recorded("workspace_prepared"), place.recorded("run_ended")
        if worked != (count, count):
            raise BenchFailed(f"{count} projects, but (worktrees, ends) on record are {worked}")
        return reading(ended)


def _bare(prompt: str, count: int, jobs: int, reading: Reading, world: World) -> float:
    """The bare agent in the checkouts of the same projects."""
    place = world.untouched
    return reading(place.run(bare(jobs, prompt, place.repositories(count))))


def _first_turn(world: World) -> float:
    with world.fresh(1) as place:
        return _milliseconds(place.run(acp("run", SAY_OK, str(place.repositories(1)[0]))))


def _inside_cases() -> Iterator[Case]:
    pieces = {
        "turn": "one-chunk durable turn in a warm process",
        "loop": "20 reads, one model call each, in a warm process",
        "many": "20 sessions at once, one read each, in a warm process",
    }
    for what, about in pieces.items():
        sides = (Side(who, partial(_inside, who, what)) for who in ("bare", "ours"))
        baseline, own = sides
        yield Case(what, about, "ms", baseline, (own,))


def _fleet_cases() -> Iterator[Case]:
    for jobs, most in ((1, 8.0), (4, 4.0), (8, 2.5)):
        yield Case(
            f"fleet-j{jobs}",
            f"acp run over 40 projects at -j {jobs}, the model answers after 100 ms",
            "s",
            Side(f"bare, {jobs} at once", partial(_bare, SAY_OK_LATE, 40, jobs, _seconds)),
            (Side(f"acp run -j {jobs}", partial(_fleet, SAY_OK_LATE, 40, ("-j", str(jobs)), _seconds), Limit(most)),),
        )
    yield Case(
        "fleet-20",
        "acp run over 20 projects, the model answers at once",
        "s",
        Side("bare, 4 at once", partial(_bare, SAY_OK, 20, 4, _seconds)),
        (
            Side("acp run", partial(_fleet, SAY_OK, 20, (), _seconds), Limit(1.0)),
            Side("acp run, each edits and commits", partial(_fleet, EDIT, 20, (), _seconds)),
        ),
    )


def _memory_cases() -> Iterator[Case]:
    for count in (1, 20):
        yield Case(
            f"memory-{count}",
            f"peak resident memory with {count} session{'s' * (count > 1)} at once",
            "MB",
            Side("bare", partial(_bare, READ_ONE, count, count, _peak)),
            (Side("acp run", partial(_fleet, READ_ONE, count, ("-j", str(count)), _peak)),),
        )


def _start_up() -> Case:
    limit = Limit(3.0, of="ratio")
    return Case(
        "start",
        "how long a person waits for the fast commands",
        "ms",
        Side('python -c "import click"', partial(_plain, IMPORT_CLICK, _milliseconds)),
        (
            Side("acp --help", partial(_plain, acp("--help"), _milliseconds), limit),
            Side("acp ps", partial(_listing, acp("ps"), _milliseconds), limit),
            Side("acp projects ls", partial(_listing, acp("projects", "ls"), _milliseconds), limit),
        ),
    )


def _command(level: str, world: World) -> float:
    """One command as the shell tool runs it (benchlib.commands), in a repository."""
    with world.fresh(1) as place:
        command = [sys.executable, "-m", "benchlib.commands", level, str(place.repositories(1)[0])]
        return float(place.run(command).stdout) * 1000


def _sandbox() -> Case:
    return Case(
        "sandbox",
        "one command (`true`) in a warm process: what the sandbox adds to it",
        "ms",
        Side("level none: limits alone", partial(_command, "none")),
        (
            Side("the bare program", partial(_command, "bare")),
            Side("bwrap by itself, one mount", partial(_command, "plain")),
            Side("bwrap and filter", partial(_command, "bwrap"), Limit(5.0, of="over")),
            Side("landlock and filter", partial(_command, "landlock")),
            Side("srt (npm), its command", srt_milliseconds),
        ),
    )


CASES: tuple[Case, ...] = (
    _start_up(),
    Case(
        "first-turn",
        "a whole process with one turn: workplace, ledger and result against nothing but the words",
        "ms",
        Side("bare", partial(_bare, SAY_OK, 1, 1, _milliseconds)),
        (Side("acp run", _first_turn),),
    ),
    *serve_cases(),
    _sandbox(),
    *_inside_cases(),
    *loop_cases(),
    *recording_cases(),
    *_memory_cases(),
    *_fleet_cases(),
)
