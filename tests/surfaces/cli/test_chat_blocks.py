"""Streaming Markdown is cut into the same blocks however it arrives, and nothing of it is lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acp_agent.surfaces.cli.chat.blocks import Blocks, tail_of

TEXTS = {
    "paragraphs end at an empty line": ("one\ntwo\n\n\nthree", ["one\ntwo", "three"]),
    "a heading stands alone": ("intro\n# Head\ntext\n## Next\n", ["intro", "# Head", "text", "## Next"]),
    "code is one block with its empty lines": (
        "see:\n```py\na = 1\n\n# no heading\n```\nafter",
        ["see:", "```py\na = 1\n\n# no heading\n```", "after"],
    ),
    "a longer fence holds a shorter one": ("````\n```\nx\n```\n````\ny", ["````\n```\nx\n```\n````", "y"]),
    "tildes do not close backticks": ("```\n~~~\n```\nx", ["```\n~~~\n```", "x"]),
    "code in backticks on one line is no fence": ("```x``` is\ninline\n\nnext", ["```x``` is\ninline", "next"]),
    "a list keeps what is indented below its items": (
        "- one\n\n  more\n\n  ```\n  x\n\n  ```\n- two\n\nafter",
        ["- one\n\n  more\n\n  ```\n  x\n\n  ```\n- two", "after"],
    ),
    "a loose list may be cut between its items": ("1. one\n\n2. two\n", ["1. one", "2. two"]),
    "a table is one block": ("| a |\n|---|\n| 1 |\n\nx", ["| a |\n|---|\n| 1 |", "x"]),
    "code that never ends is one block": ("```py\na\n\nb", ["```py\na\n\nb"]),
    "line ends of other systems count": ("one\r\n\r\ntwo\r\n", ["one", "two"]),
    "nothing has no blocks": ("\n\n", []),
}


def blocks_of(*pieces: str) -> list[str]:
    blocks = Blocks()
    return [block for piece in pieces for block in blocks.feed(piece)] + blocks.finish()


@pytest.mark.parametrize(("text", "expected"), TEXTS.values(), ids=TEXTS)
def test_blocks(text: str, expected: list[str]) -> None:
    assert blocks_of(text) == expected


def test_a_block_is_given_back_as_soon_as_it_is_certain() -> None:
    blocks = Blocks()
    assert [blocks.feed(piece) for piece in ("one\n", "\n", "tw", "o\n", "# Head\n")] == [
        [],
        ["one"],
        [],
        [],
        ["two", "# Head"],
    ]
    assert (blocks.feed("```py\nx = 1\ny"), blocks.pending, blocks.opener) == ([], "```py\nx = 1\ny", "```py")
    assert (blocks.feed("\n```\n"), blocks.pending, blocks.opener) == (["```py\nx = 1\ny\n```"], "", "")


PIECES = st.lists(
    st.sampled_from(["word", " ", "\n", "\n\n", "- ", "1. ", "  ", "```", "~~~", "```py\n", "# ", "> ", "| a |", "\t"])
)


@given(PIECES)
def test_the_pieces_do_not_matter_and_no_line_is_lost(parts: list[str]) -> None:
    text = "".join(parts)
    whole = blocks_of(text)
    assert blocks_of(*text) == whole
    assert blocks_of(*parts) == whole
    said = [line for line in text.split("\n") if line.strip()]
    assert [line for block in whole for line in block.split("\n") if line.strip()] == said


def test_the_tail_of_code_is_still_code() -> None:
    block = "```py\n" + "\n".join(f"x{number}" for number in range(9))
    assert tail_of(block, "```py", 3) == "```py\nx6\nx7\nx8"
    assert tail_of("a\nb", "", 3) == "a\nb"
    assert tail_of("a\nb\nc\nd", "", 2) == "c\nd"
