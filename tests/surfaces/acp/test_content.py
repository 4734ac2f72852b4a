"""What a client puts into a prompt, as a model reads it."""

import base64
from collections.abc import Mapping

import pytest

from acp_agent.domain.message import Image
from acp_agent.surfaces.acp.content import images_of, place, text_of
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


def test_an_empty_prompt_and_audio_are_refused() -> None:
    audio = {"type": "audio", "data": "AA", "mimeType": "audio/wav"}
    for blocks in (blocks_of(), blocks_of({"type": "text", "text": "  \n"}), blocks_of(audio)):
        with pytest.raises(InvalidParams):
            text_of(blocks, "/w")


def test_a_picture_is_taken_apart_from_the_words_and_leaves_a_note_among_them() -> None:
    data = base64.b64encode(b"\x89PNG\r\n\x1a\n and more").decode()
    image = {"type": "image", "data": data, "mimeType": "image/png"}
    blocks = blocks_of({"type": "text", "text": "look"}, image, {**image, "uri": "file:///w/a.png"})
    assert text_of(blocks, "/w") == "look\n\n[image: image/png]\n\n[image: a.png]"
    assert images_of(blocks) == (Image(mime_type="image/png", data=data),) * 2
    with pytest.raises(InvalidParams):
        images_of(blocks_of({**image, "mimeType": "image/gif"}))


def test_uris_become_paths_only_where_they_are_files_of_this_machine() -> None:
    assert place("file:///w/a.py", "/w") == "a.py"
    assert place("file://server/w/a.py", "/w") == "file://server/w/a.py"
    assert place("https://example.org/a", "/w") == "https://example.org/a"
