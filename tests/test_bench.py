"""What scripts/bench computes and says. Nothing is timed here: a busy machine must not fail the suite."""

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run scripts/bench with the interpreter of the tests."""
    command = [sys.executable, "scripts/bench", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module that turns samples into figures."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    return importlib.import_module("benchlib.figures")


@pytest.fixture
def cases(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module that lists what is measured."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    return importlib.import_module("benchlib.cases")


def test_every_case_is_listed_with_what_it_is_about(cases: ModuleType) -> None:
    listed = bench("--list")
    assert (listed.returncode, listed.stderr) == (0, "")
    assert [line.split()[0] for line in listed.stdout.splitlines()] == [case.name for case in cases.CASES]


def test_an_unknown_case_is_refused_with_the_names_there_are() -> None:
    refused = bench("--case", "moon")
    assert refused.returncode == 2
    assert "no case 'moon'; there are: start, first-turn, turn" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_name_chooses_its_case_and_those_below_it_once(cases: ModuleType) -> None:
    names = [case.name for case in cases.chosen(["fleet", "fleet-j1", "turn"])]
    assert names == ["turn", "fleet-j1", "fleet-j4", "fleet-j8", "fleet-20"]
    assert cases.chosen([]) == list(cases.CASES)


def test_the_limits_are_those_of_the_project(cases: ModuleType) -> None:
    limits = {
        (case.name, side.name): (side.limit.most, side.limit.of)
        for case in cases.CASES
        for side in case.sides
        if side.limit is not None
    }
    assert limits == {
        ("start", "acp --help"): (3.0, "ratio"),
        ("start", "acp ps"): (3.0, "ratio"),
        ("start", "acp projects ls"): (3.0, "ratio"),
        ("fleet-j1", "acp run -j 1"): (8.0, "value"),
        ("fleet-j4", "acp run -j 4"): (4.0, "value"),
        ("fleet-j8", "acp run -j 8"): (2.5, "value"),
        ("fleet-20", "acp run"): (1.0, "value"),
    }


def test_samples_are_taken_in_turn_after_a_round_that_does_not_count(cases: ModuleType) -> None:
    taken: list[str] = []

    def sample(name: str, value: float) -> float:
        taken.append(name)
        return value + len(taken)

    sides = [cases.Side(name, lambda _, name=name: sample(name, 0.0)) for name in ("bare", "ours")]
    case = cases.Case("case", "about", "s", sides[0], (sides[1],))
    bare, ours = case.measure(None, 2)
    assert taken == ["ours", "bare", "bare", "ours", "ours", "bare"]
    assert (bare.samples, ours.samples, ours.baseline) == ((3.0, 6.0), (4.0, 5.0), (3.0, 6.0))


def test_a_ratio_is_taken_round_by_round(figures: ModuleType) -> None:
    # The second round ran on a machine ten times as busy: the ratio of the medians would be 11.
    ours = figures.Figure("case", "ours", "ms", (20.0, 220.0, 22.0), (10.0, 100.0, 2.0))
    assert (ours.median, ours.ratio) == (22.0, 2.2)


@pytest.mark.parametrize(
    ("most", "of", "passed", "verdict"),
    [
        (4.0, "value", True, "pass <= 4 s"),
        (3.9, "value", False, "FAIL <= 3.9 s"),
        (2.0, "ratio", True, "pass <= 2x"),
        (1.5, "ratio", False, "FAIL <= 1.5x"),
    ],
)
def test_a_limit_holds_for_the_median_or_for_the_ratio(
    figures: ModuleType, most: float, of: str, passed: bool, verdict: str
) -> None:
    ours = figures.Figure("case", "ours", "s", (3.0, 4.0, 5.0), (2.0, 2.0, 2.0), figures.Limit(most, of), 1.25)
    assert ours.passed is passed
    assert ours.row() == ("case", "ours", "4.00 s", "3.00 - 5.00", "2.00x", verdict, "1.2")


def test_the_table_names_a_case_once(figures: ModuleType) -> None:
    bare = figures.Figure("turn", "bare", "ms", (1.0,))
    ours = figures.Figure("turn", "ours", "ms", (12.5,), (1.0,), load=0.5)
    assert figures.table([bare, ours]).splitlines() == [
        "case  measured  median   spread       ratio     limit  load",
        "turn  bare      1.00 ms  1.00 - 1.00  baseline         0.0",
        "      ours      12.5 ms  12.5 - 12.5  12.50x           0.5",
    ]


def test_the_document_holds_samples_and_verdicts(figures: ModuleType) -> None:
    ours = figures.Figure("turn", "ours", "ms", (3.0, 1.0), (1.0, 1.0), figures.Limit(1.0))
    assert json.loads(json.dumps(ours.document())) == {
        "case": "turn",
        "name": "ours",
        "unit": "ms",
        "median": 2.0,
        "samples": [3.0, 1.0],
        "ratio": 2.0,
        "limit": {"most": 1.0, "of": "value", "passed": False},
        "load": 0.0,
    }


def test_the_bare_agent_stays_bare() -> None:
    source = (ROOT / "scripts" / "bare_agent.py").read_text(encoding="utf-8")
    assert len(source.splitlines()) <= 60
    assert "acp_agent" not in source
