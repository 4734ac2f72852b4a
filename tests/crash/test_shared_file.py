"""A sample of the campaign `shared_file`."""

from pathlib import Path

from tests.crash.shared_file import trial


async def test_four_processes_share_a_file_without_a_locking_error(tmp_path: Path) -> None:
    assert await trial(tmp_path / "trial", 16) == []
