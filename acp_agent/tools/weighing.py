"""What a call weighs: what its tool declares of it, what its paths add, and the hash an approval is bound to."""

import json
from collections.abc import Iterable
from dataclasses import dataclass

from acp_agent.domain.governing import governs, instructs, opens
from acp_agent.domain.patterns import path_may_be
from acp_agent.domain.tool import Risk
from acp_agent.domain.weight import Trait, Weight, bound
from acp_agent.tools.governed import led_to
from acp_agent.tools.registry import Arguments, Tool
from acp_agent.tools.surroundings import Surroundings
from acp_agent.tools.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Scales:
    """How the calls of a run are weighed: `level` is that of the sandbox in force, `governed` its gate files.

    `protect` are globs of what its project protects. `around` knows of private files; without it only paths that are
    named are looked at.
    """

    level: str = ""
    governed: tuple[str, ...] = ()
    protect: tuple[str, ...] = ()
    around: Surroundings | None = None

    def weigh(self, tool: Tool, arguments: Arguments, workspace: Workspace) -> Weight:
        """What the call weighs: never less than its tool. Raises ToolError where its paths are refused."""
        declared = Weight(risk=tool.risk) if tool.weigh is None else tool.weigh(arguments, workspace)
        weight = self.with_writes(
            declared.raised(tool.risk, f"{tool.name} is of that risk"), declared.writes, workspace
        )
        weight = weight.model_copy(update={"traits": weight.traits | self._traits(tool, weight)})
        canonical = json.dumps(arguments.model_dump(mode="json"), sort_keys=True)
        return bound(weight, tool.name, canonical, str(workspace.root), self.level)

    def with_writes(self, weight: Weight, paths: Iterable[str], workspace: Workspace) -> Weight:
        """`weight` with what writing `paths` adds to its risk."""
        links = [str(path.relative_to(workspace.root)) for path in led_to(workspace.root)] if paths else ()
        for path in paths:
            here, inside = workspace.place(path)
            if here is not workspace:
                # What a project governs and protects is in it; what governs everywhere does so here.
                governing, guarded = governs(inside), False
            else:
                governing = governs(path, (*self.governed, *links))
                guarded = any(path_may_be(glob, path) for glob in self.protect)
            if governing or guarded:
                why = "governs what the agent may do" if governing else "is protected by the project"
                weight = weight.raised(Risk.IRREVERSIBLE, f"{path} {why}")
                # Looked at twice: as it was decided about, and again with all that preparing it showed.
                weight = weight.model_copy(update={"governing": tuple(dict.fromkeys((*weight.governing, path)))})
            elif opens(inside):
                weight = weight.raised(Risk.EXTERNAL, f"others act on {path} as soon as the directory is opened")
            elif instructs(inside):
                weight = weight.raised(Risk.DRAFT, f"later runs read {path} as instructions")
        return weight

    def _traits(self, tool: Tool, weight: Weight) -> set[Trait]:
        """What the call adds to the run's taint, beyond what its tool declares."""
        traits: set[Trait] = {"outward"} if weight.risk >= Risk.EXTERNAL else set()
        if self.around is not None:
            # A program reads what it likes, whatever its words are.
            if tool.kind == "execute" and self.around.holds_private:
                traits.add("private")
            if any(self.around.may_hold(path) for path in weight.reads):
                traits.add("private")
        return traits


def unread(tool: Tool, arguments: str, workspace: Workspace, level: str) -> Weight:
    """The weight of a call that `prepare` will refuse."""
    return bound(Weight(risk=tool.risk, opaque=True), tool.name, arguments, str(workspace.root), level)
