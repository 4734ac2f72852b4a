"""What a person is told of results: failed gates, places with changes in no commit, questions, interruptions."""

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from inline_snapshot import snapshot

from acp_agent.domain.events import (
    Accepted,
    ApprovalAsked,
    Committed,
    Fact,
    GateFinished,
    ModelCalled,
    Parked,
    RunEnded,
    ToolStarted,
    WorkspacePrepared,
)
from acp_agent.domain.tool import Intent, Risk
from acp_agent.fleet.view import BatchView, Row
from acp_agent.surfaces.cli.details import Details, GateFailure
from acp_agent.surfaces.cli.report import report

Acp = Callable[..., Any]
Put = Callable[..., str]

READY: Fact = WorkspacePrepared(path="/somewhere")
COMMIT: Fact = Committed(commit="abcdef0123456789", files=1, added=2, removed=0)
END: Fact = RunEnded(reason="end_turn")
MISSING = "sh: 1: pytest: not found\n"


def gate(name: str, exit_status: int | None, output: str) -> GateFinished:
    return GateFinished(gate=name, passed=exit_status == 0, exit_status=exit_status, seconds=0.1, output=output)


BROKEN: list[Fact] = [READY, gate("tests", 127, MISSING), COMMIT, RunEnded(reason="end_turn", message="gate tests...")]
ASKED: list[Fact] = [
    READY,
    ModelCalled(call_id="m_1", model="openai/small"),
    ApprovalAsked(
        call_id="c_1",
        tool="write_file",
        risk=Risk.LOCAL,
        title="Write a.py",
        preview="--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n-old\n+new\n",
    ),
    Parked(waiting="approval", detail="Write a.py", call_id="c_1"),
]
UNKNOWN: list[Fact] = [
    READY,
    ToolStarted(call_id="c_1", tool="shell", risk=Risk.LOCAL, intent=Intent(title="make deploy")),
    Parked(waiting="outcome_unknown", detail="make deploy: nobody knows.", call_id="c_1"),
]


def utf8() -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding="utf-8")


def clockless(text: str) -> str:
    return re.sub(r"\b\d\d:\d\d:\d\d\b", "HH:MM:SS", re.sub(r"2m0\ds", "2m00s", text))


def ended(project: str, **values: Any) -> Row:
    base = {"status": "ended", "reason": "end_turn", "started_at": 1000.0, "ended_at": 1042.0, "steps": 3}
    return Row(run_id=f"r_{project}", project=project, **{**base, **values})


def batch(*rows: Row) -> BatchView:
    return BatchView("b_x", "fix it", {row.run_id: row for row in rows})


def test_a_report_has_what_a_failed_gate_printed_last_once_for_all_projects_it_said_it_to() -> None:
    missing = Details(gates=(GateFailure("tests", 127, MISSING),))
    loud = Details(gates=(GateFailure("lint", 3, "\n".join(f"line {number}\x1b[31m" for number in range(20))),))
    view = batch(*(ended(name, failed_gates=("tests",)) for name in ("api", "web")), ended("lib", failed_gates=("x",)))
    told = report(view, utf8(), {"r_api": missing, "r_web": missing, "r_lib": loud})
    assert told.partition("\n\n")[2] == snapshot("""\
3/3 done, $0.00, 42s

✗ failed: gate tests: exit status 127
  api, web
  | sh: 1: pytest: not found

✗ failed: gate lint: exit status 3
  lib
  | line 10\\x1b[31m
  | line 11\\x1b[31m
  | line 12\\x1b[31m
  | line 13\\x1b[31m
  | line 14\\x1b[31m
  | line 15\\x1b[31m
  | line 16\\x1b[31m
  | line 17\\x1b[31m
  | line 18\\x1b[31m
  | line 19\\x1b[31m

next:
  acp logs b_x/api\
""")


def test_show_and_logs_have_name_exit_status_and_last_lines_of_a_failed_gate(acp: Acp, put_on_record: Put) -> None:
    put_on_record(api=BROKEN, web=BROKEN)
    shown = clockless(acp("show", "r_api").stdout)
    assert shown.startswith("status    ✗ failed: gate tests failed: exit status 127\n")
    assert "gate      tests failed: exit status 127\n  | sh: 1: pytest: not found\n" in shown
    assert acp("show", "b_aaaa").stdout.endswith(
        "✗ failed: gate tests: exit status 127\n  api, web\n  | sh: 1: pytest: not found\n"
    )
    assert clockless(acp("logs", "r_api").stdout).splitlines()[2:4] == snapshot(
        [
            "HH:MM:SS api  gate tests failed in 0.1s: exit status 127: sh: 1: pytest: not found",
            "  | sh: 1: pytest: not found",
        ]
    )
    assert "✗ failed  gate tests..." in acp("ps").stdout


