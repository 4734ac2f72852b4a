"""The agent as an MCP server: other agents can start, watch and steer runs. Empty so far.

What will live here are a few tools (start a run, read its state, answer what it waits for, read its result) over the
official SDK, which no other surface imports.

Promises
- A call returns at once with the run's id; long work is watched, not awaited.
- A run started here obeys the same policy, budget and record as any other.

Never
- Widen what the caller may do: the policy of the run decides, not that of the calling agent.
- Import another surface, or expose the tools of the agent itself past the guard.
"""
