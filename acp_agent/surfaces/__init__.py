"""Thin adapters, one per outside language: protocol, command line, REST, web pages, MCP.

For: letting an editor, a shell, a browser, a script and another agent see and steer the same runs. A surface turns
foreign requests into calls of `runs`, `fleet` and `loops`, and turns events into foreign shapes, with one `match` from
event to shape.

Promises
- Every surface renders the same events; what one shows, another can show.
- Approvals, cancellation, steering and hand-over given on one surface take effect for all, because they are events.
- Surfaces are independent of one another: adding or removing one changes no other. `acp_agent.main` alone knows them
  all.

Never
- Decide anything: no policy, no budget, no retry lives here.
- Hold state that would be missed after a crash.
- Import another surface, or be imported by a layer below.
"""
