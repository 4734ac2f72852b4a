"""The text form of a plan: what a person reads is what they may edit."""

import pytest

from acp_agent.domain.work_plan import WorkPlan, WorkStep, plan_of, plan_text

PLAN = WorkPlan(
    goal="Raise the limit",
    steps=(
        WorkStep(text="Change LIMIT", role="coder", files=("limits.py", "README.md"), acceptance="tests pass"),
        WorkStep(text="Tell people"),
    ),
)
TEXT = """\
# Raise the limit

1. Change LIMIT
   role: coder
   files: limits.py, README.md
   acceptance: tests pass
2. Tell people
"""


def test_a_plan_is_its_text_and_back() -> None:
    assert plan_text(PLAN) == TEXT
    assert plan_of(TEXT) == PLAN


def test_an_edited_text_need_not_be_tidy() -> None:
    text = "#  Goal \n\n7) One\n  goes on here\n    Files: a.py,b.py,\n1. Two\n"
    assert plan_of(text) == WorkPlan(
        goal="Goal", steps=(WorkStep(text="One goes on here", files=("a.py", "b.py")), WorkStep(text="Two"))
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "line 1: should be '# ' and the goal"),
        ("1. One\n", "line 1: should be '# ' and the goal"),
        ("# Goal\n", "there should be 1 to 50 steps"),
        ("# Goal\nwords\n", "line 2: should be '# goal', '1. a step'"),
        ("# Goal\n1. One\n# Other\n", "line 3: the goal stands once"),
    ],
)
def test_what_is_no_plan_says_where(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        plan_of(text)
