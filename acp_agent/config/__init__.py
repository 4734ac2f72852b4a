"""Settings and the files people write: config.toml, projects.toml, loops, roles, and their trust.

For: reading layers (flag, environment, project file, user file, default) into one checked model that still knows
where each value came from; writing TOML back without losing comments; and the trust list, which holds the hash of
every command a project's file would run. Door of tomlkit.

Promises
- An error names file, line and key; all errors of a file are reported at once.
- A file inside a project may only tighten policy, never widen it.
- A file that names commands runs none of them until a person trusted exactly those commands.
- An empty environment variable counts as unset.

Never
- Hold a secret: keys are named (`env:NAME`), not stored.
- Overwrite a file a person wrote without keeping what they wrote.
- Know a tool, a model, the database or a surface.
"""
