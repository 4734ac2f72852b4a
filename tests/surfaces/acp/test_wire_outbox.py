"""What waits is merged while the reader is behind, stays in order, and never grows without bound."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acp_agent.surfaces.acp.encode import LONGEST_LINE_OUT
from acp_agent.surfaces.acp.outbox import Outbox
from acp_agent.surfaces.acp.shrink import chunk_line, update_lines
from tests.surfaces.acp.wire import SCHEMA, chunk


class Reader:
    """Takes what the outbox writes; a slow one takes it only when it is let."""

    def __init__(self, *, slow: bool) -> None:
        self.lines: list[bytes] = []
        self.free = anyio.Event()
        if not slow:
            self.free.set()

    async def send(self, messages: Sequence[bytes]) -> None:
        if not self.free.is_set():
            await self.free.wait()
        self.lines += messages

    @property
    def updates(self) -> list[tuple[str, dict[str, Any]]]:
        """What was said about which session."""
        params = [json.loads(line)["params"] for line in self.lines if b'"session/update"' in line]
        return [(param["sessionId"], param["update"]) for param in params]

    def text(self, session_id: str = "s1") -> str:
        return "".join(update["content"]["text"] for name, update in self.updates if name == session_id)


async def written(script: list[tuple[str, Mapping[str, Any] | bytes]]) -> Reader:
    """What a reader gets that is stuck while all of `script` is said."""
    outbox, reader = Outbox(), Reader(slow=True)
    async with anyio.create_task_group() as group:
        group.start_soon(outbox.run, reader.send)
        outbox.put(b"{}")
        await anyio.lowlevel.checkpoint()
        await anyio.lowlevel.checkpoint()
        for session_id, said in script:
            outbox.put(said) if isinstance(said, bytes) else outbox.update(session_id, said)
        reader.free.set()
        await outbox.emptied()
        group.cancel_scope.cancel()
    assert outbox.weight == 0
    return reader


def tool(kind: str = "tool_call_update", call_id: str = "t1", **fields: Any) -> dict[str, Any]:
    return {"sessionUpdate": kind, "toolCallId": call_id, **fields}


async def test_a_fast_reader_gets_every_chunk_by_itself_and_at_once() -> None:
    outbox, reader = Outbox(), Reader(slow=False)
    async with anyio.create_task_group() as group:
        group.start_soon(outbox.run, reader.send)
        for number in range(200):
            outbox.update("s1", chunk(f"{number} "))
            # Written as soon as others had their turn: nothing waits for a clock or for more to come.
            await outbox.emptied()
            assert len(reader.lines) == number + 1
        group.cancel_scope.cancel()
    assert [update for _, update in reader.updates] == [chunk(f"{number} ") for number in range(200)]


async def test_a_slow_reader_gets_the_words_of_one_message_as_one() -> None:
    reader = await written([("s1", chunk(word)) for word in ("a", "b", "c")])
    assert reader.updates == [("s1", chunk("abc"))]


async def test_other_kinds_other_messages_and_other_sessions_are_kept_apart() -> None:
    thought = chunk("hm", "agent_thought_chunk")
    script = [
        ("s1", chunk("a")),
        ("s2", chunk("x")),
        ("s1", chunk("b")),
        ("s1", thought),
        ("s1", chunk("c", messageId="m2")),
        ("s2", chunk("y")),
        ("s1", chunk("d", messageId="m3")),
        ("s1", chunk("e", messageId="m3")),
    ]
    reader = await written(script)
    assert reader.updates == [
        ("s1", chunk("ab")),
        ("s2", chunk("xy")),
        ("s1", thought),
        ("s1", chunk("c", messageId="m2")),
        ("s1", chunk("de", messageId="m3")),
    ]


async def test_words_with_more_to_them_are_never_merged() -> None:
    image = {"sessionUpdate": "agent_message_chunk", "content": {"type": "image", "data": "", "mimeType": "image/png"}}
    marked = chunk("b", _meta={"a": 1})
    noted = {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": "c", "annotations": {}}}
    script = [chunk("a"), marked, marked, noted, noted, image, image, chunk("d")]
    reader = await written([("s1", update) for update in script])
    assert [update for _, update in reader.updates] == script


async def test_the_news_of_a_tool_call_join_the_older_ones() -> None:
    script = [
        tool("tool_call", title="Edit", status="pending"),
        tool(status="in_progress", title=None),
        tool(call_id="t2", status="failed"),
        chunk("words"),
        tool(status="completed", content=[]),
    ]
    reader = await written([("s1", update) for update in script])
    assert [update for _, update in reader.updates] == [
        tool("tool_call", title="Edit", status="completed", content=[]),
        tool(call_id="t2", status="failed"),
        chunk("words"),
    ]


async def test_a_later_state_replaces_an_earlier_one() -> None:
    def usage(used: int) -> dict[str, Any]:
        return {"sessionUpdate": "usage_update", "used": used, "size": 100}

    script = [
        usage(1),
        {"sessionUpdate": "session_info_update", "title": "a"},
        chunk("a"),
        usage(2),
        chunk("b"),
        {"sessionUpdate": "session_info_update", "updatedAt": "now"},
        {"sessionUpdate": "unknown", "a": 1},
        {"sessionUpdate": "unknown", "a": 2},
    ]
    reader = await written([("s1", update) for update in script])
    assert [update for _, update in reader.updates] == [
        usage(2),
        {"sessionUpdate": "session_info_update", "title": "a", "updatedAt": "now"},
        chunk("ab"),
        {"sessionUpdate": "unknown", "a": 1},
        {"sessionUpdate": "unknown", "a": 2},
    ]


async def test_nothing_is_merged_across_an_answer_or_a_request() -> None:
    reader = await written([("s1", chunk("a")), ("", b'{"answer":1}'), ("s1", chunk("b")), ("s1", chunk("c"))])
    assert [json.loads(line).get("params", {}).get("update") for line in reader.lines] == [
        None,
        chunk("a"),
        None,
        chunk("bc"),
    ]


KINDS = st.sampled_from(["agent_message_chunk", "agent_thought_chunk"])


@given(st.lists(st.tuples(st.sampled_from(["s1", "s2"]), KINDS, st.text(min_size=1, max_size=3)), max_size=40))
def test_no_word_is_lost_or_moved(said: list[tuple[str, str, str]]) -> None:
    reader = anyio.run(written, [(session_id, chunk(text, kind)) for session_id, kind, text in said])

    def told(entries: list[tuple[str, str, str]], session_id: str) -> list[tuple[str, str]]:
        return [(kind, character) for name, kind, text in entries if name == session_id for character in text]

    heard = [(name, update["sessionUpdate"], update["content"]["text"]) for name, update in reader.updates]
    for session_id in ("s1", "s2"):
        assert told(heard, session_id) == told(
            [(name, kind, text.encode("utf-8", "replace").decode()) for name, kind, text in said], session_id
        )


async def test_a_reader_that_never_reads_costs_little_memory() -> None:
    outbox = Outbox()
    stuck = anyio.Event()

    async def never(messages: Sequence[bytes]) -> None:
        await stuck.wait()

    async with anyio.create_task_group() as group:
        group.start_soon(outbox.run, never)
        outbox.put(b"{}")
        await anyio.lowlevel.checkpoint()
        await anyio.lowlevel.checkpoint()
        for number in range(60):
            outbox.update("s1", chunk("x" * 1_000_000))
            outbox.update("s1", tool(call_id=f"t{number}", status="completed", rawOutput="y" * 1_000_000))
            outbox.update("s1", {"sessionUpdate": "usage_update", "used": number, "size": 100})
        assert outbox.weight < 18_000_000
        group.cancel_scope.cancel()


async def test_what_was_left_out_is_said() -> None:
    outbox, reader = Outbox(), Reader(slow=True)
    async with anyio.create_task_group() as group:
        group.start_soon(outbox.run, reader.send)
        outbox.put(b"{}")
        await anyio.lowlevel.checkpoint()
        await anyio.lowlevel.checkpoint()
        for _ in range(20):
            outbox.update("s1", chunk("x" * 1_000_000))
        outbox.update("s1", tool("tool_call", title="Run", status="completed", rawOutput="y" * 2_000_000))
        reader.free.set()
        await outbox.emptied()
        group.cancel_scope.cancel()
    *words, run = [update for _, update in reader.updates]
    text = "".join(update["content"]["text"] for update in words)
    kept = text.count("x")
    assert 16_000_000 <= kept < 18_000_000
    assert text.count("left out") == 1
    assert f"[{20_000_000 - kept} characters are left out here" in text
    assert (run["status"], run["title"], "rawOutput" in run) == ("completed", "Run", False)
    assert "left out" in run["content"][0]["content"]["text"]
    assert [SCHEMA.problem("session/update", "Notification", {"sessionId": "s1", "update": run})] == [None]


async def test_a_replay_waits_for_room() -> None:
    outbox, reader = Outbox(), Reader(slow=True)
    heaviest = 0
    async with anyio.create_task_group() as group:
        group.start_soon(outbox.run, reader.send)

        async def replay() -> None:
            nonlocal heaviest
            for number in range(300):
                outbox.update("s1", chunk(f"{number} " + "x" * 100_000))
                heaviest = max(heaviest, outbox.weight)
                await outbox.room()
            await outbox.emptied()
            group.cancel_scope.cancel()

        group.start_soon(replay)
        await anyio.lowlevel.checkpoint()
        reader.free.set()
    assert len(reader.text()) == sum(len(f"{number} ") + 100_000 for number in range(300))
    assert heaviest < 1_300_000


async def test_a_message_can_be_withdrawn_until_it_is_written() -> None:
    outbox, reader = Outbox(), Reader(slow=False)
    first = outbox.put(b'{"a":1}')
    assert outbox.withdraw(first)
    assert not outbox.withdraw(first)
    second = outbox.put(b'{"a":2}')
    async with anyio.create_task_group() as group:
        group.start_soon(outbox.run, reader.send)
        await outbox.emptied()
        group.cancel_scope.cancel()
    assert reader.lines == [b'{"a":2}']
    assert not outbox.withdraw(second)


async def test_a_closed_outbox_forgets() -> None:
    outbox = Outbox()
    outbox.put(b"{}")
    outbox.close()
    outbox.update("s1", chunk("a"))
    outbox.put(b"{}")
    await outbox.emptied()
    await outbox.room()
    assert outbox.weight == 0


BIG = 9_000_000


@pytest.mark.parametrize(
    "update",
    [
        chunk("\x01" * BIG),
        chunk("👋" * BIG),
        chunk("x" * BIG, "user_message_chunk", messageId="m1"),
        {
            "sessionUpdate": "agent_message_chunk",
            "content": {"type": "image", "data": "A" * BIG, "mimeType": "image/png"},
        },
        tool("tool_call", title="x" * BIG),
        tool(rawOutput="x" * BIG, rawInput={"a": ["x" * BIG]}),
        tool(content=[{"type": "diff", "path": "/w/a", "oldText": None, "newText": "x" * BIG}]),
        tool(content=[{"type": "diff", "path": "/w/a", "oldText": "y" * BIG, "newText": "x"}] * 3),
        tool(content=[{"type": "content", "content": {"type": "text", "text": "x" * BIG}}]),
        tool(content=[{"type": "content", "content": {"type": "text", "text": "x" * 60_000}}] * 300),
        tool(content=[{"type": "content", "content": {"type": "image", "data": "A" * BIG, "mimeType": "image/png"}}]),
        tool(locations=[{"path": "/w/a" * 1000, "line": 1}] * 3000),
        tool(title="Look", locations=[{"path": "/w/a" * 100_000, "line": 1}] * 30, status="completed"),
        {
            "sessionUpdate": "plan",
            "entries": [{"content": "x" * 20_000, "priority": "low", "status": "pending"}] * 1000,
        },
        {
            "sessionUpdate": "available_commands_update",
            "availableCommands": [{"name": "a", "description": "x" * 10_000}] * 1000,
        },
    ],
    ids=lambda update: update["sessionUpdate"],
)
def test_no_line_is_longer_than_8_mib_and_each_stays_valid(update: dict[str, Any]) -> None:
    lines = update_lines("s1", update)
    assert max(map(len, lines)) <= LONGEST_LINE_OUT
    for line in lines:
        message = json.loads(line)
        assert SCHEMA.problem("session/update", "Notification", message["params"]) is None
        assert message["params"]["update"]["sessionUpdate"] == update["sessionUpdate"]
    if update["sessionUpdate"].endswith("chunk") and "text" in update["content"]:
        assert (
            "".join(json.loads(line)["params"]["update"]["content"]["text"] for line in lines)
            == (update["content"]["text"])
        )
    else:
        assert len(lines) == 1
        assert any(word in lines[0] for word in (b"cut", b"too large", b"not shown", b"shows the first", b"locations"))


async def test_a_flood_of_words_is_merged_into_few_updates() -> None:
    outbox, reader = Outbox(), Reader(slow=True)
    words = ["a ", "of ", "the "] * 20_000
    async with anyio.create_task_group() as group:
        group.start_soon(outbox.run, reader.send)
        outbox.put(b"{}")
        await anyio.lowlevel.checkpoint()
        await anyio.lowlevel.checkpoint()
        for word in words:
            outbox.update("s1", chunk(word))
        reader.free.set()
        await outbox.emptied()
        group.cancel_scope.cancel()
    assert reader.text() == "".join(words)
    assert len(reader.updates) < 5


@given(
    st.text(st.characters(exclude_categories=[])),
    st.text(st.characters(exclude_categories=[]), max_size=8),
    st.text(st.characters(exclude_categories=[]), max_size=8),
    st.sampled_from(["agent_message_chunk", "agent_thought_chunk", "user_message_chunk"]),
)
def test_words_are_written_the_short_way_as_the_long_one_writes_them(
    text: str, session_id: str, message_id: str, kind: str
) -> None:
    update = {"sessionUpdate": kind, "messageId": message_id, "content": {"type": "text", "text": text}}
    line = chunk_line(session_id, kind, message_id, text)
    assert [line] == update_lines(session_id, update) or (
        line is None and any("\ud800" <= one <= "\udfff" for one in text)
    )


def test_words_without_a_message_or_beyond_a_line_go_the_long_way() -> None:
    assert chunk_line("s1", "agent_message_chunk", None, "words") is None
    assert chunk_line("s1", "agent_message_chunk", "m1", "w" * (1024 * 1024 + 1)) is None
