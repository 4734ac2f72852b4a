"""What is allowed, asked and denied: modes over the weight of a call, rules, and what no rule can allow."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Literal

from acp_agent.domain.base import Frozen
from acp_agent.domain.notify import Escalation
from acp_agent.domain.rules import Rule, Verdict, ruled
from acp_agent.domain.taint import closes_the_circle
from acp_agent.domain.tool import Risk
from acp_agent.domain.weight import Trait, Weight

__all__ = ["POLICIES", "InForce", "Judgement", "Mode", "Policy", "Verdict", "judge"]


class Mode(StrEnum):
    """The modes a person sees (docs/architecture.md, section 8)."""

    PLAN = "plan"
    ASK = "ask"
    EDIT = "edit"
    AUTO = "auto"


class Policy(Frozen):
    """Up to `allow` a call runs, up to `ask` a person decides, above that it is denied."""

    mode: Mode
    allow: Risk
    ask: Risk

    def verdict(self, risk: Risk) -> Verdict:
        """What the mode alone says."""
        if risk > self.ask:
            return "deny"
        return "allow" if risk <= self.allow else "ask"


POLICIES: dict[Mode, Policy] = {
    Mode.PLAN: Policy(mode=Mode.PLAN, allow=Risk.READ, ask=Risk.READ),
    Mode.ASK: Policy(mode=Mode.ASK, allow=Risk.READ, ask=Risk.IRREVERSIBLE),
    Mode.EDIT: Policy(mode=Mode.EDIT, allow=Risk.LOCAL, ask=Risk.IRREVERSIBLE),
    Mode.AUTO: Policy(mode=Mode.AUTO, allow=Risk.DRAFT, ask=Risk.IRREVERSIBLE),
}


class InForce(Frozen):
    """The rules that hold now, the user's and those of the run together, with what a person allows always.

    `unattended`: a run that nobody watches waits for an answer (`park`), or is told no and goes on (`deny`). `reviewer`
    is the chain of models that may give a second opinion at risk 4, `answer_within` the seconds in which a run that
    nobody watches must have its answer; `then` are the steps when it has not, and `last` what follows them.
    """

    rules: tuple[Rule, ...] = ()
    unattended: Literal["park", "deny"] = "park"
    reviewer: tuple[str, ...] = ()
    answer_within: float | None = None
    then: tuple[Escalation, ...] = ()
    last: Literal["deny", "park"] = "deny"

    def and_rules(self, rules: Iterable[Rule]) -> "InForce":
        """The same with further rules."""
        return self.model_copy(update={"rules": (*self.rules, *rules)})


class Judgement(Frozen):
    """The verdict on one call, `why` in words for the model and a person, and the rule that said it.

    `always`: a person may allow such calls always; not where a rule, taint or the risk itself wants to be asked.
    """

    verdict: Verdict
    why: str = ""
    rule: Rule | None = None
    always: bool = False


def judge(mode: Mode, policy: InForce, who: tuple[str, str], weight: Weight, taint: frozenset[Trait]) -> Judgement:
    """What holds for a call that weighs `weight`, by role and tool (`who`), in a run that is tainted so far.

    In this order: what the mode or a rule denies; what always needs a person (risk 4, the rule of two, a rule that
    asks); what a rule allows; what the mode says.
    """
    role, tool = who
    usual = POLICIES[mode].verdict(weight.risk)
    if usual == "deny":
        return Judgement(verdict="deny", why=f"{tool} is not allowed in mode {mode}.")
    ruling = ruled(policy.rules, tool, role, weight)
    if ruling.verdict == "deny" and ruling.rule is not None:
        return Judgement(verdict="deny", why=_told(ruling.rule), rule=ruling.rule)
    if weight.risk >= Risk.IRREVERSIBLE:
        return Judgement(verdict="ask", why="; ".join(weight.reasons) or f"{tool} cannot be taken back")
    if closes_the_circle(taint, weight.traits):
        return Judgement(verdict="ask", why=RULE_OF_TWO)
    if ruling.verdict == "ask" and ruling.rule is not None:
        return Judgement(verdict="ask", why=_told(ruling.rule), rule=ruling.rule)
    if ruling.verdict == "allow":
        return Judgement(verdict="allow", rule=ruling.rule)
    return Judgement(verdict=usual, why="; ".join(weight.reasons), always=usual == "ask")


RULE_OF_TWO = "this run has read text of strangers and private data, and this call would let something out"


def _told(rule: Rule) -> str:
    """What a person and the model read about a rule that stands in the way."""
    place = f" ({rule.where})" if rule.where else ""
    return f"{rule.why}{place}" if rule.why else f"a rule says: {rule.shown}{place}"
