"""What the agent can do to the world, and the one way it is done: the guard.

For: files, search, shell, skills, memory, MCP servers and the workspace, each tool a documented, typed async function
with a risk; and `guard`, which validates arguments, asks the policy, chooses the sandbox, bounds time, truncates and
redacts, for every tool alike.

Promises
- No tool runs except through the guard; a refusal goes back to the model as an error it can act on.
- Commands run inside the kernel sandbox; the level in force stands in every result and is never silently none.
- Output is bounded; what was cut is kept as an artifact and named.
- Writes carry the content hash before and after, so a crash in between can be told from success and from failure.
- A cancelled or timed-out command leaves no process behind.

Never
- Trust words: command parsing names things for rules and prompts, the sandbox is the boundary.
- Leave the project's directory, follow a link out of it, or write a file that governs the agent without risk 4.
- Raise anything but `ToolError` for what the model did wrong; or hide a bug as one.
"""
