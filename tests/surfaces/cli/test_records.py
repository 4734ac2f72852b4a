"""What is on record, as `ps`, `show`, `logs` and `approve --list` tell it."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from inline_snapshot import snapshot

from acp_agent.domain.events import Fact, RunEnded, WorkspacePrepared

Acp = Callable[..., Any]


def clockless(text: str) -> str:
    """`text` without what differs from one moment to the next."""
    return re.sub(r"\b\d\d:\d\d:\d\d\b", "HH:MM:SS", re.sub(r"2m0\ds", "2m00s", text))


def test_ps_lists_batches_and_their_runs(acp: Acp, on_record: str) -> None:
    assert acp("ps").stdout == snapshot("""\
id            project     status     step                                                tokens      cost  age
b_aaaaaaaa    4 projects  · queued   add type hints to every function                      3.9k  ≥$0.0024   2m
  r_apiaaaaa  api         ✓ ok       2 files +10 -2                                        2.6k   $0.0024   2m
  r_webbbbbb  web         ◆ waiting  git push origin main                                  1.3k         ?   2m
  r_worcccc   worker      ✗ failed   no model answered: openai/small: auth: invalid key                     2m
  r_tooldddd  tool        · queued   queued                                                                 2m
""")


def test_ps_as_json_has_every_number(acp: Acp, on_record: str) -> None:
    document = json.loads(acp("ps", "-o", "json").stdout)
    (batch,) = document["batches"]
    assert (batch["batch"], batch["status"]) == ("b_aaaaaaaa", "queued")
    assert [(run["project"], run["state"], run["cost"], run["cost_known"]) for run in batch["runs"]] == snapshot(
        [
            ("api", "ok", 0.0024, True),
            ("web", "waiting", None, False),
            ("worker", "failed", 0.0, True),
            ("tool", "queued", 0.0, True),
        ]
    )


def test_ps_without_anything_says_how_to_begin(acp: Acp) -> None:
    assert acp("ps") == (0, "", 'nothing yet: acp run "what to do" --tags=...\n')


def test_show_of_a_run_begins_with_what_matters(acp: Acp, on_record: str) -> None:
    assert clockless(acp("show", f"{on_record}/api").stdout) == snapshot("""\
status    ✓ ok: end_turn
last      ended: end_turn (2m ago)
next      acp diff b_aaaaaaaa/api, then acp accept b_aaaaaaaa/api or acp reject b_aaaaaaaa/api
approval  none needed
cost      $0.0024, 2.6k tokens, 2 steps, 1 tool call, 0.0s

run       r_apiaaaaa of batch b_aaaaaaaa
project   api
models    openai/small
works in  /state/worktrees/b_aaaaaaaa/api (gone) on branch acp/b_aaaaaaaa/api
prompt
  add type hints
  to every function
