"""`acp serve --login`: asks for a provider and its key or address, tries them, and keeps them for the next start."""

import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import click

from acp_agent.config.login import keep_login, with_login
from acp_agent.config.paths import shown_path
from acp_agent.domain.errors import ExitCode, UsageError
from acp_agent.surfaces.cli.text import one_line

OTHER = "another server that speaks OpenAI's wire (llama.cpp, vLLM, LiteLLM...)"


def login() -> int:
    """Ask until a call succeeds. Exit code 0 once it is kept, 1 where a person gave up after a failed call."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        hint = "without one, set OPENAI_API_KEY or another provider's key, or [providers.NAME] in config.toml"
        raise UsageError("--login asks questions, so it needs a terminal", hint=hint)
    import anyio

    while True:
        entered = _asked()
        click.echo("asking the model for one word...", err=True)
        try:
            model = anyio.run(_answering, entered)
        except UsageError as error:
            click.echo(one_line(error.what), err=True)
            if error.hint:
                click.echo(f"hint: {one_line(error.hint)}", err=True)
        else:
            path = keep_login(os.environ, entered)
            click.echo(f"{one_line(model)} answers; kept in {shown_path(path)}, readable by you alone", err=True)
            _warn_of_environment(entered)
            return int(ExitCode.OK)
        if not click.confirm("Try again?", default=True, err=True):
            return int(ExitCode.FAILED)


def _asked() -> dict[str, str]:
    """The variables a person's answers stand for."""
    from acp_agent.llm.sources import KEY_SOURCES

    names = [source.provider for source in KEY_SOURCES]
    for number, name in enumerate([*names, OTHER], start=1):
        click.echo(f"{number:>3}  {name}", err=True)
    number = click.prompt("Which provider", type=click.IntRange(1, len(names) + 1), err=True)
    if number <= len(names):
        key = click.prompt(f"Key of {names[number - 1]} (not shown)", hide_input=True, err=True)
        return {KEY_SOURCES[number - 1].variables[0]: key.strip()}
    address = click.prompt("Base URL, such as http://127.0.0.1:8000/v1", err=True).strip()
    key = click.prompt("Its key (not shown; empty for none)", hide_input=True, default="", show_default=False, err=True)
    return {"OPENAI_BASE_URL": address, **({"OPENAI_API_KEY": key.strip()} if key.strip() else {})}


async def _answering(entered: Mapping[str, str]) -> str:
    """The model that discovery takes with nothing set but what was entered. Raises UsageError unless it answers."""
    from acp_agent.app import open_app
    from acp_agent.llm.sources import KEY_SOURCES

    others = {name for source in KEY_SOURCES for name in source.variables} | {"OPENAI_BASE_URL", "ACP_MODEL"}
    environ = {name: value for name, value in os.environ.items() if name not in others}
    with tempfile.TemporaryDirectory() as place:
        # A state directory of its own: what was kept before must not stand in for what is tried now.
        alone = {**environ, **entered, "ACP_HOME": place}
        async with open_app(alone, Path.cwd()) as app:
            model = (await app.models.found()).models[0]
            (check,) = await app.models.check([model])
    if check.error is not None:
        raise UsageError(f"{model}: {check.error}", hint=check.hint)
    return model


def _warn_of_environment(entered: Mapping[str, str]) -> None:
    if with_login(os.environ) is os.environ:
        named = ", ".join(name for name in entered if os.environ.get(name))
        click.echo(f"note: {named} of this environment is used instead, as long as it is set", err=True)
