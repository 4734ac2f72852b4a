"""`acp backup` and `acp restore`: a store that is in use as one file, and nothing lost on the way back."""

import gzip
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from acp_agent.config.paths import database_path, state_dir
from acp_agent.domain.errors import Fenced
from acp_agent.domain.events import CancelAsked, ModelCalled, RunEnded
from acp_agent.store.journal import StoredJournal
from acp_agent.store.owner import owner_of_this_process
from acp_agent.tools.kept import Kept

Acp = Callable[..., Any]
CALLED = ModelCalled(call_id="m_9", model="openai/small")


def anchor(acp: Acp) -> str:
    document = json.loads(acp("audit", "verify", "-o", "json").stdout)
    assert document["whole"], document
    return str(document["anchor"])


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_store_comes_back_as_it_was_and_what_replaced_it_is_kept(acp: Acp, on_record: str, tmp_path: Path) -> None:
    state = state_dir(os.environ)
    name = Kept.of(state, "r_apiaaaaa").put(b"before\n")
    before = anchor(acp)
    file = tmp_path / "store.tar.gz"
    said = acp("backup", str(file))
    assert (
        said.code == 0 and said.stdout.splitlines()[1] == f"anchor: {before}" and file.stat().st_mode & 0o777 == 0o600
    )
    assert acp("backup", str(file)).code == 2

    assert acp("cancel", "r_webbbbbb").code == 0
    Kept.of(state, "r_apiaaaaa").forget()
    later = anchor(acp)
    assert acp("restore", str(file)).code == 6
    said = acp("restore", str(file), "--yes", "-o", "json")
    assert said.code == 0, said.stderr
    told = json.loads(said.stdout)
    assert (told["anchor"], told["open_runs"]) == (before, 2)
    assert anchor(acp) == before != later
    assert acp("show", "r_webbbbbb").code == 0
    assert Kept.of(state, "r_apiaaaaa").get(name) == b"before\n"
    assert (Path(told["before"]) / "acp.db").is_file()


@pytest.mark.anyio
async def test_a_driver_from_before_a_restore_records_nothing(acp: Acp, on_record: str, tmp_path: Path) -> None:
    file, database = tmp_path / "store.tar.gz", database_path(os.environ)
    code = "import sys; from acp_agent.main import main; sys.argv[0] = 'acp'; main()"
    async with StoredJournal(database) as journal:
        claim = await journal.claim("r_tooldddd", owner_of_this_process())
        assert claim is not None
        await journal.append(claim, [CALLED])
        made = subprocess.run([sys.executable, "-c", code, "backup", str(file)], capture_output=True, text=True)
        assert made.returncode == 0, made.stderr
        refused = subprocess.run([sys.executable, "-c", code, "restore", str(file), "--yes"], capture_output=True)
        assert refused.returncode == 6 and b"is in use" in refused.stderr
        await journal.append(claim, [CALLED])
    restored = subprocess.run([sys.executable, "-c", code, "restore", str(file), "--yes"], capture_output=True)
    assert restored.returncode == 0, restored.stderr
    async with StoredJournal(database) as journal:
        with pytest.raises(Fenced):
            await journal.append(claim, [RunEnded(reason="end_turn")])
        # Nobody holds it: whoever comes next may.
        assert await journal.claim("r_tooldddd", owner_of_this_process()) is not None


@pytest.mark.anyio
async def test_a_backup_made_while_others_write_is_whole(acp: Acp, on_record: str, tmp_path: Path) -> None:
    import anyio

    code = "import sys; from acp_agent.main import main; sys.argv[0] = 'acp'; main()"
    written, made = 0, False
    async with StoredJournal(database_path(os.environ)) as journal:

        async def write() -> None:
            nonlocal written
            while not made:
                await journal.note("r_tooldddd", [CancelAsked(note="x" * 5_000)], "ann")
                written += 1

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(write)
            for number in range(3):
                command = [sys.executable, "-c", code, "backup", str(tmp_path / f"{number}.tar.gz")]
                ended = await anyio.run_process(command, check=False)
                assert ended.returncode == 0, ended.stderr
            made = True
    assert written > 3
    for number in range(3):
        assert acp("restore", str(tmp_path / f"{number}.tar.gz"), "--yes").code == 0
        anchor(acp)


def test_what_is_no_backup_changes_nothing(acp: Acp, on_record: str, tmp_path: Path) -> None:
    good = tmp_path / "good.tar.gz"
    assert acp("backup", str(good)).code == 0
    before = contents(state_dir(os.environ))
    bad = tmp_path / "bad.tar.gz"

    def packed(change: Callable[[str, bytes], bytes]) -> bytes:
        folder = tmp_path / "unpacked"
        with tarfile.open(good) as tar:
            names = tar.getnames()
            tar.extractall(folder, filter="data")
        with tarfile.open(bad, "w:gz") as tar:
            for name in names:
                if (path := folder / name).is_file():
                    path.write_bytes(change(name, path.read_bytes()))
                tar.add(path, name, recursive=False)
        return bad.read_bytes()

    newer = packed(lambda name, data: data.replace(b'"schema": ', b'"schema": 9') if name == "manifest.json" else data)
    tampered = packed(lambda name, data: data.replace(b"openai/small", b"openai/large"))
    whole = good.read_bytes()
    for data in (b"", b"no archive", whole[: len(whole) // 2], gzip.compress(b"x" * 9_000), newer, tampered):
        bad.write_bytes(data)
        said = acp("restore", str(bad), "--yes")
        assert said.code == 2 and said.stderr.startswith(f"acp: {bad}: "), (data[:20], said)
        assert "Traceback" not in said.stderr
    assert acp("restore", str(tmp_path / "none"), "--yes").code == 2
    assert contents(state_dir(os.environ)) == before
