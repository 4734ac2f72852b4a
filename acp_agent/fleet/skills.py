"""The skills that each project of a batch has on offer."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import anyio.to_thread

from acp_agent.config.skills import find_skills
from acp_agent.fleet.resolve import Resolved, Site


async def with_skills(found: Resolved, environ: Mapping[str, str], disabled: Sequence[str]) -> Resolved:
    """`found` with the skills of every site, and with what a person should know of those left out."""
    return await anyio.to_thread.run_sync(_with_skills, found, environ, disabled)


def _with_skills(found: Resolved, environ: Mapping[str, str], disabled: Sequence[str]) -> Resolved:
    sites: list[Site] = []
    warnings: dict[str, None] = {}
    for site in found.sites:
        skills = find_skills(site.root / site.subdir, environ, disabled)
        sites.append(replace(site, skills=skills.entries))
        warnings |= dict.fromkeys(skills.warnings)
    return replace(found, sites=tuple(sites), warnings=(*found.warnings, *warnings))
