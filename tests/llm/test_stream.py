"""The parser of server-sent events."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from acp_agent.llm.stream import EventParser, ServerEvent

LINES = st.one_of(
    st.text(max_size=12).map(lambda text: "data: " + text.replace("\r", "").replace("\n", "")),
    st.sampled_from(
        ["", "data", "data:", "data:x", "data:  two", ": comment", "event: error", "id: 7", "junk", "[DONE]"]
    ),
    st.sampled_from(["data: größe ✓ 😀", "data: [DONE]"]),
)
ENDS = st.sampled_from(["\n", "\r\n", "\r"])


def events_of(pieces: list[bytes]) -> list[ServerEvent]:
    parser = EventParser()
    events = [event for piece in pieces for event in parser.feed(piece)]
    return events + list(parser.close())


def split(data: bytes, places: list[int]) -> list[bytes]:
    cuts = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(cuts)]


@given(st.lists(st.tuples(LINES, ENDS), max_size=20), st.lists(st.integers(0, 10_000), max_size=30))
def test_any_split_of_the_bytes_gives_the_same_events(lines: list[tuple[str, str]], places: list[int]) -> None:
    data = "".join(line + end for line, end in lines).encode()
    assert events_of(split(data, places)) == events_of([data])
    assert events_of([data[index : index + 1] for index in range(len(data))]) == events_of([data])


@given(st.lists(st.text(min_size=1, max_size=20).map(lambda text: text.replace("\r", "").replace("\n", "") or "x")))
def test_events_come_out_as_they_went_in(texts: list[str]) -> None:
    data = "".join(f"data: {text}\n\n" for text in texts).encode()
    assert events_of([data]) == [ServerEvent("message", text) for text in texts]


@given(st.binary(max_size=200), st.lists(st.integers(0, 10_000), max_size=10))
def test_no_bytes_break_the_parser(data: bytes, places: list[int]) -> None:
    assert events_of(split(data, places)) == events_of([data])


def test_comments_names_several_lines_a_mark_at_the_start_and_a_missing_end_are_understood() -> None:
    data = b"\xef\xbb\xbf: hello\r\nevent: error\r\ndata: one\r\ndata:two\r\n\r\n\r\n: ping\r\n\r\nid: 3\r\ndata: three"
    assert events_of([data]) == [ServerEvent("error", "one\ntwo"), ServerEvent("message", "three")]
