"""Values of this process in the text format of Prometheus, version 0.0.4."""

from collections.abc import Sequence

from acp_agent.domain.confinement import SandboxLevel

_LEVELS: Sequence[SandboxLevel] = ("bwrap", "landlock", "none")


def sandbox_gauge(level: SandboxLevel | None) -> str:
    """`acp_sandbox_level`: 1 for the level in force, 0 for the others; all 0 where commands are refused."""
    values = (f'acp_sandbox_level{{level="{name}"}} {int(name == level)}\n' for name in _LEVELS)
    head = "# HELP acp_sandbox_level The sandbox that commands run in.\n# TYPE acp_sandbox_level gauge\n"
    return head + "".join(values)
