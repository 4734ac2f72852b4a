"""What a person allows always: kept in a stream of its own, read by every run, taken back by name."""

from acp_agent.domain.always import STREAM, AllowanceRevoked, AllowedAlways, in_force, rules_of
from acp_agent.domain.ports import Journal
from acp_agent.domain.rules import Rule
from acp_agent.runs.standing import tell


class Allowances:
    """The allowances of a store; whoever changes them is named as the actor of the fact."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    async def listed(self) -> tuple[AllowedAlways, ...]:
        """All that is allowed always now, in the order it was allowed."""
        return in_force(event.data for event in await self._journal.events(STREAM))

    async def rules(self, role: str, root: str) -> tuple[Rule, ...]:
        """What is allowed always to `role` in the project at `root`, as rules."""
        return rules_of(await self.listed(), role, root)

    async def add(self, allowed: AllowedAlways, actor: str) -> None:
        """Allow it from now on; what is allowed already stays so."""
        if allowed in await self.listed():
            return
        await tell(self._journal, STREAM, allowed, actor)

    async def revoke(self, name: str, root: str | None, actor: str) -> tuple[AllowedAlways, ...]:
        """Take back what is called `name`, of one project or of all; returns what was allowed until now."""
        meant = tuple(one for one in await self.listed() if one.name == name and root in (None, one.root))
        if meant:
            await self._journal.note(STREAM, [AllowanceRevoked(name=name, root=root)], actor)
        return meant
