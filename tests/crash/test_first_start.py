"""A kill at the very first start, while the database itself is being made."""

import struct
from pathlib import Path

import pytest

from tests.crash.story import FILES, PROMPT, rules
from tests.crash.world import World
from tests.crash.writes import FAST, NAMES

SECTOR, PAGE = 512, 4096
MAGIC = bytes.fromhex("d9d505f920a163d7")


def half_made(database: Path) -> None:
    """What SQLite leaves when it is killed while it writes the first page: that page, and the journal to undo it."""
    database.parent.mkdir(parents=True)
    header = b"SQLite format 3\0" + struct.pack(">HBBBBBB", PAGE, 2, 2, 0, 64, 32, 32)
    header += struct.pack(">12I", 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0).ljust(68, b"\0") + struct.pack(">2I", 1, 3040001)
    leaf = struct.pack(">BHHHB", 13, 0, 0, PAGE, 0)
    database.write_bytes((header + leaf).ljust(PAGE, b"\0"))
    journal = MAGIC + struct.pack(">5I", 0, 1, 0, SECTOR, PAGE)
    database.with_name(f"{database.name}-journal").write_bytes(journal.ljust(SECTOR, b"\0"))


@pytest.mark.crash
@pytest.mark.bwrap
@pytest.mark.parametrize("words", [("ps",), ("resume",), ("show", "b_none"), ("approve", "--list")])
def test_a_half_made_database_is_an_empty_one(tmp_path: Path, words: tuple[str, ...]) -> None:
    said = []
    for name in ("empty", "half-made"):
        with World(tmp_path / name, NAMES, rules(NAMES, FAST), FILES) as world:
            if name == "half-made":
                half_made(world.database)
            ending = world.acp(*words)
            said.append((ending.exit_code, ending.output, ending.errors))
    assert said[1] == said[0]


@pytest.mark.crash
@pytest.mark.bwrap
def test_a_run_begins_on_a_half_made_database(tmp_path: Path) -> None:
    with World(tmp_path, NAMES, rules(NAMES, FAST), FILES) as world:
        half_made(world.database)
        ending = world.acp("run", PROMPT, "--all")
        assert ending.exit_code == 0, ending
        assert world.checked_record().integrity == ("ok",)
