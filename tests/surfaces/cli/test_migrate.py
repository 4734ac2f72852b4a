"""`acp doctor --migrate`: the one way a shared database comes to a newer schema."""

import json
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from acp_agent.config.paths import database_path
from acp_agent.domain.location import ServerLocation
from acp_agent.store.schema import SCHEMA_VERSION

Acp = Callable[..., Any]
DATA = Path(__file__).parents[2] / "data"


def older_file() -> Path:
    """A store as the first version made it."""
    database = database_path(os.environ)
    database.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(database)
    connection.executescript((DATA / "schema-0001.sql").read_text("utf-8") + "PRAGMA user_version = 1;")
    connection.close()
    return database


@pytest.fixture
def older_server(postgres: ServerLocation, monkeypatch: pytest.MonkeyPatch) -> ServerLocation:
    """A database as the first version made it that knew PostgreSQL; every command uses it."""
    import psycopg

    with psycopg.connect(postgres.url) as connection:
        connection.execute((DATA / "schema-0003-postgres.sql").read_text("utf-8"))
    monkeypatch.setenv("ACP_DATABASE_URL", postgres.url)
    return postgres


def test_a_file_is_created_and_upgraded_and_that_only_once(acp: Acp) -> None:
    database = database_path(os.environ)
    assert acp("doctor", "--migrate").stdout == f"{database}: created, schema {SCHEMA_VERSION}\n"
    database.unlink()
    older_file()
    assert acp("doctor", "--migrate").stdout == f"{database}: upgraded from schema 1 to {SCHEMA_VERSION}\n"
    assert acp("doctor", "--migrate").stdout == f"{database}: schema {SCHEMA_VERSION}, nothing to upgrade\n"
    told = json.loads(acp("doctor", "--migrate", "-o", "json").stdout)
    there = {"database": str(database), "from": SCHEMA_VERSION, "to": SCHEMA_VERSION}
    assert told == {"v": 1, **there, "changed": False}


def test_a_newer_file_is_refused_and_left_alone(acp: Acp) -> None:
    database = older_file()
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = database.read_bytes()
    said = acp("doctor", "--migrate")
    assert (said.code, said.stdout) == (2, "")
    assert f"written by a newer acp-agent (schema 99, this one knows {SCHEMA_VERSION})" in said.stderr
    assert database.read_bytes() == before


@pytest.mark.postgres
@pytest.mark.parametrize("words", [["ps"], ["worker"], ["run", "say so"], ["cost"]])
def test_a_command_that_meets_an_older_server_says_what_to_do(
    acp: Acp, older_server: ServerLocation, words: list[str]
) -> None:
    said = acp(*words)
    assert (said.code, said.stdout) == (2, "")
    assert f"its schema is 3, older than that of this acp, {SCHEMA_VERSION}" in said.stderr
    assert "then `acp doctor --migrate` upgrades it" in said.stderr
    assert len(said.stderr.splitlines()) == 2


@pytest.mark.postgres
def test_a_server_is_upgraded_when_it_is_asked_for(acp: Acp, older_server: ServerLocation) -> None:
    checks = json.loads(acp("doctor", "-o", "json").stdout)["checks"]
    waiting = [check for check in checks if check["name"] == "database"]
    assert [check["ok"] for check in waiting] == [False] and "its schema is 3" in waiting[0]["detail"]
    told = json.loads(acp("doctor", "--migrate", "-o", "json").stdout)
    assert told == {"v": 1, "database": older_server.shown, "from": 3, "to": SCHEMA_VERSION, "changed": True}
    assert acp("doctor", "--migrate").stdout == f"{older_server.shown}: schema {SCHEMA_VERSION}, nothing to upgrade\n"
    assert acp("ps").code == 0
