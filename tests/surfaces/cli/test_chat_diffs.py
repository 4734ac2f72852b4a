"""A diff in the chat: its lines counted by the heads of the hunks, whatever they look like."""

import difflib

from hypothesis import given
from hypothesis import strategies as st

from acp_agent.surfaces.cli.chat.diffs import Line, counts, lines_of, shown

DIFF = """\
--- a/query.sql
+++ b/query.sql
@@ -1,3 +1,2 @@
 select 1
--- a comment
-+++ odd
+++ b
\\ No newline at end of file
"""


def test_lines_that_look_like_heads_are_counted() -> None:
    assert counts(DIFF) == "+1 -2"
    assert shown(DIFF) == [
        Line("hunk", "@@ -1,3 +1,2 @@"),
        Line("same", " select 1"),
        Line("removed", "--- a comment"),
        Line("removed", "-+++ odd"),
        Line("added", "+++ b"),
        Line("head", "\\ No newline at end of file"),
    ]


def test_the_heads_of_several_files_stay() -> None:
    assert [line.text for line in shown(DIFF + DIFF) if line.text.startswith("+++ b/")] == ["+++ b/query.sql"] * 2


LINES = st.lists(st.sampled_from(["a", "", "- b", "-- c", "++ d", "@@ -1 +1 @@", " e"]), max_size=12)


@given(LINES, LINES)
def test_every_added_and_removed_line_is_found(old: list[str], new: list[str]) -> None:
    diff = list(difflib.unified_diff(old, new, "a/f", "b/f", lineterm=""))
    kinds = [line.kind for line in lines_of("\n".join(diff))] if diff else []
    matcher = difflib.SequenceMatcher(None, old, new)
    same = sum(block.size for block in matcher.get_matching_blocks())
    assert (kinds.count("added"), kinds.count("removed")) == (len(new) - same, len(old) - same)
