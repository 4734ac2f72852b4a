"""The life of one run: start, drive, watch, steer, cancel, resume, replay.

For: the driver that folds a run's events, asks `agent.decide.next_action` what comes next, does that one thing and
records it. Here are the ports (`Engine`: who drives; `Worker`: what drives one run), the runner, the bus that carries
streaming words to whoever watches, delegation to sub-agents, and replay.

Promises
- Intent before effect: what is about to happen is committed before it happens, its result after. An intent without a
  result is verified, repeated if that is harmless, or parked as outcome unknown; it is never blindly run again.
- Money is reserved with the intent and settled with the result, so no limit is overshot.
- At a limit there is a partial result: one last call without tools, paid for in advance, says what is done and what
  is left.
- Words may be lost to a slow reader of the bus; facts never are.

Never
- Hold state beside the events: what is not in the fold is gone after a crash.
- Grow the loop: new behaviour is a new action, tool, role or wrapper, never another flag.
- Swallow cancellation, or turn a bug into a message for the model.
"""
