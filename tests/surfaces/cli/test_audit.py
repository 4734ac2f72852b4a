"""`acp audit` as a person meets it: what it says, in words and JSON, and with which exit code."""

import json
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from acp_agent.config.paths import database_path

Acp = Callable[..., Any]


@pytest.fixture
def database(on_record: str) -> Path:
    """The database of a store with something in it."""
    return database_path(os.environ)


def test_a_whole_record_is_said_to_be_whole_with_its_anchor(acp: Acp, database: Path, tmp_path: Path) -> None:
    said = acp("audit", "verify")
    lines = said.stdout.splitlines()
    assert said.code == 0 and lines[0].startswith("whole: ") and lines[1].startswith("anchor: ")
    anchor = lines[1].removeprefix("anchor: ")

    document = json.loads(acp("audit", "verify", "-o", "json", "--anchor", anchor).stdout)
    assert document["whole"] is True and document["anchor"] == anchor and document["broken"] is None

    exported = acp("audit", "export", "--out", str(tmp_path / "all.jsonl"))
    assert (exported.code, exported.stderr) == (0, f"anchor: {anchor}\n")
    assert acp("audit", "verify", str(tmp_path / "all.jsonl"), "--anchor", anchor).code == 0
    assert acp("audit", "export", "-o", "jsonl").stdout == (tmp_path / "all.jsonl").read_text("utf-8")
    assert 'payload"' not in acp("audit", "export", "--hashes-only", "--since", "1d").stdout


def test_a_changed_record_exits_1_and_names_the_first_place(acp: Acp, database: Path) -> None:
    connection = sqlite3.connect(database)
    stream_id, seq = connection.execute("SELECT stream_id, seq FROM acp_event WHERE position = 3").fetchone()
    connection.execute("UPDATE acp_event SET actor = 'mallory' WHERE position = 3")
    connection.commit()
    connection.close()
    said = acp("audit", "verify")
    assert said.code == 1
    assert said.stdout.startswith(f"broken: {stream_id} seq {seq}: a row was changed (changed_row): ")
    assert "whole up to position 2" in said.stdout
    document = json.loads(acp("audit", "verify", "-o", "json").stdout)
    assert document["broken"] | {"detail": ""} == {
        "kind": "changed_row",
        "position": 3,
        "stream": stream_id,
        "seq": seq,
        "detail": "",
    }


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("verify", "--anchor", "12"), "--anchor '12': no anchor"),
        (("verify", "no-such-file"), "no-such-file: cannot be read"),
        (("export", "--since", "yesterday"), "--since 'yesterday': no time"),
        (("export", "--out", "/no/such/place"), "--out /no/such/place: no such file or directory"),
    ],
)
def test_what_cannot_be_understood_is_named(acp: Acp, words: tuple[str, ...], complaint: str) -> None:
    said = acp("audit", *words)
    assert said.code == 2 and complaint in said.stderr


def test_a_file_that_is_no_export_is_named(acp: Acp, tmp_path: Path) -> None:
    for text, place in (("", ":1"), ("[1]\n", ":1"), ('{"audit": "begin", "v": 1, "position": 0}\n', ":1")):
        file = tmp_path / "no.jsonl"
        file.write_text(text)
        said = acp("audit", "verify", str(file))
        assert said.code == 2 and f"{file}{place}" in said.stderr, said.stderr
