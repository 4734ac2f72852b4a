"""What the end of a hook means: only a plain yes is one."""

import json
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acp_agent.domain.hook import BEFORE, Hook, HookEvent, judged

EVENTS = get_args(HookEvent)


@pytest.mark.parametrize(
    ("event", "status", "stdout", "stderr", "outcome", "reason", "note"),
    [
        ("before_tool", 0, "", "chatter", "passed", "", ""),
        ("before_tool", 0, " \n", "", "passed", "", ""),
        ("before_tool", 0, "{}", "", "passed", "", ""),
        ("before_tool", 2, "{}", "no pushes\n", "blocked", "no pushes", ""),
        ("before_tool", 2, "", "", "blocked", "it gave no reason", ""),
        ("before_tool", 1, "", "Traceback", "failed", "exit status 1: Traceback", ""),
        ("before_tool", 127, "", "", "failed", "exit status 127", ""),
        ("before_tool", None, "", "", "failed", "it was stopped", ""),
        ("before_tool", 0, '{"decision": "deny", "reason": "not now"}', "", "blocked", "not now", ""),
        ("before_tool", 0, '{"decision": "ask", "reason": "sure?"}', "", "asked", "sure?", ""),
        ("before_run", 0, '{"decision": "ask"}', "", "failed", "it may not decide 'ask' here", ""),
        ("before_tool", 0, '{"decision": "allow"}', "", "failed", "it may not decide 'allow' here", ""),
        ("before_run", 0, '{"note": "mind the freeze"}', "", "passed", "", "mind the freeze"),
        ("before_iteration", 0, '{"decision": "deny", "note": "n"}', "", "blocked", "", "n"),
        ("after_tool", 0, '{"note": "formatted"}', "", "passed", "", "formatted"),
        ("after_tool", 2, "", "2 lint errors", "passed", "", "2 lint errors"),
        ("after_tool", 3, "", "boom", "failed", "exit status 3: boom", ""),
        ("after_run", 0, "", "", "passed", "", ""),
    ],
)
def test_the_table_of_answers(
    event: HookEvent, status: int | None, stdout: str, stderr: str, outcome: str, reason: str, note: str
) -> None:
    meant = judged(event, status, stdout, stderr)
    assert (meant.outcome, meant.reason, meant.note) == (outcome, reason, note)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["decision", "reason", "note"]), inner),
    max_leaves=5,
)


@given(st.sampled_from(EVENTS), st.none() | st.integers(0, 255), st.text() | JSON.map(json.dumps), st.text())
def test_whatever_a_hook_says_it_passes_only_by_a_plain_yes(
    event: HookEvent, status: int | None, stdout: str, stderr: str
) -> None:
    meant = judged(event, status, stdout, stderr)
    if event in BEFORE and meant.outcome == "passed":
        assert status == 0
        said = json.loads(stdout) if stdout.strip() else {}
        assert isinstance(said, dict)
        assert "decision" not in said
    if status not in (0, 2):
        assert meant.outcome == "failed"
    assert event in BEFORE or meant.outcome in ("passed", "failed")


def test_patterns_of_names() -> None:
    hook = Hook(event="before_tool", name="h", run="true", match="shell | mcp_*")
    assert [name for name in ("shell", "mcp_github", "read_file", "shells") if hook.fits("before_tool", name)] == [
        "shell",
        "mcp_github",
    ]
    assert not hook.fits("after_tool", "shell")
    assert Hook(event="before_run", name="h", run="true").fits("before_run")
