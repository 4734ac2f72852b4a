"""The `acp` command: everything the agent can do, from a terminal, a script or a timer.

For: selecting projects, starting batches and loops, watching, approving, undoing and reporting. It is the only importer
of click and rich, and the only place that prints.

Promises
- Results go to stdout, progress and logs to stderr; `NO_COLOR` is honoured; meaning never rests on colour alone.
- Exit codes are those of docs/architecture.md section 7 and nothing else, so that scripts can rely on them.
- Without a terminal nothing prompts: the policy decides, or the item parks as waiting.
- `acp --help` is quick: it imports no model library, no ORM, no server. Imports inside functions are allowed here for
  that.
- Nothing selected exits 5 and says how to select; it never means "all".

Never
- Show a traceback without `--debug`: an error names what, where and what to do (its `hint`).
- Reach round `app` to choose an implementation, or hold a rule that another surface would need too.
"""
