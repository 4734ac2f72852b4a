"""The result of a batch for people and for machines, and the live table at every width."""

import io
from typing import Any

import pytest
from inline_snapshot import snapshot
from rich.console import Console

from acp_agent.fleet.view import BatchView, Row
from acp_agent.surfaces.cli.document import batch_document, event_document
from acp_agent.surfaces.cli.grid import painted
from acp_agent.surfaces.cli.live import live_table
from acp_agent.surfaces.cli.report import report, result_grid
from acp_agent.surfaces.cli.text import cells

OK = {"status": "ended", "reason": "end_turn", "started_at": 1000.0, "ended_at": 1042.0, "steps": 3}
NO_MODEL = "no model answered: openai/small: auth: invalid key"


def batch(*rows: Row) -> BatchView:
    return BatchView("b_x", "fix it", {row.run_id: row for row in rows})


def done(project: str, **values: Any) -> Row:
    return Row(run_id=f"r_{project}", project=project, **{**OK, **values})


def failed(project: str, message: str = NO_MODEL) -> Row:
    return done(project, reason="error", message=message, steps=0)


def utf8() -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding="utf-8")


EDITED = {"commit": "abc", "branch": "acp/b_x/api", "files": 2, "added": 10, "removed": 2}


def test_a_report_has_the_table_the_answers_the_errors_and_the_next_steps() -> None:
    view = batch(
        done("api", text="Fixed.\nAll of it.", cost=0.0123, tokens_in=12000, tokens_out=345, **EDITED),
        failed("web"),
        failed("worker"),
        Row(
            run_id="r_tool", project="tool", status="waiting", waiting_for="approval", asked=("c", "git push"), steps=1
        ),
    )
    assert report(view, utf8()) == snapshot("""\
project  result     steps  tokens     cost  time  changes  branch
api      ✓ ok           3   12.3k  $0.0123   42s  +10 -2   acp/b_x/api
web      ✗ failed                            42s
worker   ✗ failed                            42s
tool     ◆ waiting      1       0    $0.00

3/4 done, $0.0123, 12.3k tokens, +10 -2, 42s

api:
  Fixed.
  All of it.

✗ failed: no model answered: openai/small: auth: invalid key
  web, worker

◆ waiting: tool: approval: git push

next:
  acp diff b_x/api
  acp accept b_x
  acp approve b_x/tool  # or --deny
  acp logs b_x/web\
""")


def test_structured_answers_get_a_column_for_each_field() -> None:
    view = batch(
        done("api", answer={"outdated": ["a", "b"], "risk": "low", "ok": True}, text="{...}", cost_known=False),
        done("web", answer={"outdated": [], "risk": None, "ok": False}, cost=0.5),
        done("lib", answer={"outdated": [{"name": "x"}], "risk": "[red]high\x1b[0m", "ok": False}, cost=0.5),
    )
    assert report(view, utf8()) == snapshot("""\
project  result  outdated         risk              ok   steps  tokens   cost  time
api      ✓ ok    a, b             low               yes      3       0      ?   42s
web      ✓ ok                                       no       3       0  $0.50   42s
lib      ✓ ok    [{"name": "x"}]  [red]high\\x1b[0m  no       3       0  $0.50   42s

3/3 done, ≥$1.00, 42s\
""")


def test_long_answers_are_cut_among_many_and_whole_alone() -> None:
    text = "\n".join(f"line {number}" for number in range(100))
    assert "line 99" in report(batch(done("api", text=text)), utf8())
    several = report(batch(done("api", text=text), done("web", text="short")), utf8())
    assert "line 11\n  ... 88 more lines: acp show b_x/api" in several


def test_only_ascii_goes_to_a_stream_that_knows_no_more() -> None:
    view = batch(done("api", cost=0.5, cost_known=False), failed("web"))
    report(view, io.TextIOWrapper(io.BytesIO(), encoding="ascii")).encode("ascii")


def test_the_document_says_null_where_no_price_is_known() -> None:
    view = batch(done("api", cost_known=False, tokens_in=7, **EDITED))
    assert batch_document(view, 0, "end_turn") == snapshot(
        {
            "v": 1,
            "batch": "b_x",
            "prompt": "fix it",
            "projects": [
                {
                    "project": "api",
                    "run": "r_api",
                    "status": "ended",
                    "outcome": "ok",
                    "reason": "end_turn",
                    "message": "",
                    "waiting_for": None,
                    "branch": "acp/b_x/api",
                    "commit": "abc",
                    "landed": None,
                    "files": 2,
                    "added": 10,
                    "removed": 2,
                    "failed_gates": [],
                    "gate_failures": [],
                    "left_in": None,
                    "steps": 3,
                    "tool_calls": 0,
                    "tokens": {"input": 7, "output": 0},
                    "cost": None,
                    "cost_known": False,
                    "seconds": 42.0,
                    "text": "",
                    "answer": None,
                    "model": "",
                }
            ],
            "totals": {
                "projects": 1,
                "ended": 1,
                "tokens": {"input": 7, "output": 0},
                "cost": None,
                "cost_known": False,
                "added": 10,
                "removed": 2,
            },
            "exit": {"code": 0, "reason": "end_turn"},
        }
    )


