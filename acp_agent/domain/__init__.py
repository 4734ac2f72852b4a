"""The nouns and the ports: frozen, closed pydantic models, pure functions, and Protocols.

For: the vocabulary all other packages share (Project, Role, Run, Session, Event, Message, ToolCall, Tool, Policy,
Budget, Batch, Loop, Iteration, Gate, Approval, Artifact, Skill, Memory), the fold from events to a run's state,
redaction, and `ports`, the Protocols that packages of the same row need from each other.

Promises
- Every model is frozen and forbids unknown fields; every union is closed and matched exhaustively.
- State is the fold of events and nothing else; folding is pure and quick (1,000 events in about 15 ms).
- Event kinds are added with care and never renamed: what was written once can be read for ever.
- Names are those people use. No Manager, Service, Handler, Context or Util.

Never
- Do I/O, read a clock or roll dice: no anyio, asyncio, os, time or random.
- Import any third-party library but pydantic, or any other package of ours.
- Hold behaviour that belongs to one package alone.
"""
