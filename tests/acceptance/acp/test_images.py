"""Pictures: advertised, taken and shown to the model once a configured model sees, and refused otherwise."""

import base64
from typing import Any

import pytest

from acp_agent.testing.script import Rule, Step
from acp_agent.testing.tap import RawError
from tests.acceptance.acp.conftest import DeskOf
from tests.acceptance.acp.desk import CONFIG, MODEL

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(range(200))).decode()
LOOK = Rule(contains="look", since="prompt", turns=[Step(text="Seen.")])
SEES = f'[providers.openai]\nvision = ["{MODEL}"]\n{CONFIG}\n[models.blind]\nchain = ["openai/other-model"]\n'


def picture(data: str = PNG, kind: str = "image/png") -> dict[str, Any]:
    return {"type": "image", "mimeType": kind, "data": data}


def look(*blocks: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"type": "text", "text": "look at"}, *blocks]


async def test_a_picture_is_seen_kept_and_told_again(desk_of: DeskOf) -> None:
    desk = desk_of(LOOK, config=SEES)
    async with desk.editor() as editor:
        # What the first process learns, the next one answers at once.
        session = await desk.session(editor)
        turn = await editor.prompt(session, look(picture()))
        assert (turn.stop_reason, turn.text()) == ("end_turn", "Seen.")
        sent = desk.server.requests[-1].messages[-1]["content"]
        assert sent == [
            {"type": "text", "text": "look at\n\n[image: image/png]"},
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
        ]
        # A model that sees nothing is told so, and the conversation goes on.
        await editor.set_option(session, "model", "blind")
        await editor.prompt(session, "look again")
        contents = [message["content"] for message in desk.server.requests[-1].messages if message["role"] == "user"]
        assert contents[0].endswith("[1 images left out: this model sees none]")
        with pytest.raises(RawError, match="is not known to see images"):
            await editor.request("session/prompt", {"sessionId": session, "prompt": look(picture())})
    async with desk.editor() as editor:
        said = next(line.message["result"] for line in editor.received if "result" in line.message)
        assert said["agentCapabilities"]["promptCapabilities"]["image"] is True
        await editor.load_session(session, desk.project)
        told = [update["content"] for update in editor.transcript(session).of("user_message_chunk")]
        assert told[1] == {"type": "image", "mimeType": "image/png", "data": PNG}
        wrong = [
            picture(kind="image/tiff"),
            picture(data="no base64!"),
            picture(data=base64.b64encode(b"GIF89a").decode()),
            picture(data="A" * (6 * 1024 * 1024)),
        ]
        for blocks in (*([block] for block in wrong), [picture()] * 9):
            with pytest.raises(RawError) as caught:
                await editor.request("session/prompt", {"sessionId": session, "prompt": look(*blocks)})
            assert caught.value.code == -32602


async def test_a_picture_that_comes_with_an_answer_is_seen_and_told_again(desk_of: DeskOf) -> None:
    asking = Step(tools=[("ask_user", {"question": "Which one?"})])
    desk = desk_of(Rule(turns=[asking, Step(text="That one.")]), config=SEES)
    async with desk.editor() as editor:
        session = await desk.session(editor)
        await editor.prompt(session, "look")
        turn = await editor.prompt(session, look(picture()))
        assert turn.text().endswith("That one.")
        answer, pictures = desk.server.requests[-1].messages[-2:]
        assert (answer["role"], "look at" in answer["content"]) == ("tool", True)
        assert pictures["content"][1]["image_url"]["url"] == f"data:image/png;base64,{PNG}"
    async with desk.editor() as editor:
        await editor.load_session(session, desk.project)
        told = [update["content"] for update in editor.transcript(session).of("user_message_chunk")]
        assert [content["type"] for content in told] == ["text", "image", "text"]


async def test_a_picture_of_five_megabytes_is_taken(desk_of: DeskOf) -> None:
    data = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(3_900_000)).decode()
    desk = desk_of(LOOK, config=SEES)
    async with desk.editor() as editor:
        session = await desk.session(editor)
        assert (await editor.prompt(session, look(picture(data)))).text() == "Seen."
        await editor.load_session(session, desk.project)
    assert desk.server.requests[-1].messages[-1]["content"][1]["image_url"]["url"].endswith(data[-100:])


async def test_without_a_model_that_sees_a_picture_is_refused(desk_of: DeskOf) -> None:
    desk = desk_of(LOOK)
    async with desk.editor() as editor:
        session = await desk.session(editor)
        with pytest.raises(RawError) as caught:
            await editor.request("session/prompt", {"sessionId": session, "prompt": look(picture())})
        assert (caught.value.code, "vision" in caught.value.data["details"]) == (-32602, True)
    assert not desk.server.requests
