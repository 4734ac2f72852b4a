"""A sample of the campaign `pauses`."""

from pathlib import Path

import pytest

from tests.crash.pause_trial import trial


@pytest.mark.crash
async def test_a_driver_that_slept_too_long_writes_nothing_and_loses_nothing(tmp_path: Path) -> None:
    done = await trial(tmp_path / "trial", 3, 3)
    assert (done.problems, done.pauses, done.late) == ([], 3, 3)