commit    abcdef012345: 2 files +10 -2
says
  All functions have \\x1b[31mhints\\x1b[0m now.

timeline
  HH:MM:SS  queued: add type hints to every function
  HH:MM:SS  workplace ready: /state/worktrees/b_aaaaaaaa/api at 000000000000
  HH:MM:SS  asks openai/small
  HH:MM:SS  openai/small (1.3k tokens, $0.0012) calls edit_file
  HH:MM:SS  Edit src/app.py
  HH:MM:SS  edit_file: ok
  HH:MM:SS  asks openai/small
  HH:MM:SS  openai/small (1.3k tokens, $0.0012) says: All functions have \\x1b[31mhints\\x1b[0m now.
  HH:MM:SS  commit abcdef012345: 2 files +10 -2
  HH:MM:SS  ended: end_turn
""")


def test_show_of_a_waiting_run_says_what_to_type(acp: Acp, on_record: str) -> None:
    assert clockless(acp("show", "r_web").stdout).splitlines()[:5] == snapshot(
        [
            "status    ◆ waiting: approval",
            "last      openai/small (1.3k tokens, ?) calls shell (2m ago)",
            "next      waits for you: acp approve b_aaaaaaaa/web  # or --deny",
            "approval  git push origin main",
            "cost      ?, 1.3k tokens, 1 step, 0 tool calls, 0.0s",
        ]
    )


def test_show_of_a_batch_has_one_line_per_project(acp: Acp, on_record: str) -> None:
    assert clockless(acp("show", "aaaa").stdout) == snapshot("""\
status    1 ✓ ok, 1 ◆ waiting, 1 ✗ failed, 1 · queued
last      api: 2 files +10 -2 (2m ago)
next      acp diff b_aaaaaaaa/api, then acp accept b_aaaaaaaa
approval  web: git push origin main
cost      ≥$0.0024, 3.9k tokens

batch     b_aaaaaaaa
prompt
  add type hints
  to every function

project  result     steps  tokens     cost  time  changes  branch
api      ✓ ok           2    2.6k  $0.0024  0.0s  +10 -2   acp/b_aaaaaaaa/api
web      ◆ waiting      1    1.3k        ?  0.0s
worker   ✗ failed                           0.0s
tool     · queued

✗ failed: no model answered: openai/small: auth: invalid key
  worker
""")


def test_show_as_json_names_the_next_action(acp: Acp, on_record: str) -> None:
    document = json.loads(acp("show", on_record, "-o", "json").stdout)
    assert {row["project"]: (row["state"], row["next"]) for row in document["projects"]} == snapshot(
        {
            "api": ("ok", "acp diff b_aaaaaaaa/api, then acp accept b_aaaaaaaa/api or acp reject b_aaaaaaaa/api"),
            "web": ("waiting", "waits for you: acp approve b_aaaaaaaa/web  # or --deny"),
            "worker": ("failed", "none"),
            "tool": ("queued", "nobody drives it: acp resume b_aaaaaaaa"),
        }
    )


def test_logs_have_one_line_per_event(acp: Acp, on_record: str) -> None:
    assert clockless(acp("logs", f"{on_record}/api").stdout) == snapshot("""\
HH:MM:SS api  queued: add type hints to every function
HH:MM:SS api  workplace ready: /state/worktrees/b_aaaaaaaa/api at 000000000000
HH:MM:SS api  asks openai/small
HH:MM:SS api  openai/small (1.3k tokens, $0.0012) calls edit_file
HH:MM:SS api  Edit src/app.py
HH:MM:SS api  edit_file: ok
HH:MM:SS api  asks openai/small
HH:MM:SS api  openai/small (1.3k tokens, $0.0012) says: All functions have \\x1b[31mhints\\x1b[0m now.
HH:MM:SS api  commit abcdef012345: 2 files +10 -2
HH:MM:SS api  ended: end_turn
""")


def test_logs_as_json_lines_are_the_rows_of_the_event_log(acp: Acp, on_record: str) -> None:
    rows = [json.loads(line) for line in acp("logs", f"{on_record}/web", "-o", "jsonl").stdout.splitlines()]
    assert [(row["v"], row["seq"], row["run"], row["project"], row["type"]) for row in rows] == snapshot(
        [
            (1, 1, "r_webbbbbb", "web", "run_started"),
            (1, 2, "r_webbbbbb", "web", "workspace_prepared"),
            (1, 3, "r_webbbbbb", "web", "model_called"),
            (1, 4, "r_webbbbbb", "web", "model_replied"),
            (1, 5, "r_webbbbbb", "web", "approval_asked"),
            (1, 6, "r_webbbbbb", "web", "parked"),
        ]
    )
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", row["ts"]) for row in rows)
    assert rows[-1]["data"] == {
        "waiting": "approval",
        "detail": "git push origin main",
        "call_id": "c_2",
        "exceeds": [],
        "within": None,
        "then": [],
        "last": "deny",
        "step": 0,
    }


def test_following_the_log_of_runs_that_are_over_ends(acp: Acp, on_record: str) -> None:
    assert acp("logs", "-f", f"{on_record}/api").stdout == acp("logs", f"{on_record}/api").stdout


def test_approve_lists_what_waits_with_the_answer_to_type(acp: Acp, on_record: str) -> None:
    assert acp("approve", "--list").stdout == snapshot("""\
run             waits for  question              since  answer with
b_aaaaaaaa/web  approval   git push origin main  2m     acp approve b_aaaaaaaa/web # or --deny
""")


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("r_", "acp: 'r_' is ambiguous: r_apiaaaaa, r_webbbbbb, r_worcccc, r_tooldddd"),
        ("b_aaaaaaab", "acp: there is no run, batch or loop 'b_aaaaaaab'\nhint: did you mean b_aaaaaaaa?"),
        ("b_aaaaaaaa/apo", "acp: batch b_aaaaaaaa has no project 'apo'\nhint: did you mean api?"),
        ("r_apiaaaaa/api", "acp: 'r_apiaaaaa' is a run, not a batch\nhint: acp show r_apiaaaaa"),
        ("r_w", "acp: 'r_w' is ambiguous: r_webbbbbb, r_worcccc\nhint: write more of the id"),
    ],
)
def test_a_name_that_means_nothing_or_too_much_exits_2(acp: Acp, on_record: str, name: str, line: str) -> None:
    said = acp("show", name)
    assert (said.code, said.stdout) == (2, "")
    assert said.stderr.startswith(line)


def test_nothing_of_a_model_reaches_the_terminal_raw(acp: Acp, on_record: str) -> None:
    for words in (("show", "r_api"), ("show", on_record), ("logs", on_record), ("ps",)):
        assert "\x1b" not in acp(*words).stdout


def test_approve_of_a_run_that_waits_for_nothing_exits_5(acp: Acp, on_record: str) -> None:
    assert acp("approve", f"{on_record}/api")[::2] == (
        5,
        "acp: b_aaaaaaaa/api waits for no answer\nhint: acp show b_aaaaaaaa/api\n",
    )


def test_completion_knows_ids_and_runs_of_batches(acp: Acp, on_record: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMP_WORDS", "acp show b_")
    monkeypatch.setenv("COMP_CWORD", "2")
    monkeypatch.setenv("_ACP_COMPLETE", "bash_complete")
    assert acp().stdout.split() == [
        "plain,b_aaaaaaaa",
        *(f"plain,b_aaaaaaaa/{project}" for project in ("api", "web", "worker", "tool")),
    ]


def test_without_an_id_the_newest_batch_is_meant(acp: Acp, on_record: str) -> None:
    for words in (("show",), ("logs",), ("logs", "-o", "jsonl")):
        assert acp(*words) == acp(*words, on_record)


@pytest.mark.parametrize("command", ["show", "logs", "diff"])
def test_without_an_id_and_without_a_batch_it_says_how_to_begin(acp: Acp, command: str) -> None:
    assert acp(command)[::2] == (5, 'acp: there is no batch yet\nhint: acp run "what to do" --tags=...\n')


def test_ps_watches_only_on_a_terminal(acp: Acp, on_record: str) -> None:
    assert acp("ps", "-w").code == 2


def test_ps_counts_the_runs_of_a_large_batch_that_went_well(acp: Acp, put_on_record: Callable[..., str]) -> None:
    ok: list[Fact] = [WorkspacePrepared(path="/p"), RunEnded(reason="end_turn")]
    bad: list[Fact] = [WorkspacePrepared(path="/p"), RunEnded(reason="error", message="no model")]
    put_on_record(**{f"p{number:02}": bad if number in (3, 7) else ok for number in range(12)})
    assert [line.split()[:4] for line in acp("ps").stdout.splitlines()[2:]] == [
        ["r_p03", "p03", "✗", "failed"],
        ["r_p07", "p07", "✗", "failed"],
        ["...", "10", "more", "10"],
    ]
