"""The process behind `acp_agent.testing.warm`: imports the package, then forks a child for each start asked for."""

import atexit
import contextlib
import gc
import importlib
import json
import os
import pkgutil
import runpy
import selectors
import signal
import socket
import sys
import threading
import traceback
from importlib.machinery import ModuleSpec
from typing import NoReturn

import acp_agent

HEAVY = ("acp", "alembic", "litellm", "mcp", "psycopg", "sqlalchemy", "sqlmodel", "textual", "xllamacpp")
"""Imported by a start that needs them, as ever: some start threads, and a process that has threads cannot be forked."""


class _WithoutHeavy:
    """Refuses the libraries that `acp` imports only when they are needed."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if name.partition(".")[0] in HEAVY:
            raise ImportError(f"{name} is not for the nursery", name=name)
        return None


def import_all() -> None:
    """Import every module of the package that needs nothing heavy."""
    finder = _WithoutHeavy()
    sys.meta_path.insert(0, finder)
    for module in pkgutil.walk_packages(acp_agent.__path__, "acp_agent.", onerror=lambda name: None):
        if not module.name.startswith(("acp_agent.testing", "acp_agent.store.migrations", "acp_agent.main")):
            try:
                importlib.import_module(module.name)
            except ImportError as error:
                # What is missing for another reason is missing in a cold start too.
                if (error.name or "").partition(".")[0] not in HEAVY:
                    raise
    sys.meta_path.remove(finder)


def fork_on_demand(control: socket.socket) -> list[str] | None:
    """Fork for whoever asks. Returns the words in each child, and None in this process once nobody can ask any more."""
    wakes, woken = os.pipe()
    os.set_blocking(woken, False)
    os.set_blocking(wakes, False)
    signal.set_wakeup_fd(woken)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    running: dict[int, int] = {}
    with selectors.DefaultSelector() as selector:
        selector.register(control, selectors.EVENT_READ)
        selector.register(wakes, selectors.EVENT_READ)
        while True:
            ready = {key.fileobj for key, _ in selector.select()}
            if wakes in ready:
                os.read(wakes, 4096)
                _bury(running)
            if control in ready:
                asked, descriptors, _, _ = socket.recv_fds(control, 1, 5)
                if not asked:
                    return None
                letter, said, *streams = descriptors
                if (pid := os.fork()) == 0:
                    return _become(letter, said, streams)
                running[pid] = said
                for descriptor in (letter, *streams):
                    os.close(descriptor)


def _bury(running: dict[int, int]) -> None:
    """Say of every child that has ended how it did."""
    while running:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        said = running.pop(pid)
        with contextlib.suppress(BrokenPipeError):  # nobody waits for it
            os.write(said, b"ended %d\n" % os.waitstatus_to_exitcode(status))
        os.close(said)


def _become(letter: int, said: int, streams: list[int]) -> list[str]:
    """Make this child what was asked for, and say so; the words of its command line."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with open(letter, "rb") as file:
        told = json.load(file)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    # Opened anew: a stream remembers whether what it was opened on could be sought.
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", errors=sys.stdout.errors, closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, errors=sys.stderr.errors, closefd=False)  # noqa: SIM115
    os.setsid()
    os.chdir(told["cwd"])
    os.environ.clear()
    os.environ.update(told["environment"])
    sys.path[0] = told["cwd"]
    words: list[str] = told["words"]
    # Not before: whoever is told may kill its session at once.
    os.write(said, b"began %d\n" % os.getpid())
    return words


def _run() -> int:
    """Be `python -m acp_agent.main`; its exit code."""
    try:
        runpy.run_module("acp_agent.main", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if isinstance(end.code, str):
            sys.stderr.write(f"{end.code}\n")
            return 1
        return end.code or 0
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _leave(code: int) -> NoReturn:
    """End as an interpreter does, without taking apart what was imported: that costs more than all else in a start."""
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def main() -> None:
    """Import, then be forked; each child goes on here as `acp`."""
    control = socket.socket(fileno=int(sys.argv[1]))
    import_all()
    if threading.active_count() > 1:
        raise RuntimeError(f"an import has started threads: {threading.enumerate()}")
    gc.collect()
    gc.freeze()
    words = fork_on_demand(control)
    if words is not None:
        control.detach()
        os.closerange(3, 1024)
        sys.argv[1:] = words
        _leave(_run())


if __name__ == "__main__":
    main()
