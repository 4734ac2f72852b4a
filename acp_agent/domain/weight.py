"""What one tool call weighs: how much it can break, what rules know it by, and the hash an approval is bound to."""

import hashlib
import json
from collections.abc import Mapping
from typing import Literal

from acp_agent.domain.base import Frozen
from acp_agent.domain.tool import Risk

Trait = Literal["untrusted", "private", "outward"]
"""`untrusted`: it brings in text that a stranger may have written. `private`: it may read what is not for others.
`outward`: it lets something leave this machine. No run does all three without a person (domain/taint.py)."""


class Weight(Frozen):
    """What the policy decides on. A tool declares it for the call at hand; the guard adds `binding`.

    `commands` are the simple commands of a shell line, each as its words joined by blanks; `reads` and `writes` are
    workspace-relative paths, links resolved, `governing` those written that govern the agent. An `opaque` call hides
    what it does: no rule allows it. `reasons` tell a person why the risk is what it is. `subject` is a hash of what the
    call is about besides its words. `binding` is the hash an approval is bound to, in hex.
    """

    risk: Risk
    commands: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    governing: tuple[str, ...] = ()
    opaque: bool = False
    traits: frozenset[Trait] = frozenset()
    reasons: tuple[str, ...] = ()
    subject: str = ""
    binding: str = ""

    def raised(self, risk: Risk, reason: str) -> "Weight":
        """At least `risk`, and why; it never becomes less."""
        if risk <= self.risk:
            return self
        return self.model_copy(update={"risk": risk, "reasons": (*self.reasons, reason)})


Weights = Mapping[str, Weight]
"""By id of the call."""


def bound(weight: Weight, tool: str, arguments: str, cwd: str, level: str) -> Weight:
    """`weight` with its binding: SHA-256 over tool, arguments (canonical JSON), directory and level of the sandbox.

    The resolved paths and the risk are part of it, so that an approval does not hold for the same words once a link
    leads elsewhere.
    """
    parts: list[object] = [tool, arguments, cwd, level, int(weight.risk), sorted(weight.reads), sorted(weight.writes)]
    parts += [weight.subject] if weight.subject else []
    text = json.dumps(parts, ensure_ascii=True, separators=(",", ":"))
    return weight.model_copy(update={"binding": hashlib.sha256(text.encode()).hexdigest()})
