"""Logs, traces, metrics and the audit record: consumers of events, seen by nobody they watch.

For: turning the events and timings of the agent into what operators use: structured logs on stderr or in a file, spans,
counters, and an audit trail that can be verified.

Promises
- Observing never changes a run: a failing exporter costs a log line, not a turn.
- What is written was redacted first.
- Nothing heavy is imported unless it is switched on.

Never
- Be the only place where a fact stands: the journal is the record, this is a view.
- Send anything to a host that the user did not name.
- Write to stdout, which belongs to results and to the protocol.
"""
