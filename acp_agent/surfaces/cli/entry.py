"""What surrounds every command: errors as one line and a hint, exit codes, signals, closed pipes."""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import TYPE_CHECKING

import click

from acp_agent.domain.errors import AcpAgentError, ExitCode
from acp_agent.surfaces.cli.group import ReaderGone
from acp_agent.surfaces.cli.text import one_line

if TYPE_CHECKING:
    from acp_agent.surfaces.cli.serve import Serve


def run_command_line(arguments: Sequence[str], serve: "Serve | None" = None) -> int:
    """Run `acp` with `arguments`; returns the exit code. Shows no traceback unless `--debug` is among them.

    `serve` is what serves at an address: other surfaces than this one, which only whoever calls us knows.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        with _terminable():
            code = _invoke(arguments, serve)
            sys.stdout.flush()
            return code
    except (BrokenPipeError, ReaderGone):
        return _reader_gone()
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else int(ExitCode.FAILED)
    except BaseException as error:
        return _report(_root_of(error), debug="--debug" in arguments)


def _invoke(arguments: Sequence[str], serve: "Serve | None") -> int:
    from acp_agent.surfaces.cli.root import acp

    try:
        result = acp.main(list(arguments), prog_name="acp", standalone_mode=False, obj=serve)
    except BaseExceptionGroup as group:
        raise _root_of(group) from group
    return int(result) if isinstance(result, int) else int(ExitCode.OK)


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends the process by the same way out as an error, with its own code."""

    def terminate(number: int, frame: FrameType | None) -> None:
        click.echo("acp: terminated", err=True)
        raise SystemExit(int(ExitCode.TERMINATED))

    previous = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _root_of(error: BaseException) -> BaseException:
    """The error that matters: task groups wrap what their tasks raise."""
    while isinstance(error, BaseExceptionGroup):
        people = error.subgroup(AcpAgentError)
        error = (people or error).exceptions[0]
    return error


def _report(error: BaseException, *, debug: bool) -> int:
    if debug:
        import traceback

        click.echo(_without_secrets("".join(traceback.format_exception(error))), err=True, nl=False)
    match error:
        case AcpAgentError():
            return complain(error.what, error.hint, error.exit_code)
        case click.exceptions.NoArgsIsHelpError():
            click.echo(error.format_message(), err=True)
            return int(ExitCode.USAGE)
        case click.UsageError():
            path = error.ctx.command_path if error.ctx else "acp"
            return complain(_in_our_words(error), f"see {path} --help", ExitCode.USAGE)
        case click.ClickException():
            return complain(_in_our_words(error), None, ExitCode.USAGE)
        case click.Abort() | KeyboardInterrupt():
            return complain("interrupted", "acp resume goes on with work that had begun", ExitCode.INTERRUPTED)
        case BrokenPipeError() | ReaderGone():
            return _reader_gone()
        case _:
            advice = "" if debug else " (run again with --debug for the trace)"
            return complain(f"internal error: {type(error).__name__}: {error}{advice}", None, ExitCode.FAILED)


def _in_our_words(error: click.ClickException) -> str:
    message = error.format_message().rstrip(".")
    return message[:1].lower() + message[1:]


def complain(what: str, hint: str | None, code: ExitCode) -> int:
    """Say on stderr what is wrong and what to do; returns `code`."""
    click.echo(f"acp: {one_line(_without_secrets(what))}", err=True)
    if hint:
        click.echo(f"hint: {one_line(_without_secrets(hint))}", err=True)
    return int(code)


def _without_secrets(text: str) -> str:
    from acp_agent.domain.redact import Redactor, secrets_of

    return Redactor(secrets_of(os.environ))(text)


def _reader_gone() -> int:
    """Whoever read our output has left: no failure of ours, and nothing more to say, at exit neither."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return int(ExitCode.OK)