def test_a_line_of_json_is_the_row_of_the_event_log() -> None:
    data = {"type": "tool_finished", "call_id": "c", "tool": "shell"}
    assert event_document("r_1", 41, 1_700_000_000.0, "api", data) == {
        "v": 1,
        "seq": 41,
        "ts": "2023-11-14T22:13:20.000000Z",
        "run": "r_1",
        "project": "api",
        "type": "tool_finished",
        "data": {"call_id": "c", "tool": "shell"},
    }


def drawn(view: BatchView, width: int, height: int = 25, encoding: str = "utf-8") -> list[str]:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(file=file, width=width, height=height, color_system=None, legacy_windows=False)
    with console.capture() as capture:
        console.print(live_table(view, console, 1060.0))
    return [line.rstrip() for line in capture.get().splitlines()]


def alive() -> BatchView:
    running = {"status": "running", "started_at": 1000.0, "steps": 2, "tokens_in": 15_000, "cost": 0.031}
    return batch(
        Row(run_id="r_1", project="api", step="Edit src/日本語/very/long/path/of/some/module.py", **running),
        Row(run_id="r_2", project="a-project-with-a-long-name", step="[bold]\x1b[31mred", **running),
        done("web", cost=0.25, cost_known=False, **EDITED),
        Row(run_id="r_4", project="worker"),
    )


def test_the_live_table_on_a_wide_terminal() -> None:
    assert "\n".join(drawn(alive(), 110)) == snapshot("""\
project                    state       step now                                  tokens    cost elapsed    +/-
api                        ● running   Edit src/日本語/very/long/path/of/some/m…  15.0k $0.0310   1m00s
a-project-with-a-long-name ● running   [bold]\\x1b[31mred                          15.0k $0.0310   1m00s
web                        ✓ ok                                                       0  ≥$0.25     42s +10 -2
worker                     · queued
1/4 done, ≥$0.31, 30.0k tokens, +10 -2, 1m00s\
""")


def test_the_live_table_on_a_narrow_terminal() -> None:
    assert "\n".join(drawn(alive(), 40)) == snapshot("""\
project      state       step n…    cost
api          ● running   Edit s… $0.0310
a-project-w… ● running   [bold]… $0.0310
web          ✓ ok                 ≥$0.25
worker       · queued
1/4 done, ≥$0.31, 30.0k tokens, +10 -2,\
""")


@pytest.mark.parametrize("width", [20, 40, 64, 80, 200])
def test_no_line_of_the_live_table_is_wider_than_the_window(width: int) -> None:
    assert max(map(cells, drawn(alive(), width))) <= width


def test_the_live_table_speaks_ascii_where_it_must() -> None:
    view = batch(
        Row(run_id="r_1", project="api", status="running", step="shell " + "x" * 200, cost_known=False, cost=1.0)
    )
    "\n".join(drawn(view, 60, encoding="ascii")).encode("ascii")


def test_rows_that_do_not_fit_are_counted() -> None:
    rows = [Row(run_id=f"r_{number}", project=f"p{number}") for number in range(50)]
    rows[40] = Row(run_id="r_40", project="busy", status="running", step="shell")
    lines = drawn(batch(*rows), 80, height=10)
    assert len(lines) <= 9
    assert any("busy" in line for line in lines)
    assert lines[-2] == "... 45 queued"


@pytest.mark.parametrize(
    ("columns", "head"),
    [
        ("200", "project  result    steps  tokens     cost  time  changes  branch"),
        ("50", "project  result    tokens     cost  time  changes"),
        ("30", "project  result       cost"),
    ],
)
def test_a_narrow_window_loses_the_columns_that_matter_least(
    monkeypatch: pytest.MonkeyPatch, columns: str, head: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("TERM", "dumb")
    grid = result_grid([done("api", cost=0.0123, tokens_in=12000, **EDITED), failed("web")], unicode=True)
    lines = painted(grid, terminal=True).splitlines()
    assert lines[0] == head
    assert max(map(cells, lines)) <= int(columns)
