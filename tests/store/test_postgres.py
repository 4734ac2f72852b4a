"""What is particular to a server: its schema, its URL, and connections that are lost."""

import re
import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path

import anyio
import psycopg
import pytest
from alembic.script import ScriptDirectory

from acp_agent.domain.errors import ExitCode, UsageError
from acp_agent.domain.events import RunEnded
from acp_agent.domain.location import ServerLocation
from acp_agent.domain.ports import NewStream, Owner
from acp_agent.store import ddl, migrate, schema, sql, sql_erasure
from acp_agent.store.audit import verify_database
from acp_agent.store.journal import StoredJournal
from acp_agent.store.postgres import LOCK, PostgresDatabase, adapted
from acp_agent.store.reads import Reads
from acp_agent.store.scrub import scrub
from acp_agent.testing.postgres import PostgresServer

pytestmark = [pytest.mark.anyio, pytest.mark.postgres]
NewRun = Callable[..., NewStream]
STATEMENTS = {name: text for name, text in {**vars(sql), **vars(sql_erasure)}.items() if name.isupper()}
SHAPE = """
SELECT table_name, column_name, data_type, collation_name, is_nullable
FROM information_schema.columns WHERE table_schema = current_schema() ORDER BY table_name, ordinal_position"""
# The name of a key depends on whether its table was made anew.
INDEXES = """
SELECT tablename, regexp_replace(indexdef, 'INDEX \\S+ ON \\S+\\.', '') FROM pg_indexes
WHERE schemaname = current_schema() ORDER BY 1, 2"""


def shape(location: ServerLocation) -> list[tuple[object, ...]]:
    with psycopg.connect(location.url) as connection:
        return [row for query in (SHAPE, INDEXES) for row in connection.execute(query)]


def run_sql(location: ServerLocation, statements: str) -> None:
    with psycopg.connect(location.url) as connection:
        connection.execute(statements)


def test_the_file_of_the_schema_is_what_the_tables_say() -> None:
    assert schema.POSTGRES_SCHEMA_FILE.read_text(encoding="utf-8") == ddl.render_postgres()


def test_the_migrations_lead_to_the_same_schema_and_stamp(
    postgres: ServerLocation, new_postgres: Callable[[], ServerLocation]
) -> None:
    made = new_postgres()
    open_and_close(made)
    upgrade(postgres)
    assert shape(postgres) == shape(made)
    with Reads(postgres) as reads:
        assert reads.runs() == []


def open_and_close(location: ServerLocation) -> None:
    PostgresDatabase(location).open_for_writing().close()


def upgrade(location: ServerLocation) -> None:
    migrate.upgrade_server(location.url, LOCK, location.shown)


FIRST = Path(__file__).parents[1] / "data" / "schema-0003-postgres.sql"
"""As the first version made it that knew PostgreSQL."""


async def test_an_older_database_is_refused_until_one_of_two_that_were_asked_upgrades_it(
    postgres: ServerLocation, new_postgres: Callable[[], ServerLocation], new_run: NewRun
) -> None:
    run_sql(postgres, FIRST.read_text("utf-8"))
    run_sql(postgres, "INSERT INTO acp_budget VALUES ('local', 'day', 1, 0, 0.5)")
    older = shape(postgres)
    for use in uses(postgres):
        with pytest.raises(UsageError, match=r": its schema is 3, older than that of this acp, \d+$") as told:
            use()
        assert "`acp doctor --migrate`" in (told.value.hint or "")
    assert shape(postgres) == older
    before: list[int] = []
    async with anyio.create_task_group() as group:
        for _ in range(2):
            group.start_soon(lambda: _migrated(postgres, before))
    assert sorted(before) == [3, schema.SCHEMA_VERSION]
    made = new_postgres()
    assert PostgresDatabase(made).migrate() == 0
    assert shape(postgres) == shape(made)
    async with StoredJournal(postgres) as journal:
        await journal.create([new_run()], "ann")
    with Reads(postgres) as reads:
        assert [run.id for run in reads.runs()] == ["r_one"]
        assert [tuple(row) for row in reads.budgets()] == [("day", 1.0, 0.0, 0.5)]
    assert ScriptDirectory.from_config(migrate.configured()).get_heads() == [schema.REVISION]


async def _migrated(location: ServerLocation, before: list[int]) -> None:
    before.append(await anyio.to_thread.run_sync(PostgresDatabase(location).migrate))


async def test_an_account_that_may_not_upgrade_is_told_so_and_changes_nothing(
    postgres: ServerLocation, postgres_server: PostgresServer
) -> None:
    run_sql(postgres, FIRST.read_text("utf-8"))
    name = postgres.url.rpartition("%3D")[2]
    grants = f"GRANT USAGE ON SCHEMA {name} TO guest; GRANT SELECT ON ALL TABLES IN SCHEMA {name} TO guest"
    run_sql(postgres, f"DROP ROLE IF EXISTS guest; CREATE ROLE guest LOGIN; {grants}")
    older = shape(postgres)
    guest = PostgresDatabase(postgres._replace(url=postgres.url.replace("acp@", "guest@")))
    with pytest.raises(UsageError, match=r"cannot use this database: must be owner of table") as told:
        guest.migrate()
    assert "\n" not in told.value.what
    assert shape(postgres) == older


