"""What a client puts into a prompt, as a model reads it."""

from collections.abc import Mapping

import pytest

from acp_agent.surfaces.acp.content import place, text_of
from acp_agent.surfaces.acp.faults import InvalidParams
from acp_agent.surfaces.acp.fields import parsed
from acp_agent.surfaces.acp.params import ContentBlock, Prompt


def blocks_of(*raw: Mapping[str, object]) -> list[ContentBlock]:
    return parsed(Prompt, {"sessionId": "s", "prompt": list(raw)}).prompt


def test_text_links_and_resources_keep_their_order() -> None:
    blocks = blocks_of(
        {"type": "text", "text": "Look at"},
        {"type": "resource_link", "uri": "file:///w/src/a%20b.py", "name": "a b.py"},
        {"type": "resource", "resource": {"uri": "file:///elsewhere/x.md", "text": "# x"}},
        {"type": "resource", "resource": {"uri": "mem://1", "blob": "AAAA"}},
    )
    assert text_of(blocks, "/w") == (
        "Look at\n\n[a b.py](src/a b.py)\n\n"
        '<resource uri="/elsewhere/x.md">\n# x\n</resource>\n\n[mem://1: binary, 3 bytes, not shown]'
    )


def test_an_empty_prompt_and_an_image_are_refused() -> None:
    image = {"type": "image", "data": "AA", "mimeType": "image/png"}
    for blocks in (blocks_of(), blocks_of({"type": "text", "text": "  \n"}), blocks_of(image)):
        with pytest.raises(InvalidParams):
            text_of(blocks, "/w")


def test_uris_become_paths_only_where_they_are_files_of_this_machine() -> None:
    assert place("file:///w/a.py", "/w") == "a.py"
    assert place("file://server/w/a.py", "/w") == "file://server/w/a.py"
    assert place("https://example.org/a", "/w") == "https://example.org/a"
