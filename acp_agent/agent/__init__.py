"""What the agent decides, as pure functions: the next action, the context, the compaction plan, the roles' prompts.

For: everything that can be judged without doing anything. `decide.next_action(state, ...)` is the loop's mind; context
assembly says what the model reads, and why each piece is in; the compaction plan says what may be folded away.

Promises
- Pure: the same state gives the same answer, so every decision can be replayed, tested as a table and explained later.
- `next_action` fits on one screen, frozen by a test. Agents rot in their loop; this one may not.
- Every match over a union is exhaustive (`assert_never`), so a new event or action cannot be forgotten.

Never
- Import anyio, asyncio, os, time or random: no clock, no files, no network, no chance.
- Know a provider, a database, a surface or a sibling package.
- Call a tool or a model: it returns the action, `runs` does it.
"""
