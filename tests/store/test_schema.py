"""The schema: one truth in three forms, made and recognised quickly, never used when it is somebody else's."""

import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path

import anyio
import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine

from acp_agent.domain.errors import UsageError
from acp_agent.domain.events import ApprovalGiven, RunEnded
from acp_agent.domain.ports import Claim, NewStream, Owner
from acp_agent.store import ddl, migrate, schema, sql, sql_erasure, sql_permits, tables
from acp_agent.store.audit import verify_database
from acp_agent.store.beginnings import STATEMENT
from acp_agent.store.journal import StoredJournal
from acp_agent.store.reads import Reads
from acp_agent.store.transaction import among

NewRun = Callable[..., NewStream]
STATEMENTS = {
    name: text for name, text in {**vars(sql), **vars(sql_erasure), **vars(sql_permits)}.items() if name.isupper()
}
MANY = {name: text for name, text in {**STATEMENTS, "BEGINNINGS": STATEMENT}.items() if "(:ids)" in text}
# Whole words that only one of the two databases understands.
SQLITE_ALONE = r"\b(rowid|julianday|strftime|unixepoch|ifnull|iif|glob|autoincrement|replace|ignore|pragma|datetime)\b"


def shape(database: Path) -> list[tuple[str, str]]:
    """Every table and index as SQL without its spacing, and without the quotes that renaming a table leaves."""
    connection = sqlite3.connect(database)
    rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name").fetchall()
    connection.close()
    return [(name, re.sub(r'[\s"]+', "", text)) for name, text in rows]


def created(database: Path) -> Path:
    schema.open_for_writing(database).close()
    return database


def stamps(database: Path) -> tuple[int, list[tuple[str]]]:
    connection = sqlite3.connect(database)
    found = connection.execute("PRAGMA user_version").fetchone()[0]
    revisions = connection.execute("SELECT version_num FROM acp_migration").fetchall()
    connection.close()
    return found, revisions


def test_the_file_of_the_schema_is_what_the_tables_say() -> None:
    assert schema.SCHEMA_FILE.read_text(encoding="utf-8") == ddl.render()


def test_the_migrations_lead_to_the_same_schema_and_stamps(tmp_path: Path) -> None:
    upgraded, made = tmp_path / "upgraded.db", created(tmp_path / "made.db")
    migrate.upgrade(upgraded)
    assert shape(upgraded) == shape(made)
    assert stamps(upgraded) == stamps(made) == (schema.SCHEMA_VERSION, [(schema.REVISION,)])
    assert ScriptDirectory.from_config(migrate.configured()).get_heads() == [schema.REVISION]


FIRST = Path(__file__).parents[1] / "data" / "schema-0001.sql"
ROWS = """
INSERT INTO acp_stream VALUES ('r_b', 'local', 'run', 2, 1, NULL, NULL, 0, 0);
INSERT INTO acp_stream VALUES ('r_a', 'local', 'run', 1, 0, NULL, NULL, 0, 0);
INSERT INTO acp_stream VALUES ('r_c', 'other', 'run', 1, 0, NULL, NULL, 0, 0);
INSERT INTO acp_event VALUES ('r_b', 1, 'local', 30.5, 1, 'cancel_asked', 'ann', NULL, NULL, NULL, '{"type":"a"}');
INSERT INTO acp_event VALUES ('r_a', 1, 'local', 20, 1, 'cancel_asked', 'bob', 3, 4, 0.5, '{"type":"b","x":"ü"}');
INSERT INTO acp_event VALUES ('r_c', 1, 'other', 40, 1, 'cancel_asked', 'eve', NULL, NULL, NULL, '{"type":"c"}');
INSERT INTO acp_event VALUES ('r_b', 2, 'local', 30.5, 1, 'cancel_asked', 'ann', NULL, NULL, NULL, '{"type":"d"}');
INSERT INTO acp_budget VALUES ('local', 'day', 1, 0, 0.5);
PRAGMA user_version = 1;
"""


