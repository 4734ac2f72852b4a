"""MCP servers as tools: started in the background, inside the sandbox, pinned, bounded, and never trusted.

For: servers that a person configured, over stdio and streamable HTTP; their tools, resources and prompts.

Promises
- Nothing waits for a server that has not answered yet; what failed is said to the model and to the doctor.
- A server started as a command runs in the sandbox and sees the variables that were declared for it, no others.
- A tool is used as it was first seen: one whose name, description or schema changed is withheld until a person says so.
- What a server says of its tools may raise their risk, never lower it. Its results are untrusted.
- A server that dies, hangs, lies or floods costs the call it was asked, not the run, and leaves no process behind.

Never
- Import `mcp` before a server is configured, or outside a thread (it takes more than a second).
- Evaluate a schema's patterns, or follow its references, on behalf of a server.
"""
