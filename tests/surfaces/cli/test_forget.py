"""`acp forget`: nothing of what was said is left, and the record still proves everything else."""

import json
import os
from collections.abc import Callable
from typing import Any

import pytest

from acp_agent.config.paths import database_path, state_dir
from acp_agent.domain.events import Committed, Fact, ModelCalled, Parked, Rejected, RunEnded
from acp_agent.tools.kept import Kept

Acp = Callable[..., Any]
Put = Callable[..., str]

SECRET = 'Jane "Doe" of Anytown'
CALLED = ModelCalled(call_id="m_1", model="openai/small")
WHY = "she asked for it"


def ended(said: str, *more: Fact) -> list[Fact]:
    return [CALLED, RunEnded(reason="error", message=said), *more]


def raw() -> bytes:
    """Every byte of the store's files."""
    return b"".join(path.read_bytes() for path in database_path(os.environ).parent.glob("acp.db*"))


def test_a_text_is_gone_from_every_file_and_the_chain_is_whole(acp: Acp, put_on_record: Put) -> None:
    batch = put_on_record(api=ended(f"cannot reach {SECRET}"), web=ended("fine"))
    before = json.loads(acp("audit", "verify", "-o", "json").stdout)
    kept = Kept.of(state_dir(os.environ), "r_web")
    kept.put(f"name: {SECRET}\n".encode())
    history = state_dir(os.environ) / "chat_history"
    history.write_text(f"hello\nwho is {SECRET}?\nbye\n")
    cost = acp("ps", "--all").stdout.count("openai")
    assert b"Jane" in raw()

    said = acp("forget", "--match", SECRET, "--reason", WHY, "--yes")
    assert said.code == 0, said.stderr
    # The run whose record has it, and the one that only kept a file with it.
    assert said.stdout == "forgotten: run r_api, run r_web: 6 payloads, 2 kept files\n"
    assert b"Jane" not in raw() and not kept.folder.exists() and history.read_text() == "hello\nbye\n"
    verdict = json.loads(acp("audit", "verify", "-o", "json", "--anchor", before["anchor"]).stdout)
    assert verdict["whole"] and {one["reason"] for one in verdict["erased"]} == {WHY}
    assert len(verdict["erased"]) == 6
    assert acp("ps", "--all").stdout.count("openai") == cost
    shown = acp("show", "r_api")
    assert (shown.code, shown.stdout) == (5, "")
    assert shown.stderr.startswith(f"acp: what r_api said was erased: {WHY}\nhint: ")
    assert acp("logs", "r_api").code == 5 and acp("show", batch).code == 0
    assert acp("forget", "--match", SECRET, "--yes").code == 5


def test_a_batch_is_forgotten_with_its_runs(acp: Acp, put_on_record: Put) -> None:
    batch = put_on_record(api=ended("one"), web=ended("two"))
    refused = acp("forget", batch, "--yes")
    assert (refused.code, refused.stderr.splitlines()[0]) == (6, f"acp: {batch} is not over: it is running")
    assert "type hints" in acp("show", batch).stdout

    document = json.loads(acp("forget", "r_api", "--yes", "-o", "json").stdout)
    assert document == {"v": 1, "forgotten": ["r_api"], "payloads": 3, "files": 0, "scrubbed": True}
    assert acp("show", batch).code == acp("logs", batch).code == 0
    assert [one["project"] for one in json.loads(acp("show", batch, "-o", "json").stdout)["projects"]] == ["web"]


@pytest.mark.parametrize(
    ("facts", "why", "hint"),
    [
        ([CALLED], "r_api is not over: it is queued", "acp cancel r_api"),
        ([Parked(waiting="approval", detail="?")], "r_api is not over: it is waiting", "acp cancel r_api"),
        (
            [Committed(commit="1" * 40, files=1), RunEnded(reason="end_turn")],
            "r_api has a result that waits for you",
            "acp accept r_api or acp reject r_api",
        ),
    ],
)
def test_what_is_not_over_is_not_forgotten(
    acp: Acp, put_on_record: Put, facts: list[Fact], why: str, hint: str
) -> None:
    put_on_record(web=ended("fine"), api=facts)
    before = raw()
    said = acp("forget", "--match", "add type hints", "--yes")
    assert said.code == 6
    said = acp("forget", "r_api", "--yes")
    assert (said.code, said.stderr.splitlines()[0]) == (6, f"acp: {why}")
    assert said.stderr.splitlines()[1].startswith(f"hint: {hint}")
    assert raw() == before


def test_a_result_that_was_rejected_can_be_forgotten(acp: Acp, put_on_record: Put) -> None:
    put_on_record(api=[Committed(commit="1" * 40, files=1), RunEnded(reason="end_turn"), Rejected()])
    assert acp("forget", "r_api", "--yes").code == 0


def test_bad_input_is_said_in_one_line(acp: Acp, put_on_record: Put) -> None:
    put_on_record(api=ended("fine"), apis=ended("fine"))
    for words, code, line in (
        ((), 2, "name one: an ID, or --match TEXT"),
        (("r_api", "--match", "fine"), 2, "name one: an ID, or --match TEXT"),
        (("--match", "x"), 2, "--match: a text of at least 4 characters"),
        (("r_ap",), 2, "'r_ap' is ambiguous: r_api, r_apis"),
        (("r_nothing",), 2, "'r_nothing' is nothing on record"),
        (("--match", "never said", "--yes"), 5, "that text stands nowhere on record"),
        (("r_api",), 6, "this would forget r_api, for good"),
    ):
        said = acp("forget", *words)
        assert (said.code, said.stderr.splitlines()[0]) == (code, f"acp: {line}")
        assert len(said.stderr.splitlines()) == 2
