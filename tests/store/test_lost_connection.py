"""Connections that break: at rest, in a transaction, and after a commit that nobody confirmed."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import anyio
import psycopg
import pytest

from acp_agent.domain.errors import NotRecorded
from acp_agent.domain.events import ModelCalled, RunEnded
from acp_agent.domain.location import ServerLocation
from acp_agent.domain.ports import Claim, NewStream, Owner, Pulse
from acp_agent.store import reconnect
from acp_agent.store.audit import verify_database
from acp_agent.store.journal import StoredJournal
from acp_agent.testing.postgres import PostgresServer

pytestmark = [pytest.mark.anyio, pytest.mark.postgres]
NewRun = Callable[..., NewStream]
CALLED = ModelCalled(call_id="m1", model="openai/small", reserved=0.5)
SOCKET = ".s.PGSQL.5432"
CONFIRMED = b"C\x00\x00\x00\x0bCOMMIT\x00"


class Cutter:
    """Stands between a client and a server, and cuts a connection instead of passing on that a commit succeeded."""

    def __init__(self, server: Path, folder: Path) -> None:
        self._server = server
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / SOCKET))
        self._listener.listen()
        self.cuts = 0
        """How many confirmations are still to be kept back."""

    def serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(str(self._server / SOCKET))
            threading.Thread(target=self._pass_on, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self._pass_on, args=(server, client, True), daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _pass_on(self, source: socket.socket, target: socket.socket, watched: bool) -> None:
        try:
            while data := source.recv(65536):
                if watched and self.cuts and CONFIRMED in data:
                    self.cuts -= 1
                    break
                target.sendall(data)
        except OSError:
            # The other direction has ended it.
            return
        finally:
            for end in (source, target):
                # The thread of the other direction may have closed its own.
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            source.close()


@contextmanager
def cutting(server: PostgresServer) -> Iterator[Cutter]:
    folder = server.folder / "cutter"
    folder.mkdir()
    cutter = Cutter(server.folder, folder)
    thread = threading.Thread(target=cutter.serve)
    thread.start()
    yield cutter
    cutter.close()
    thread.join()
    (folder / SOCKET).unlink()
    folder.rmdir()


async def test_a_commit_that_nobody_confirmed_is_found_and_not_made_twice(
    postgres: ServerLocation, postgres_server: PostgresServer, new_run: NewRun, me: Owner
) -> None:
    folder = quote(str(postgres_server.folder), safe="")
    through = postgres._replace(url=postgres.url.replace(folder, f"{folder}%2Fcutter"))
    with cutting(postgres_server) as cutter:
        async with StoredJournal(through) as journal:
            cutter.cuts = 1
            await journal.create([new_run()], "ann")
            cutter.cuts = 1
            # No event tells of this one: the server is asked what became of its transaction.
            claim = await journal.claim("r_one", me)
            assert claim == Claim(stream_id="r_one", fence=1)
            for seq in range(2, 6):
                cutter.cuts = seq % 3
                assert [event.seq for event in await journal.append(claim, [CALLED])] == [seq]
            cutter.cuts = 1
            assert await journal.renew([claim]) == [Pulse(stream_id="r_one", seq=5)]
            assert cutter.cuts == 0
            kinds = [event.data.type for event in await journal.events("r_one")]
    assert kinds == ["run_started", *["model_called"] * 4]
    verdict = verify_database(postgres)
    assert (verdict.broken, verdict.events) == (None, 5)


async def test_a_connection_that_breaks_at_rest_or_inside_a_transaction_is_made_again(
    postgres: ServerLocation, new_run: NewRun, me: Owner
) -> None:
    def crash(point: str) -> None:
        if point == "journal.before_commit" and broken:
            broken.pop()
            terminate(postgres)

    broken: list[bool] = []
    async with StoredJournal(postgres, crash=crash) as journal:
        await journal.create([new_run()], "ann")
        claim = await journal.claim("r_one", me)
        assert claim is not None
        terminate(postgres)
        assert [event.seq for event in await journal.events("r_one")] == [1]
        assert [event.seq for event in await journal.append(claim, [CALLED])] == [2]
        broken.append(True)
        async with anyio.create_task_group() as group:
            for _ in range(50):
                group.start_soon(journal.append, claim, [CALLED])
        assert broken == []
        assert [event.seq for event in await journal.append(claim, [RunEnded(reason="end_turn")])] == [53]
    assert verify_database(postgres).events == 53


def terminate(location: ServerLocation) -> None:
    """End every connection to this schema but the one that does it."""
    with psycopg.connect(location.url) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
            "WHERE application_name = 'acp-agent' AND pid <> pg_backend_pid()"
        )


async def test_a_restart_of_the_server_is_waited_for_and_a_server_that_stays_away_is_named(
    postgres_server: PostgresServer, tmp_path: Path, new_run: NewRun, me: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    with PostgresServer() as server:
        location = ServerLocation(server.url(), tmp_path)
        async with StoredJournal(location) as journal:
            await journal.create([new_run()], "ann")
            claim = await journal.claim("r_one", me)
            assert claim is not None
            server.kill()
            async with anyio.create_task_group() as group:
                group.start_soon(journal.append, claim, [CALLED])
                await anyio.to_thread.run_sync(server.start)
            assert len(await journal.events("r_one")) == 2
            monkeypatch.setattr(reconnect, "PATIENCE", 0.0)
            server.stop()
            with pytest.raises(NotRecorded, match="cannot write: ") as told:
                await journal.append(claim, [CALLED])
            assert told.value.hint == "look after the server, then acp resume; what was recorded is safe"
            server.start()
            assert [event.seq for event in await journal.append(claim, [CALLED])] == [3]
