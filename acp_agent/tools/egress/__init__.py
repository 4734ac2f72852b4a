"""The network as a run may use it: by name, through one check, and on record.

For: commands that need a registry and tools that read the web. A closed network is the default; what is open is a list
of hosts that a person's configuration allows and a task, a role or that person asked for.

Promises
- A name is compared parsed, looked up once, every address of it checked, and a checked address dialled.
- What was reached and what was refused stands in the result of the call.
- A proxy lives as long as the command it serves, on a socket nobody else can open.

Never
- Look a name up twice, compare by prefix or suffix, or follow a redirect without the same check.
- Open the network wider because something did not work.
"""
