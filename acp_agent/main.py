"""The console scripts begin here; it alone knows all surfaces, and imports only the one that is asked for."""

import atexit
import gc
import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from acp_agent.config.listening import Listening

_PLUGINS = "pydantic.plugin._loader"


def main() -> None:
    """`acp`: run the command line of this process and exit with its code."""
    _start_fast()
    if sys.argv[1:] == ["serve"]:
        _serve_stdio()
    from acp_agent.surfaces.cli.entry import run_command_line

    sys.exit(run_command_line(sys.argv[1:], _serve_remotely))


def serve() -> None:
    """`acp-agent`: the same as `acp serve`, which may be its first word."""
    _start_fast()
    words = sys.argv[1:]
    if words[:1] == ["serve"]:
        del words[0]
    if not words:
        _serve_stdio()
    from acp_agent.surfaces.cli.entry import run_command_line

    sys.exit(run_command_line(["serve", *words], _serve_remotely))


def _serve_remotely(listening: "Listening") -> int:
    """Speak the protocol, and what goes with it, at an address or a socket file; returns the exit code."""
    from acp_agent.surfaces.acp.remote import run
    from acp_agent.surfaces.rest.server import Server

    return run(Server.at(listening).host)


def _start_fast() -> None:
    _collect_rarely()
    _without_plugins()


def _without_plugins() -> None:
    """Make no first model of pydantic look through all that is installed for plugins, which takes 50 ms; we want none.

    Whatever else is asked of the module that does it, the real one answers.
    """
    loader = ModuleType(_PLUGINS)

    def real(name: str) -> object:
        del sys.modules[_PLUGINS]
        return getattr(import_module(_PLUGINS), name)

    vars(loader).update(get_plugins=tuple, __getattr__=real)
    sys.modules[_PLUGINS] = loader


def _collect_rarely() -> None:
    """Imports make many objects that all stay: looking for rubbish among them is a sixth of a short process's work.

    Where there is an application, it goes on from there (`observe.memory`).
    """
    gc.set_threshold(200_000, 20, 20)
    # What is left at the end goes with the process; the interpreter need not walk it once more.
    atexit.register(gc.freeze)


def _serve_stdio() -> None:
    """Speak the protocol over stdin and stdout and exit: answer `initialize` first, import the rest then."""
    from acp_agent.surfaces.acp.first import begin

    try:
        start = begin()
        from acp_agent.surfaces.acp.serve import run

        sys.exit(run(start))
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
