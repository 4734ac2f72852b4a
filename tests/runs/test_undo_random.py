"""A sample of the campaign `undo_random`."""

import pytest

from tests.campaigns import undo_random


@pytest.mark.bwrap
@pytest.mark.slow
def test_random_edits_are_undone_byte_for_byte() -> None:
    assert undo_random.main(3, 4) == 0
