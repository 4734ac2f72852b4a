"""Shell completion of what only this machine knows: projects, tags, ids, models. It never complains."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from acp_agent.domain.errors import AcpAgentError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

Completer = Callable[[click.Context, click.Parameter, str], "list[CompletionItem]"]


def _completer(source: Callable[[click.Context], Iterable[tuple[str, str]]]) -> Completer:
    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> "list[CompletionItem]":
        from click.shell_completion import CompletionItem

        # Of `python,we` the last tag is completed.
        before, comma, last = incomplete.rpartition(",")
        try:
            found = list(source(ctx))
        except (AcpAgentError, OSError):
            return []
        return [CompletionItem(before + comma + value, help=line) for value, line in found if value.startswith(last)]

    return complete


def _projects(ctx: click.Context) -> Iterable[tuple[str, str]]:
    from acp_agent.surfaces.cli.listing import entries

    return [(entry.name, ", ".join(entry.tags)) for entry in entries(ctx.params.get("projects_file"))]


def _tags(ctx: click.Context) -> Iterable[tuple[str, str]]:
    from acp_agent.surfaces.cli.listing import entries

    found = entries(ctx.params.get("projects_file"))
    tags = sorted({tag for entry in found for tag in entry.tags})
    return [(tag, ", ".join(entry.name for entry in found if tag in entry.tags)) for tag in tags]


def _ids(ctx: click.Context) -> Iterable[tuple[str, str]]:
    from acp_agent.config.paths import database_location
    from acp_agent.store.reads import Reads

    with Reads(database_location(os.environ)) as reads:
        batches = [(batch.id, batch.prompt[:60]) for batch in reads.batches(20)]
        runs = reads.runs(limit=100)
    pairs = [(f"{run.batch_id}/{run.project}", run.status) for run in runs if run.batch_id]
    return [*batches, *pairs, *((run.id, run.project) for run in runs)]


def _models(ctx: click.Context) -> Iterable[tuple[str, str]]:
    import tomllib

    from acp_agent.config.paths import config_file

    path: Path = config_file(os.environ)
    try:
        aliases = tomllib.loads(path.read_text("utf-8")).get("models", {})
    except ValueError:
        return []
    return [(name, "") for name in aliases] if isinstance(aliases, dict) else []


projects = _completer(_projects)
tags = _completer(_tags)
ids = _completer(_ids)
models = _completer(_models)
