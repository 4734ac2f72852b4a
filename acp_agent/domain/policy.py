"""What is allowed, asked and denied: modes over the risk of a tool."""

from enum import StrEnum
from typing import Literal

from acp_agent.domain.base import Frozen
from acp_agent.domain.tool import Risk

Verdict = Literal["allow", "ask", "deny"]


class Mode(StrEnum):
    """The modes a person sees (docs/architecture.md, section 8)."""

    PLAN = "plan"
    ASK = "ask"
    EDIT = "edit"
    AUTO = "auto"


class Policy(Frozen):
    """Up to `allow` a call runs, up to `ask` a person decides, above that it is denied.

    `denied` names tools never run.
    """

    mode: Mode
    allow: Risk
    ask: Risk
    denied: frozenset[str] = frozenset()

    def verdict(self, tool: str, risk: Risk) -> Verdict:
        """Deny beats ask beats allow."""
        if tool in self.denied or risk > self.ask:
            return "deny"
        return "allow" if risk <= self.allow else "ask"


POLICIES: dict[Mode, Policy] = {
    Mode.PLAN: Policy(mode=Mode.PLAN, allow=Risk.READ, ask=Risk.READ),
    Mode.ASK: Policy(mode=Mode.ASK, allow=Risk.READ, ask=Risk.IRREVERSIBLE),
    Mode.EDIT: Policy(mode=Mode.EDIT, allow=Risk.LOCAL, ask=Risk.IRREVERSIBLE),
    Mode.AUTO: Policy(mode=Mode.AUTO, allow=Risk.DRAFT, ask=Risk.IRREVERSIBLE),
}
