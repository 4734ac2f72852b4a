"""Values of this process in the text format of Prometheus, version 0.0.4."""

from collections.abc import Mapping, Sequence

from acp_agent.domain.confinement import SandboxLevel

_LEVELS: Sequence[SandboxLevel] = ("bwrap", "landlock", "none")
RUN_STATUSES = ("queued", "running", "waiting", "paused", "ended")


def sandbox_gauge(level: SandboxLevel | None) -> str:
    """`acp_sandbox_level`: 1 for the level in force, 0 for the others; all 0 where commands are refused."""
    values = (f'acp_sandbox_level{{level="{name}"}} {int(name == level)}\n' for name in _LEVELS)
    head = "# HELP acp_sandbox_level The sandbox that commands run in.\n# TYPE acp_sandbox_level gauge\n"
    return head + "".join(values)


def runs_gauge(counts: Mapping[str, int]) -> str:
    """`acp_runs`: runs on record, by status."""
    values = (f'acp_runs{{status="{status}"}} {counts.get(status, 0)}\n' for status in RUN_STATUSES)
    return "# HELP acp_runs Runs on record.\n# TYPE acp_runs gauge\n" + "".join(values)


def connections_gauge(number: int) -> str:
    """`acp_connections`: connections of the protocol that are open."""
    head = "# HELP acp_connections Open connections of the protocol.\n# TYPE acp_connections gauge\n"
    return f"{head}acp_connections {number}\n"