def test_json_has_the_failures_of_gates_and_where_a_result_lies(acp: Acp, put_on_record: Put, tmp_path: Path) -> None:
    left = tmp_path / "worktrees" / "b_aaaaaaaa" / "web"
    left.mkdir(parents=True)
    put_on_record(api=BROKEN, web=[READY, END])
    document = json.loads(acp("show", "b_aaaa", "-o", "json").stdout)
    assert [(row["gate_failures"], row["left_in"]) for row in document["projects"]] == [
        ([{"gate": "tests", "exit_status": 127, "output": MISSING}], None),
        ([], str(left)),
    ]


def test_changes_in_no_commit_are_shown_with_their_place_and_what_keeps_them() -> None:
    left = Details(left_in="/state/my worktrees/api")
    told = report(batch(ended("api", text="Done.")), utf8(), {"r_api": left})
    assert told.partition("\n\n")[2] == snapshot("""\
1/1 done, $0.00, 42s

api:
  Done.

in no commit yet:
  api: /state/my worktrees/api

next:
  acp diff b_x/api
  (cd '/state/my worktrees/api' && git add --all && git commit) && acp accept b_x/api
  acp reject b_x/api\
""")
    inplace = Details(left_in="/code/api", inplace=True)
    assert report(batch(ended("api")), utf8(), {"r_api": inplace}).endswith("next:\n  git -C /code/api diff")


def test_show_says_whether_anything_was_left(acp: Acp, put_on_record: Put, tmp_path: Path) -> None:
    left = tmp_path / "worktrees" / "b_aaaaaaaa" / "web"
    left.mkdir(parents=True)
    put_on_record(api=[READY, Committed(commit=None), END], web=[READY, END])
    assert "\nresult    nothing changed\n" in acp("show", "r_api").stdout
    shown = acp("show", "r_web").stdout
    assert f"\nresult    in no commit yet, in {left}\n" in shown
    assert f"\nnext      acp diff b_aaaaaaaa/web, then commit in {left} and acp accept b_aaaaaaaa/web" in shown
    _, _, api, web = acp("ps").stdout.splitlines()
    assert "nothing changed" in api
    assert "changed, not committed" in web


def test_show_of_a_waiting_run_has_the_change_it_asks_for_and_the_question_once(acp: Acp, put_on_record: Put) -> None:
    put_on_record(api=ASKED, web=UNKNOWN)
    shown = clockless(acp("show", "r_api").stdout)
    assert "would change\n  --- a/a.py\n  +++ b/a.py\n  @@ -1 +1 @@\n  -old\n  +new\n" in shown
    assert shown.count("Write a.py") == 2
    assert clockless(acp("show", "r_web").stdout).splitlines()[:4] == snapshot(
        [
            "status    ◆ waiting: outcome_unknown",
            "last      make deploy (2m ago)",
            "next      waits for you: acp approve b_aaaaaaaa/web --done  # or --retry, --skip",
            "approval  make deploy: nobody knows.",
        ]
    )
    assert acp("show", "r_web").stdout.count("nobody knows") == 1
    assert "approval  2 runs wait for an answer: acp approve --list\n" in acp("show", "b_").stdout


def test_several_waiting_runs_are_approved_by_name_and_never_blindly(acp: Acp, put_on_record: Put) -> None:
    put_on_record(api=ASKED, web=ASKED, lib=ASKED)
    said = acp("approve")
    assert (said.code, said.stderr) == (
        2,
        "acp: 3 runs wait for an answer: b_aaaaaaaa/api, b_aaaaaaaa/web, b_aaaaaaaa/lib\n"
        "hint: acp approve --list, then name each that you have seen: "
        "acp approve b_aaaaaaaa/api b_aaaaaaaa/web\n",
    )
    said = acp("approve", "b_aaaa/api", "b_aaaa/web", "--no-resume")
    assert (said.code, said.stderr) == (
        0,
        "b_aaaaaaaa/api: allow: Write a.py\nb_aaaaaaaa/web: allow: Write a.py\ncontinue with: acp resume b_aaaaaaaa\n",
    )
    assert [line.split()[0] for line in acp("approve", "--list").stdout.splitlines()[1:]] == ["b_aaaaaaaa/lib"]
    assert acp("approve", "--list", "b_aaaa/web").stderr == "nothing waits for an answer\n"