def made_by_version_1(database: Path) -> Path:
    """A database as the first version made it, with rows of two tenants; the clock went back between two of them."""
    connection = sqlite3.connect(database)
    connection.executescript(FIRST.read_text("utf-8") + ROWS)
    connection.close()
    return database


@pytest.mark.parametrize("command", ["read", "write"])
def test_an_older_database_is_upgraded_keeps_its_rows_and_is_chained(tmp_path: Path, command: str) -> None:
    database = made_by_version_1(tmp_path / "100%.db")
    if command == "write":
        schema.open_for_writing(database).close()
        assert stamps(database) == (schema.SCHEMA_VERSION, [(schema.REVISION,)])
    with Reads(database) as reads:
        assert [tuple(row) for row in reads.budgets()] == [("day", 1.0, 0.0, 0.5)]
        chained = [(row.position, row.stream_id, row.seq, row.ts, row.data) for row in reads.links()]
    assert stamps(database) == (schema.SCHEMA_VERSION, [(schema.REVISION,)])
    assert chained == [
        (1, "r_b", 1, 30.5, '{"type":"a"}'),
        (2, "r_a", 1, 20.0, '{"type":"b","x":"ü"}'),
        (3, "r_b", 2, 30.5, '{"type":"d"}'),
    ]
    for tenant, events in (("local", 3), ("other", 1)):
        verdict = verify_database(database, tenant=tenant)
        assert (verdict.broken, verdict.events) == (None, events)
    assert shape(database) == shape(created(tmp_path / "made.db"))


def test_a_database_of_a_newer_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    database = tmp_path / "acp.db"
    connection = sqlite3.connect(database)
    connection.execute("PRAGMA user_version = 7")
    connection.close()
    before = database.read_bytes()
    for use in (lambda: StoredJournal(database), lambda: Reads(database).__enter__()):
        with pytest.raises(UsageError, match=r"acp\.db: database was written by a newer acp-agent \(schema 7,") as told:
            use()
        assert told.value.hint == "upgrade acp-agent, or set ACP_HOME to another directory"
    assert database.read_bytes() == before


def test_what_is_no_database_is_named(tmp_path: Path) -> None:
    text = tmp_path / "text.db"
    text.write_text("not a database, but a text that is long enough to be taken for one" * 20)
    for path in (text, tmp_path):
        for use in (lambda path=path: StoredJournal(path), lambda path=path: Reads(path).__enter__()):
            with pytest.raises(UsageError, match="cannot use this database") as told:
                use()
            assert told.value.what.startswith(f"{path}: ") and "\n" not in told.value.what
    with pytest.raises(UsageError, match="cannot use this database"):
        StoredJournal(text / "acp.db")


