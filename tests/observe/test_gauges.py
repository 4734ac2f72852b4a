"""What a scraper reads."""

from acp_agent.observe.gauges import sandbox_gauge


def test_the_level_in_force_is_one_and_the_others_are_zero() -> None:
    head = "# HELP acp_sandbox_level The sandbox that commands run in.\n# TYPE acp_sandbox_level gauge\n"
    names = ("bwrap", "landlock", "none")
    for level in names:
        values = "".join(f'acp_sandbox_level{{level="{name}"}} {int(name == level)}\n' for name in names)
        assert sandbox_gauge(level) == head + values
    assert " 1\n" not in sandbox_gauge(None)
