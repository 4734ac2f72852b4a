"""The baseline of the `serve` cases: the least that speaks the Agent Client Protocol, in at most 60 lines.

It answers `initialize` before it imports anything large, streams the model's words as they come, keeps the conversation
in memory, and has no tools, no record and no second chance.
"""

import json
import os
import sys
from collections.abc import Iterator
from itertools import count
from typing import Any


def say(**message: Any) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}, separators=(",", ":")) + "\n")
    sys.stdout.flush()


def words(client: Any, messages: list[dict[str, str]]) -> Iterator[str]:
    body = {"model": os.environ["ACP_MODEL"].removeprefix("openai/"), "stream": True, "messages": messages}
    with client.stream("POST", "/chat/completions", json=body) as response:
        for line in response.raise_for_status().iter_lines():
            for choice in json.loads(line[6:])["choices"] if line.startswith("data: {") else ():
                if word := choice["delta"].get("content"):
                    yield word


def turn(client: Any, session_id: str, messages: list[dict[str, str]], blocks: list[dict[str, str]]) -> dict[str, str]:
    messages.append({"role": "user", "content": "".join(block["text"] for block in blocks)})
    told = []
    for word in words(client, messages):
        told.append(word)
        update = {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": word}}
        say(method="session/update", params={"sessionId": session_id, "update": update})
    messages.append({"role": "assistant", "content": "".join(told)})
    return {"stopReason": "end_turn"}


def main() -> None:
    say(id=json.loads(sys.stdin.readline())["id"], result={"protocolVersion": 1, "agentCapabilities": {}})
    import httpx

    url, names, sessions = os.environ["OPENAI_BASE_URL"], count(), dict[str, list[dict[str, str]]]()
    headers = {"authorization": f"Bearer {os.environ['OPENAI_API_KEY']}"}
    with httpx.Client(base_url=url, headers=headers, verify=url[:6] == "https:", timeout=60) as client:
        for line in sys.stdin:
            asked = json.loads(line)
            if asked["method"] == "session/new":
                sessions[name := f"session{next(names)}"] = []
                say(id=asked["id"], result={"sessionId": name})
            else:
                name, blocks = asked["params"]["sessionId"], asked["params"]["prompt"]
                say(id=asked["id"], result=turn(client, name, sessions[name], blocks))


if __name__ == "__main__":
    main()
