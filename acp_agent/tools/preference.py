"""Which of the ways to edit a model prefers."""

from collections.abc import Sequence

PREFERRED = ("gpt-", "o1", "o3", "o4", "codex")
"""How the names of models begin that were trained on patches."""


def prefers_patches(models: Sequence[str]) -> bool:
    """Whether a chain of models (`provider/model`) is offered `apply_patch`: by the name of its first."""
    name = models[0].rsplit("/", 1)[-1].lower() if models else ""
    return name.startswith(PREFERRED) or "codex" in name