@pytest.mark.parametrize("name", sorted(STATEMENTS))
def test_a_statement_is_understood(prepared: psycopg.Connection, name: str) -> None:
    statement = adapted(STATEMENTS[name]).decode()
    order = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", statement)))
    # Not explained: only what is prepared must say of which type each parameter is.
    native = re.sub(r"%\((\w+)\)s", lambda found: f"${order.index(found[1]) + 1}", statement).replace("%%", "%")
    result = prepared.pgconn.prepare(b"", native.encode())
    assert result.status == psycopg.pq.ExecStatus.COMMAND_OK, result.error_message.decode()


@pytest.fixture(scope="module")
def prepared(
    postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Generator[psycopg.Connection]:
    """A connection to a database of ours."""
    url = postgres_server.new_url()
    open_and_close(ServerLocation(url, tmp_path_factory.mktemp("state")))
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


async def test_processes_that_start_on_one_empty_database_all_succeed_and_make_one_chain(
    postgres: ServerLocation, new_run: NewRun
) -> None:
    async def start(number: int) -> None:
        journal = await anyio.to_thread.run_sync(StoredJournal, postgres)
        async with journal, anyio.create_task_group() as group:
            for each in range(10):
                group.start_soon(journal.create, [new_run(f"r_{number}{each}")], "ann")

    async with anyio.create_task_group() as group:
        for number in range(4):
            group.start_soon(start, number)
    verdict = verify_database(postgres)
    assert (verdict.broken, verdict.events, verdict.anchors) == (None, 40, 4)


async def test_text_that_the_server_cannot_hold_is_kept_in_the_facts_and_shown_without(
    postgres: ServerLocation, new_run: NewRun
) -> None:
    async with StoredJournal(postgres) as journal:
        await journal.create([new_run(prompt="a\x00b")], "ann")
        [started] = await journal.events("r_one")
        assert started.data.request.prompt == "a\x00b"
    with Reads(postgres) as reads:
        assert reads.run("r_one").prompt == "a\ufffdb"


async def test_what_is_erased_leaves_the_pages_too(postgres: ServerLocation, new_run: NewRun, me: Owner) -> None:
    async with StoredJournal(postgres) as journal:
        await journal.create([new_run(prompt="hunter2")], "ann")
        claim = await journal.claim("r_one", me)
        await journal.append(claim, [RunEnded(reason="end_turn")])
        assert await journal.erase(["r_one"], "asked for", "ann") == 2
        with psycopg.connect(postgres.url) as busy:
            busy.execute("LOCK TABLE acp_session IN ACCESS SHARE MODE")
            assert not PostgresDatabase(postgres).scrub(10)
        assert scrub(postgres)
    with psycopg.connect(postgres.url) as connection:
        assert connection.execute("SELECT relpages FROM pg_class WHERE oid = 'acp_event'::regclass").fetchone() == (1,)
    assert verify_database(postgres).broken is None


def uses(location: ServerLocation) -> list[Callable[[], object]]:
    return [lambda: StoredJournal(location), lambda: Reads(location).__enter__()]


def test_a_database_of_a_newer_version_is_refused_and_left_alone(postgres: ServerLocation) -> None:
    open_and_close(postgres)
    run_sql(postgres, "UPDATE acp_migration SET version_num = '0999'")
    for use in uses(postgres):
        with pytest.raises(UsageError, match=r"written by a newer acp-agent \(schema 999,") as told:
            use()
        assert told.value.hint == "upgrade acp-agent, or set ACP_DATABASE_URL to another database"


@pytest.mark.parametrize("problem", ["no server", "no database", "wrong password", "no URL"])
def test_a_server_that_cannot_be_used_is_named_in_one_line_without_the_password(
    postgres_server: PostgresServer, tmp_path: Path, problem: str
) -> None:
    secret = "hunter2-p@ss:w/rd"
    url = postgres_server.url(account="locked", password=secret)
    if problem == "wrong password":
        postgres_server.sql("DROP ROLE IF EXISTS locked; CREATE ROLE locked LOGIN PASSWORD 'other'")
        postgres_server.ask_passwords_of("locked")
    said = {
        "no server": url.replace("host=", "host=%2Fnowhere"),
        "no database": url.replace("/postgres?", "/none?").replace("locked", "acp"),
        "wrong password": url,
        "no URL": url.replace("?host", "?ghost"),
    }
    location = ServerLocation(said[problem], tmp_path)
    for use in uses(location):
        with pytest.raises(UsageError) as told:
            use()
        text = f"{told.value.what} {told.value.hint}"
        assert told.value.exit_code == ExitCode.USAGE
        assert "ACP_DATABASE_URL" in text and "\n" not in text
        assert not [part for part in ("hunter2", "p@ss", "p%40ss") if part in text]


def test_without_the_driver_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "acp_agent.store.postgres", None)
    for use in uses(ServerLocation("postgresql://acp:secret@host/db", tmp_path)):
        with pytest.raises(UsageError, match=r"^postgresql://acp@host/db: the driver") as told:
            use()
        assert told.value.hint == "pip install 'acp-agent[postgres]'"


def test_the_driver_is_imported_only_for_a_server(tmp_path: Path, clean_environ: dict[str, str]) -> None:
    program = f"""
import sys
import acp_agent.store.journal
from acp_agent.store.reads import Reads
with Reads({str(tmp_path / "acp.db")!r}) as reads: reads.runs()
print(*sys.modules)"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=clean_environ)
    assert "psycopg" not in done.stdout.split()
