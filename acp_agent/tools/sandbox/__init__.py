"""The boundary of commands: what a program can reach is decided by the kernel, not by its words.

Levels, strongest first: `bwrap` (bubblewrap and a system call filter), `landlock` (Landlock and the filter, where user
namespaces are refused), `none` (only where the user's own configuration allows it). Which one holds is tried out with
canaries, never read from version numbers.

- `model`: what a person chooses (`Sandbox`) and the levels.
- `start`: `confined_argv`, what to put before a program, for commands and for long-lived processes alike.
- `environment`, `bubblewrap`, `landlock`, `seccomp`: the parts of it. `launcher` is a program of its own, stdlib only.
- `probe`: which level holds here.
"""
