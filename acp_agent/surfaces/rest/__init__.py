"""REST, the event stream and `/metrics`, for scripts and dashboards. Empty so far.

What will live here is a Starlette application with typed routes under `/api/v1`, the events of runs, batches and loops
as server-sent events, the generated `/openapi.json`, Prometheus metrics, and the health endpoints.

Promises
- A bearer token or the login cookie opens every path; only `/healthz` and `/readyz` answer without one.
- A stream continues after a dropped connection from the last sequence number the reader saw.
- A slow reader may miss streaming words but never a fact.

Never
- Show a secret, or a path outside the caller's scope.
- Decide, keep state of its own, or import another surface (`acp_agent.main` mounts them side by side).
"""
