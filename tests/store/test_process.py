"""Processes told apart: by what they are, not by a number that the system gives away again."""

import os
import subprocess
import sys

import pytest

from acp_agent.domain.ports import Owner
from acp_agent.store import process
from acp_agent.store.owner import owner_of_this_process


def test_this_process_is_itself_and_alive() -> None:
    me = owner_of_this_process()
    assert me == owner_of_this_process() == Owner.model_validate(process.identity())
    assert not process.is_gone(me.model_dump())
    assert me.started and me.boot_id


def test_a_process_is_gone_once_killed_even_while_nobody_has_waited_for_it() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        owner = {**process.identity(), "pid": child.pid, "started": process.started(child.pid) or ""}
        assert not process.is_gone(owner)
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert process.is_gone(owner)
    assert process.is_gone(owner)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process's name beside its start time")
def test_a_name_with_spaces_and_parentheses_does_not_confuse() -> None:
    program = "import ctypes, sys; ctypes.CDLL(None).prctl(15, b'a) Z 1 (b'); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        before = process.started(child.pid)
        assert child.stdout is not None and child.stdin is not None
        child.stdout.readline()
        assert process.started(child.pid) == before is not None
        child.kill()


def test_who_is_gone_depends_on_host_boot_and_start() -> None:
    me = process.identity()
    others = {name: {**me, name: "another"} for name in ("host", "boot_id", "started")}
    assert {name: process.is_gone(owner) for name, owner in others.items()} == {
        "host": False,
        "boot_id": True,
        "started": True,
    }
