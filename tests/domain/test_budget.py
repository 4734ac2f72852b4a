"""The arithmetic of limits."""

from acp_agent.domain.budget import Limits, Spent, reached, reached_by_tools


def test_the_first_limit_used_up_is_named() -> None:
    limits = Limits(max_steps=2, max_tool_calls=3, max_tokens=10, max_time=5.0)
    assert reached(Spent(), limits, 0.0) is None
    assert reached(Spent(steps=2, tool_calls=3), limits, 9.0) == "max_steps"
    assert reached(Spent(input_tokens=6, output_tokens=4), limits, 0.0) == "max_tokens"
    assert reached(Spent(), limits, 5.0) == "max_time"


def test_the_calls_of_the_last_step_are_not_forbidden_by_its_steps() -> None:
    limits = Limits(max_steps=1, max_tool_calls=3)
    assert reached_by_tools(Spent(steps=1), limits, 0.0) is None
    assert reached_by_tools(Spent(tool_calls=3), limits, 0.0) == "max_tool_calls"


def test_none_is_no_limit() -> None:
    free = Limits(max_steps=None, max_tool_calls=None, max_tokens=None, max_time=None)
    assert reached(Spent(steps=10**9, tool_calls=10**9), free, 1e12) is None
