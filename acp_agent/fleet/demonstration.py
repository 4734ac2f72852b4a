"""Runs of the demonstration model: it has no tools, so it is given facts, and says `no answer` where it has none."""

from collections.abc import Sequence
from dataclasses import replace

from acp_agent.domain.errors import UsageError
from acp_agent.fleet.facts import gather
from acp_agent.fleet.plan import Job, Target
from acp_agent.llm.closed import with_no_answer
from acp_agent.llm.demonstration import require_closed_question, role_text

WARNING = "the answers come from a very small demonstration model, to show how a run works; do not rely on them"


async def demonstrated(job: Job, targets: Sequence[Target]) -> tuple[Job, list[Target], tuple[str, ...]]:
    """`job` and `targets` for the demonstration model, which is among their models: with facts, and a warning.

    Raises UsageError where that model cannot do what is asked: an edit, a free answer.
    """
    models = tuple(dict.fromkeys(model for target in targets for model in target.agent.models))
    if job.lookup != "none":
        raise UsageError(
            "the demonstration model cannot look anything up, and the task asks for that",
            hint="choose another model: acp models ls",
        )
    schema = require_closed_question(models, read_only=job.read_only, answer_schema=job.answer_schema)
    prepared = [await _with_facts(target) for target in targets]
    return replace(job, answer_schema=with_no_answer(schema)), prepared, (WARNING,)


async def _with_facts(target: Target) -> Target:
    site = target.site
    facts = await gather(site.project, site.root, site.subdir)
    agent = replace(target.agent, role_prompt=role_text(facts.for_a_small_model()))
    return Target(agent=agent, site=replace(site, instructions="", skills=()))
