"""What of the settings decides how a run goes on, as hashes that hosts can compare. Nothing secret is in them."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from acp_agent.config.settings import Settings, reviewer_of

VALUES = frozenset({"env", "headers"})
"""Tables whose values may be secret, and are a host's own: only their names count."""


def fingerprints(settings: Settings) -> dict[str, str]:
    """A hash for each part of config.toml (administrators' files included) that a run depends on while it goes on.

    Not in them: what is put on record when a run is queued (roles, chains, limits, gates), and what is a host's own
    (providers, keys, prices, the sandbox, channels).
    """
    table = settings.table
    rules = [rule.model_dump(exclude={"where"}) for rule in settings.policy.rules]
    policy = {**settings.policy.model_dump(exclude={"rules"}), "rules": rules}
    parts: dict[str, Any] = {
        "policy": [policy, reviewer_of(settings), settings.private],
        "hooks": table.hooks.model_dump(),
        "tools": [
            {name: tool.model_dump() for name, tool in table.tools.items()},
            table.web_search and table.web_search.url,
        ],
        "mcp": {name: server.model_dump() for name, server in table.mcp.items()},
        "egress": {name: preset.model_dump() for name, preset in table.egress.items()},
    }
    return {name: _hash(part) for name, part in parts.items()}


def _hash(part: Any) -> str:
    text = json.dumps(_named(part), sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _named(part: Any) -> Any:
    """`part` with the names alone of what may be secret."""
    if isinstance(part, Mapping):
        return {
            str(key): sorted(value) if key in VALUES and isinstance(value, Mapping) else _named(value)
            for key, value in part.items()
        }
    return [_named(each) for each in part] if isinstance(part, list | tuple) else part
