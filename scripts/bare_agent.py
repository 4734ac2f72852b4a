"""The baseline of scripts/bench: an honest agent in at most 60 lines. It streams, runs tools, and keeps no record."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import httpx

PATH = {"path": {"type": "string"}}
FIELDS = {"read_file": PATH, "write_file": {**PATH, "content": {"type": "string"}}}
SCHEMAS = {name: {"type": "object", "properties": fields, "required": list(fields)} for name, fields in FIELDS.items()}
TOOLS = [{"type": "function", "function": {"name": name, "parameters": schema}} for name, schema in SCHEMAS.items()]


def use(root: Path, name: str, path: str, content: str = "") -> str:
    if name == "read_file":
        return (root / path).read_text()
    return f"{(root / path).write_text(content)} characters written"


async def converse(client: httpx.AsyncClient, prompt: str, root: Path) -> str:
    messages: list[dict[str, Any]] = [{"role": "user", "content": prompt}]
    body = {"model": os.environ["ACP_MODEL"].removeprefix("openai/"), "stream": True, "tools": TOOLS}
    while True:
        text, calls = "", dict[int, dict[str, Any]]()
        async with client.stream("POST", "/chat/completions", json={**body, "messages": messages}) as response:
            async for line in response.raise_for_status().aiter_lines():
                for choice in json.loads(line[6:])["choices"] if line.startswith("data: {") else ():
                    text += choice["delta"].get("content") or ""
                    for part in choice["delta"].get("tool_calls") or ():
                        call = calls.setdefault(part["index"], {**part, "function": {"name": "", "arguments": ""}})
                        for key, more in part["function"].items():
                            call["function"][key] += more or ""
        if not calls:
            return text
        messages.append({"role": "assistant", "content": text or None, "tool_calls": list(calls.values())})
        for call in calls.values():
            told = use(root, call["function"]["name"], **json.loads(call["function"]["arguments"]))
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": told})


async def converse_in(roots: list[Path], prompt: str, at_once: int) -> list[str]:
    url, slots = os.environ["OPENAI_BASE_URL"], asyncio.Semaphore(at_once)
    headers = {"authorization": f"Bearer {os.environ['OPENAI_API_KEY']}"}
    # Certificates take 40 ms to load, and a plain address needs none: a baseline must not be slow where it need not be.
    async with httpx.AsyncClient(base_url=url, headers=headers, verify=url[:6] == "https:", timeout=60) as client:

        async def one(root: Path) -> str:
            async with slots:
                return await converse(client, prompt, root)

        return await asyncio.gather(*map(one, roots))


if __name__ == "__main__":  # bare_agent.py AT_ONCE PROMPT DIRECTORY...
    print("\n".join(asyncio.run(converse_in([Path(name) for name in sys.argv[3:]], sys.argv[2], int(sys.argv[1])))))