def test_resume_points_to_what_waits(acp: Acp, put_on_record: Put) -> None:
    put_on_record(api=ASKED, web=UNKNOWN)
    # The batch itself was never ended, so the first resume closes it.
    assert acp("resume", "-o", "quiet").code == 4
    assert acp("resume")[::2] == (
        4,
        "acp: nothing was interrupted: 2 runs wait for your answer\nhint: acp approve --list\n",
    )
    assert acp("resume", "b_aaaa/web")[::2] == (
        4,
        "acp: b_aaaa/web has nothing to go on with: 1 run waits for your answer\n"
        "hint: acp approve b_aaaaaaaa/web --done # or --retry, --skip\n",
    )


LANDED: list[Fact] = [READY, COMMIT, END, Accepted(commit="c" * 40, target="main")]


@pytest.mark.parametrize(
    ("verb", "name", "code", "said"),
    [
        ("accept", "/waits", 6, "waiting for approval\nhint: acp approve b_aaaaaaaa/waits # or --deny"),
        ("accept", "/queued", 6, "queued\nhint: acp resume b_aaaaaaaa"),
        ("reject", "/begun", 6, "interrupted\nhint: acp cancel b_aaaaaaaa/begun ends it"),
        (
            "accept",
            "",
            5,
            "1 failed, 1 accepted already, 1 waiting for approval, 1 nothing changed, 1 queued, 1 interrupted\n"
            "hint: acp accept b_aaaaaaaa/broken takes it all the same",
        ),
    ],
)
def test_what_cannot_be_accepted_or_rejected_is_told_why(
    acp: Acp, put_on_record: Put, verb: str, name: str, code: int, said: str
) -> None:
    put_on_record(broken=BROKEN, landed=LANDED, waits=ASKED, same=[READY, END], queued=[], begun=[READY])
    assert acp(verb, f"b_aaaa{name}") == (code, "", f"acp: nothing to {verb} in b_aaaa{name}: {said}\n")


def test_what_has_landed_or_left_nothing_is_told_so(acp: Acp, put_on_record: Put, tmp_path: Path) -> None:
    put_on_record(landed=LANDED)
    said = acp("accept", "b_aaaa/landed")
    assert (said.code, said.stderr) == (
        5,
        f"acp: b_aaaaaaaa/landed: r_landed was accepted already\nhint: git show {'c' * 40}\n",
    )
    assert acp("reject", "b_aaaa/landed").code == 5


def test_an_interrupted_batch_is_called_so_and_its_time_stands(acp: Acp, put_on_record: Put) -> None:
    put_on_record(api=[READY, ModelCalled(call_id="m_1", model="openai/small")])
    assert acp("ps").stdout.splitlines()[2].split()[2:6] == ["◌", "interrupted", "asks", "openai/small"]
    assert acp("show", "b_aaaa").stdout.startswith("status    ◌ interrupted\n")
    row = Row(run_id="r_a", project="api", status="running", started_at=1.0, updated_at=4.0)
    assert "● running" in report(batch(row), utf8())
    assert report(batch(row), utf8(), interrupted=True) == snapshot("""\
project  result         time
api      ◌ interrupted  3.0s

0/1 done, $0.00, 3.0s\
""")


def test_the_time_of_a_waiting_run_stands_still() -> None:
    row = Row(run_id="r_a", project="api", status="waiting", waiting_for="approval", started_at=1.0, updated_at=4.5)
    assert "3.5s" in report(batch(row), utf8()).splitlines()[1]


def test_the_same_words_of_many_projects_are_said_once() -> None:
    rows = [ended(f"p{number}", text="Done.") for number in range(3)] + [ended("api", text="One.\nTwo.")]
    assert report(batch(*rows), utf8()).split("\n\n")[2:] == ["api:\n  One.\n  Two.", "p0, p1, p2: Done."]


def test_a_long_error_is_cut_in_the_report() -> None:
    told = report(batch(ended("api", reason="error", message="word " * 400)), utf8())
    assert max(len(line) for line in told.splitlines()) < 330
