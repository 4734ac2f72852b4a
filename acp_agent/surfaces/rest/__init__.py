"""The server that all of HTTP goes through, with `/metrics` and the health endpoints; REST for scripts is to come.

`server` listens, `doors` and `sockets` have the deadlines and the limits of connections, `guard` what each request must
show, `site` what is answered beside the protocol, which `acp_agent.main` brings along. What will live here too are
typed routes under `/api/v1`, the events of runs, batches and loops as server-sent events, and the generated
`/openapi.json`.

Promises
- A bearer token opens every path; only `/healthz` and `/readyz` answer without one.
- Host, Origin and token are checked before a body is read; who stalls is ended, and keeps nobody out who has a token.
- A stream continues after a dropped connection from the last sequence number the reader saw.
- A slow reader may miss streaming words but never a fact.

Never
- Show a secret, or a path outside the caller's scope.
- Decide, keep state of its own, or import another surface (`acp_agent.main` mounts them side by side).
"""
