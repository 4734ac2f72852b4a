"""What is wrong with a loop beyond the shape of its tables, in a file of its own or in a projects.toml."""

from collections.abc import Iterator, Mapping
from typing import Any

from acp_agent.config.loop_tables import LoopTable
from acp_agent.config.names import printable
from acp_agent.config.nearness import nearest
from acp_agent.config.problem import Problem
from acp_agent.config.tables import checked, problem_at
from acp_agent.config.toml_source import Key, TomlSource


def project_loop_problems(source: TomlSource, name: str, table: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with `[projects.NAME.loop]`."""
    key: Key = ("projects", name, "loop")
    found = checked(LoopTable, source, key)
    yield from found if isinstance(found, list) else ()
    yield from goal_problems(source, table, key)
    for word in ("project", "projects"):
        if word in table:
            yield problem_at(source, (*key, word), "is the project itself here; leave it out")


def goal_problems(source: TomlSource, data: Mapping[str, Any], key: Key = ()) -> Iterator[Problem]:
    """What the shape alone does not tell: a goal that measures nothing, or two at once."""
    done = data.get("done_when")
    if not isinstance(done, dict):
        return
    if ("run" in done) == ("metric" in done):
        yield problem_at(source, (*key, "done_when"), "should have either a run or a metric")
    metrics = data.get("metric")
    named = done.get("metric")
    if isinstance(named, str):
        name = named.split(None, 1)[0].split(">")[0].split("<")[0].split("=")[0] if named.strip() else ""
        known = metrics if isinstance(metrics, dict) else {}
        if name and name not in known:
            hint = nearest(name, known) or f"define it as [metric.{name}]"
            yield problem_at(source, (*key, "done_when", "metric"), f"no metric named {printable(name)}", hint)
