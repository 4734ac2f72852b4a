"""Commands that are imported only when they are called: `acp --help` knows their names and one line of help."""

import difflib
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class ReaderGone(Exception):
    """Whoever read our standard output has left."""


class Command(click.Command):
    """A command of `acp`; every one takes `--debug`, which `entry` reads."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """The parameters with `--debug` before `--help`."""
        *own, last = super().get_params(ctx)
        return [*own, debug_option(), last]


class LazyGroup(click.Group):
    """A group over a table of `name: ("module:attribute", "one line of help")`."""

    def __init__(self, *, table: Mapping[str, tuple[str, str]], **options: Any) -> None:
        super().__init__(**options)
        self.table = table

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """The parameters with `--debug` before `--help`."""
        *own, last = super().get_params(ctx)
        return [*own, debug_option(), last]

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a closed pipe becomes ReaderGone, since click would turn it into a failure."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise ReaderGone from error

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the table, which is the order of a day's work."""
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command `cmd_name`."""
        if cmd_name not in self.table:
            return None
        module, _, attribute = self.table[cmd_name][0].partition(":")
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say which one is meant."""
        command = self.get_command(ctx, args[0])
        if command is not None or args[0].startswith("-") or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        close = difflib.get_close_matches(args[0], self.table, n=1)
        raise click.UsageError(f"no command {args[0]!r}" + (f"; did you mean {close[0]!r}?" if close else ""), ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands from the table, importing none."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in self.table.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem]":
        """Complete command names from the table, importing none."""
        from click.shell_completion import CompletionItem

        names = [
            CompletionItem(name, help=line) for name, (_, line) in self.table.items() if name.startswith(incomplete)
        ]
        return names + click.Command.shell_complete(self, ctx, incomplete)


def debug_option() -> click.Option:
    """`--debug`: show the trace of an error."""
    return click.Option(["--debug"], is_flag=True, expose_value=False, help="Show the trace of an error.")
