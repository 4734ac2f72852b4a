"""What scripts/bench computes and says. Nothing is timed here: a busy machine must not fail the suite."""

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from acp_agent.testing.model_server import ModelServer
from acp_agent.testing.script import Rule, Step

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
def opencode(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module that gets the peer."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    return importlib.import_module("benchlib.opencode")


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
    assert "no case 'moon'; there are: start, first-turn, serve-initialize" in refused.stderr
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
        ("serve-initialize", "acp serve"): (80, "value"),
        ("serve-first-turn", "acp serve"): (450, "value"),
        ("serve-first-turn", "acp serve, state used before"): (450, "value"),
        ("serve-chunks", "acp serve"): (20, "value"),
        ("serve-memory-initialize", "acp serve"): (50, "value"),
        ("serve-memory-50-turns", "acp serve"): (75, "value"),
        ("serve-memory-20-sessions", "acp serve"): (95, "value"),
        ("sandbox", "bwrap and filter"): (5.0, "over"),
        ("iteration", "acp loop"): (400, "over"),
        ("journal-100", "the journal"): (0.1, "ratio"),
        ("resume-1000", "claimed and folded"): (2.0, "value"),
        ("fleet-j1", "acp run -j 1"): (8.0, "value"),
        ("fleet-j4", "acp run -j 4"): (4.0, "value"),
        ("fleet-j8", "acp run -j 8"): (2.5, "value"),
        ("fleet-20", "acp run"): (1.0, "value"),
    }


def test_a_limit_that_may_hold_in_another_way_names_a_side_of_its_case(cases: ModuleType) -> None:
    found = {
        (case.name, side.name): (side.limit.instead, side.limit.beside)
        for case in cases.CASES
        for side in case.sides
        if side.limit is not None and side.limit.instead is not None
    }
    assert found == {
        ("serve-initialize", "acp serve"): (2, ""),
        ("serve-first-turn", "acp serve"): (0.25, "opencode acp"),
        ("serve-first-turn", "acp serve, state used before"): (0.25, "opencode acp, state used before"),
    }
    first_turn = next(case for case in cases.CASES if case.name == "serve-first-turn")
    assert {beside for _, beside in found.values() if beside} <= {side.name for side in first_turn.sides}


def test_a_limit_over_the_baseline_is_of_the_differences_round_by_round(figures: ModuleType) -> None:
    limit = figures.Limit(5.0, of="over")
    slow = figures.Figure("case", "ours", "ms", (12.0, 30.0, 13.0), (8.0, 20.0, 9.0), limit)
    assert (slow.over, slow.passed) == (4.0, True)
    assert slow.row()[5] == "pass <= 5 ms over the baseline (+4.0)"
    assert figures.Figure("case", "ours", "ms", (15.0,), (8.0,), limit).passed is False


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


def test_what_cannot_be_measured_is_a_row_that_says_why(
    cases: ModuleType, figures: ModuleType, opencode: ModuleType
) -> None:
    def absent(_: object) -> float:
        raise opencode.NotRun("no npm to install it with")

    limit = figures.Limit(1.0, instead=0.25, beside="peer")
    sides = (cases.Side("ours", lambda _: 2.0, limit), cases.Side("peer", absent))
    bare, ours, peer = cases.Case("case", "about", "s", cases.Side("bare", lambda _: 1.0), sides).measure(None, 1)
    assert (bare.samples, ours.samples, ours.passed) == ((1.0,), (2.0,), False)
    assert peer == figures.Absent("case", "peer", "no npm to install it with")
    assert peer.row() == ("case", "peer", "", "", "", "not run: no npm to install it with", "")
    assert peer.document() == {"case": "case", "name": "peer", "not_run": "no npm to install it with"}


@pytest.mark.parametrize(("own", "passed"), [(2.0, True), (2.1, False)])
def test_a_limit_also_holds_for_a_ratio_to_the_peer_it_names(figures: ModuleType, own: float, passed: bool) -> None:
    limit = figures.Limit(1.0, instead=0.25, beside="peer")
    ours = figures.Figure("case", "ours", "s", (own,), (1.0,), limit, rival=(8.0,))
    assert ours.passed is passed
    assert ours.row()[5] == f"{'pass' if passed else 'FAIL'} <= 1 s or 0.25x peer"
    assert ours.document()["limit"] == {
        "most": 1.0,
        "of": "value",
        "instead": {"ratio": 0.25, "beside": "peer"},
        "passed": passed,
    }


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


def test_without_npm_the_peer_is_told_as_missing(
    opencode: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(opencode.NotRun, match="no npm to install it with"):
        opencode.program(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_editor_has_a_turn_with_the_bare_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    editor = importlib.import_module("benchlib.editor")
    script = Rule(contains="hello", reply=Step(text="one two three", chunk=4))
    command = [sys.executable, "-m", "benchlib.bare_server"]
    with ModelServer([script]) as server:
        variables = {"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "sk-test", "ACP_MODEL": "openai/test-model"}
        with editor.opened(command, {**variables, "PYTHONPATH": str(ROOT / "scripts")}, tmp_path) as agent:
            assert agent.initialize().result == {"protocolVersion": 1, "agentCapabilities": {}}
            assert agent.prompt(agent.session(tmp_path), "hello").chunks == ["one ", "two ", "thre", "e"]


def test_an_agent_that_leaves_is_told_with_its_last_words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    editor = importlib.import_module("benchlib.editor")
    failed = importlib.import_module("benchlib.world").BenchFailed
    command = [sys.executable, "-c", "import sys; sys.exit('out of patience')"]
    with pytest.raises(failed, match="out of patience"), editor.opened(command, {}, tmp_path) as agent:
        agent.initialize()


@pytest.mark.parametrize("name", ["bare_agent.py", "benchlib/bare_server.py"])
def test_the_bare_agents_stay_bare(name: str) -> None:
    source = (ROOT / "scripts" / name).read_text(encoding="utf-8")
    assert len(source.splitlines()) <= 60
    assert "acp_agent" not in source
