"""Which hosts a run may reach: what the user's configuration allows of what a task, a role or that user asks for."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from acp_agent.config.names import printable
from acp_agent.config.nearness import nearest
from acp_agent.config.settings import Settings
from acp_agent.config.settings_tables import EgressPreset
from acp_agent.domain.egress import PRESETS, AllowList, Pattern
from acp_agent.domain.errors import UsageError


class Granted(NamedTuple):
    """The hosts of a run, as patterns, and the presets a projects file asked for in vain."""

    hosts: tuple[str, ...]
    withheld: tuple[str, ...] = ()


def granted(settings: Settings, role: str, asked: Iterable[str] = ()) -> Granted:
    """What a run in `role` may reach: `sandbox.allow_domains`, the role's presets, what a projects file `asked` for.

    Of the last only what the user lets such files ask for. Raises UsageError for a preset that nobody defines.
    """
    table = settings.table
    hosts = list(table.sandbox.allow_domains)
    for name in settings.role(role).egress:
        hosts += _preset(settings, name).domains
    withheld = []
    for name in asked:
        preset = _preset(settings, name)
        if may_be_asked(name, preset):
            hosts += preset.domains
        else:
            withheld.append(name)
    return Granted(tuple(dict.fromkeys(hosts)), tuple(withheld))


def may_be_asked(name: str, preset: EgressPreset) -> bool:
    """Whether a projects file may ask for a preset: ours unless the user says no, the user's own if they say yes."""
    return name in PRESETS if preset.projects is None else preset.projects


def private_hosts(settings: Settings) -> AllowList:
    """The hosts that may lie in a private network: those of presets that say so."""
    presets = (preset for preset in settings.table.egress.values() if preset.private)
    patterns = [Pattern.parse(domain) for preset in presets for domain in preset.domains]
    return AllowList(patterns=tuple(patterns))


def web_search_secrets(settings: Settings, environ: Mapping[str, str]) -> list[str]:
    """The key of the search engine, where it is set."""
    given = settings.table.web_search
    value = environ.get(given.key.removeprefix("env:")) if given is not None and given.key is not None else None
    return [value] if value else []


def known_presets(settings: Settings) -> list[str]:
    """The names that can be asked for."""
    return sorted({*PRESETS, *settings.table.egress})


def _preset(settings: Settings, name: str) -> EgressPreset:
    found = settings.table.egress.get(name)
    if found is not None:
        return found
    if name in PRESETS:
        return EgressPreset(domains=PRESETS[name])
    known = known_presets(settings)
    hint = nearest(name, known) or f"there is {', '.join(known)}; define others in config.toml as [egress.NAME]"
    raise UsageError(f"no egress preset named {printable(name)}", hint=hint)
