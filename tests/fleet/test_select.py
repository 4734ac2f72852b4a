"""What a selection means, and that nothing never means everything."""

import subprocess
import sys
from dataclasses import dataclass

import pytest

from acp_agent.domain.errors import AcpAgentError, ExitCode, NothingSelected, UsageError
from acp_agent.fleet.select import Selection, select


@dataclass(frozen=True)
class Listed:
    name: str
    tags: tuple[str, ...]


FLEET = [
    Listed("api", ("python", "service")),
    Listed("web", ("node",)),
    Listed("worker", ("python", "rust")),
    Listed("old", ("python", "legacy", "service")),
]


def names(selection: Selection) -> list[str]:
    return [entry.name for entry in select(FLEET, selection)]


@pytest.mark.parametrize(
    ("selection", "chosen"),
    [
        (Selection(tags=("python",)), ["api", "worker", "old"]),
        (Selection(tags=("python, service",)), ["api", "old"]),
        (Selection(tags=("python", "service")), ["api", "old"]),
        (Selection(expression="(python || node) && !legacy"), ["api", "web", "worker"]),
        (Selection(expression="python && !archived"), ["api", "worker", "old"]),
        (Selection(names=("worker", "api")), ["api", "worker"]),
        (Selection(names=("worker", "web"), tags=("python",)), ["worker"]),
        (Selection(all=True), ["api", "web", "worker", "old"]),
        (Selection(all=True, tags=("node",)), ["web"]),
        (Selection(all=True, limit=2), ["api", "web"]),
        (Selection(tags=("python",), limit=99), ["api", "worker", "old"]),
    ],
)
def test_each_part_narrows_what_the_others_leave(selection: Selection, chosen: list[str]) -> None:
    assert names(selection) == chosen


@pytest.mark.parametrize(
    ("selection", "what", "hint"),
    [
        (Selection(), "nothing is selected", "Select with"),
        (Selection(limit=3), "nothing is selected", "Select with"),
        (Selection(tags=("pythn",)), 'no project has the tag "pythn"', "Did you mean python?"),
        (Selection(tags=("zzz",)), 'no project has the tag "zzz"', "Select with"),
        (Selection(names=("api", "webb")), 'no project is called "webb"', "Did you mean web?"),
        (Selection(expression="python || ruts"), 'no project has the tag "ruts"', "Did you mean rust?"),
        (Selection(expression="python && !legcay"), 'no project has the tag "legcay"', "Did you mean legacy?"),
        (Selection(tags=("node",), names=("api",)), "no project fits the selection", "Select with"),
        (Selection(tags=("a\nb",)), "no project has the tag 'a\\nb'", "Select with"),
    ],
)
def test_nothing_selected_exits_5_and_says_how_to_select(selection: Selection, what: str, hint: str) -> None:
    with pytest.raises(NothingSelected) as caught:
        names(selection)
    assert (caught.value.what, caught.value.exit_code) == (what, ExitCode.NOTHING)
    assert str(caught.value.hint).startswith(hint)


@pytest.mark.parametrize(
    "selection",
    [Selection(expression="python &&"), Selection(tags=(",",)), Selection(tags=("",)), Selection(all=True, limit=0)],
)
def test_a_selection_that_says_nothing_sensible_exits_2(selection: Selection) -> None:
    with pytest.raises(UsageError):
        names(selection)


def test_an_empty_fleet_points_at_init() -> None:
    with pytest.raises(AcpAgentError) as caught:
        select([], Selection(all=True))
    assert (caught.value.exit_code, str(caught.value.hint)[:8]) == (ExitCode.NOTHING, "acp init")


def test_selecting_imports_nothing_heavy() -> None:
    heavy = {"pydantic", "anyio", "difflib"}
    code = f"import sys, acp_agent.fleet.select; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