def test_a_journal_writes_through_to_the_disk(tmp_path: Path) -> None:
    connection = schema.open_for_writing(tmp_path / "acp.db")
    pragmas = {name: connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")}
    timeout = connection.execute("PRAGMA busy_timeout").fetchone()[0]
    connection.close()
    assert (pragmas, timeout) == ({"journal_mode": "wal", "synchronous": 2}, 30_000)


async def test_facts_are_waited_for_on_disk_and_mere_leases_are_not(tmp_path: Path, new_run: NewRun, me: Owner) -> None:
    waits: list[bool] = []

    def note(point: str) -> None:
        if point == "journal.before_commit":
            waits.append(journal._writer._connection.rows("PRAGMA synchronous") == [(2,)])

    now = 1_000_000.0
    async with StoredJournal(tmp_path / "acp.db", crash=note, clock=lambda: now) as journal:
        await journal.create([new_run()], "ann")
        claims: list[Claim | None] = []
        for _ in range(4):
            claims.append(await journal.claim("r_one", me))
            now += 11
        assert (claims[3], (await journal.events("r_one"))[-1].data.type) == (None, "parked")
        # A claim that gives a run up leaves a fact.
        assert waits == [True, False, False, False, True]
        waits.clear()
        await journal.note("r_one", [ApprovalGiven(call_id="", decision="retry")], "ann")
        claim = await journal.claim("r_one", me)
        assert claim is not None
        await journal.append(claim, [RunEnded(reason="end_turn")])
        await journal.renew([claim])
        await journal.release(claim)
        assert waits == [True, False, True, False, False]


@pytest.fixture(scope="module")
def catalogue() -> Generator[Connection]:
    """A database of exactly the catalogue's tables."""
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        tables.Table.metadata.create_all(connection)
        yield connection
    engine.dispose()


@pytest.mark.parametrize("name", STATEMENTS)
def test_every_table_and_column_of_a_statement_exists_in_the_catalogue(catalogue: Connection, name: str) -> None:
    text = STATEMENTS[name]
    values = dict.fromkeys(re.findall(r":(\w+)", text))
    # SQLite resolves every name when it explains.
    assert catalogue.exec_driver_sql(f"EXPLAIN {text}", values).fetchall()


@pytest.mark.parametrize("name", sorted(STATEMENTS.keys() - {"NOW"}))
def test_a_statement_means_the_same_to_both_databases(name: str) -> None:
    assert re.findall(SQLITE_ALONE, STATEMENTS[name], re.IGNORECASE) == []
    assert '"' not in STATEMENTS[name] and "?" not in STATEMENTS[name]


@pytest.mark.parametrize("name", sorted(name for name in MANY if "LIMIT" not in MANY[name]))
def test_many_ids_are_each_looked_up_and_no_table_is_read_for_them(tmp_path: Path, name: str) -> None:
    connection = schema.open_for_writing(tmp_path / "acp.db")
    [(text, ids)] = among(MANY[name], [f"r_{number}" for number in range(64)])
    plan = connection.execute(f"EXPLAIN QUERY PLAN {text}", {**dict.fromkeys(re.findall(r":(\w+)", text), ""), **ids})
    steps = [step for *_, step in plan]
    connection.close()
    assert not [step for step in steps if "SCAN" in step or "tenant=?" in step]


def test_every_table_is_ours_by_name_and_has_a_tenant() -> None:
    found = tables.Table.metadata.tables
    assert [name for name, table in found.items() if not name.startswith("acp_") or "tenant" not in table.c] == []


def imported(program: str) -> set[str]:
    program += "\nimport sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in done.stdout.split()}


def test_the_fast_commands_read_with_the_standard_library_alone(
    tmp_path: Path, clean_environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", clean_environ["PYTHONPATH"])
    database = created(tmp_path / "acp.db")
    program = f"from acp_agent.store.reads import Reads\nwith Reads({str(database)!r}) as reads: reads.runs()"
    heavy = {"alembic", "anyio", "asyncio", "dataclasses", "httpx", "pydantic", "sqlalchemy", "sqlmodel", "subprocess"}
    assert imported(program) & heavy == set()


def test_the_journal_opens_without_a_mapper(
    tmp_path: Path, clean_environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", clean_environ["PYTHONPATH"])
    program = f"""
import anyio
from acp_agent.store.audit import verify_database
from acp_agent.store.journal import StoredJournal
async def main():
    async with StoredJournal({str(tmp_path / "acp.db")!r}) as journal:
        await journal.claimable(None, 1)
anyio.run(main)"""
    assert imported(program) & {"alembic", "sqlalchemy", "sqlmodel"} == set()


def test_an_upgrade_waits_for_another_process_and_finds_its_work_done(tmp_path: Path) -> None:
    database = created(tmp_path / "acp.db")

    async def both() -> None:
        async with anyio.create_task_group() as group:
            for _ in range(2):
                group.start_soon(anyio.to_thread.run_sync, migrate.upgrade, database)

    anyio.run(both)
    assert stamps(database) == (schema.SCHEMA_VERSION, [(schema.REVISION,)])
