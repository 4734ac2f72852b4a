"""The Agent Client Protocol server: how an editor talks to the agent.

Stage one (`first`) answers `initialize` with the standard library alone. Behind it is our own small wire layer
(`connection` and what it is made of): JSON-RPC with caps on size, depth and calls in flight, typed parameters with
`_meta` kept apart, and the order of updates. What carries its lines is a `Transport`: descriptors (`stdio`), event
streams (`http`, `streams`, `routes`) and WebSockets (`websocket`), the latter two of many clients at once (`remote`,
`guests`). It is our own because the SDK's server side costs half a second of imports and fails on inputs that editors
send; the SDK's client side and the protocol's JSON schema are the oracle of its tests. On it stand the methods
(`agent`, `turn`) and the pure translations (`updates`, `diffs`, `options`, `content`).

Promises
- All updates of a prompt precede its response.
- A malformed line is answered (-32700, -32600) and harms no other call.
- A first turn imports only the standard library, anyio, pydantic, httpx and our lean modules.

Never
- Import litellm, the SDK, sqlalchemy, starlette or mcp on the stdio path.
- Write anything but protocol messages to stdout.
- Decide what a tool may do: it carries the question to the editor and the answer back.
"""
