"""How far a run may reach: the counts of what it did, held against limits. Pure."""

from hypothesis import given
from hypothesis import strategies as st

from acp_agent.domain.blast import Blast, BlastLimits, Excess, beyond, growth, report
from acp_agent.domain.events_files import FilesSnapshot
from acp_agent.domain.tool import Intent, Risk

LIMITS = BlastLimits(files=2, lines=10, deletions=1, ignored_deletions=0, commands=2, pushes=0, wall_time=60.0)


def edit(path: str, lines: int = 1, *, gone: bool = False) -> Intent:
    return Intent(before={path: "b"}, after={path: None if gone else "a"}, lines=lines)


def test_a_file_that_is_edited_twice_counts_once_and_its_lines_each_time() -> None:
    blast = Blast().with_intent(edit("a", 3), Risk.LOCAL).with_intent(edit("a", 4), Risk.LOCAL)
    assert (blast.files, blast.lines, blast.commands) == (1, 7, 0)
    assert beyond(blast, LIMITS, 0.0, 0.0) == ()


def test_each_limit_is_named_with_what_would_be() -> None:
    blast = Blast().with_intent(edit("a", 11), Risk.LOCAL).with_intent(edit("b", gone=True), Risk.LOCAL)
    blast = blast.with_intent(edit("c", gone=True), Risk.LOCAL)
    blast = blast.with_intent(Intent(title="cd x && git -c a=b push origin main"), Risk.LOCAL)
    snapshot = FilesSnapshot(of="c", moment="after", tree="t", paths=("a", "d"), files=2, added=5, lost=7)
    found = beyond(blast.with_snapshot(snapshot), LIMITS, 61.0, 0.0)
    assert [(one.what, one.would_be) for one in found] == [
        ("files", 4),
        ("lines", 18),
        ("deletions", 2),
        ("ignored_deletions", 7),
        ("pushes", 1),
        ("wall_time", 61),
    ]
    assert report(found[:1], "shell: make") == "4 files changed, the limit is 2 (shell: make)"


def test_what_a_gate_or_a_reader_does_is_not_counted() -> None:
    gate = FilesSnapshot(of="gate:test", moment="after", tree="t", paths=("a",), files=1, added=5)
    assert Blast().with_snapshot(gate).with_intent(Intent(title="read"), Risk.READ) == Blast()


def test_what_was_allowed_gives_as_much_again() -> None:
    blast = Blast(commands=3)
    (excess,) = beyond(blast, LIMITS, 0.0, 0.0)
    raised = blast.raised_by([excess])
    assert beyond(raised.model_copy(update={"commands": 5}), LIMITS, 0.0, 0.0) == ()
    assert [one.would_be for one in beyond(raised.model_copy(update={"commands": 6}), LIMITS, 0.0, 0.0)] == [6]


def test_the_batch_is_told_what_was_added_until_a_person_allowed_more() -> None:
    after = Blast().with_intent(edit("a", 3), Risk.LOCAL)
    shared = ("files", "lines", "deletions", "repositories")
    assert growth(Blast(), after, shared) == {"files": 1, "lines": 3, "repositories": 1}
    assert growth(after, after.with_intent(edit("b", 2), Risk.LOCAL), shared) == {"files": 1, "lines": 2}
    raised = Blast().raised_by([Excess(what="batch files", would_be=1, limit=0)])
    assert "files" not in growth(raised, raised.with_intent(edit("a"), Risk.LOCAL), shared)


INTENTS = st.builds(
    lambda path, lines, gone: edit(path, lines, gone=gone), st.sampled_from("abcdef"), st.integers(0, 9), st.booleans()
)


@given(st.lists(INTENTS), st.lists(INTENTS))
def test_more_of_it_is_never_further_within_the_limits(some: list[Intent], more: list[Intent]) -> None:
    blast = Blast()
    for intent in some:
        blast = blast.with_intent(intent, Risk.LOCAL)
    before = {one.what for one in beyond(blast, LIMITS, 0.0, 0.0)}
    for intent in more:
        blast = blast.with_intent(intent, Risk.LOCAL)
    assert before <= {one.what for one in beyond(blast, LIMITS, 0.0, 0.0)}
