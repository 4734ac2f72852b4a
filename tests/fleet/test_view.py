"""A batch as a person watches it, folded from event rows."""

from acp_agent.fleet.view import BatchView


def test_a_row_knows_the_time_of_its_last_event_and_no_event_counts_twice() -> None:
    view = BatchView("b_1")
    view.apply("r_1", 1, 10.0, {"type": "workspace_prepared", "path": "/p"})
    view.apply("r_1", 2, 12.5, {"type": "parked", "waiting": "approval", "detail": "git push", "call_id": "c"})
    row = view.apply("r_1", 2, 99.0, {"type": "parked", "waiting": "budget", "detail": "", "call_id": None})
    assert (row.started_at, row.updated_at, row.waiting_for, row.seq) == (10.0, 12.5, "approval", 2)
