"""One prompt over many projects: select, estimate, confirm, run in waves, gate, report.

For: a batch. It chooses projects by tags and expressions, prices the work before it begins, gives each project its own
worktree, runs set-up and gates around each run, halts when the rules say so, and reports one table.

Promises
- A batch and its queued runs are written in one transaction: either all of it exists or none.
- Work happens in worktrees; the checkout a person works in is touched only by `accept`.
- Gates are read from the trusted base, never from the agent's own diff.
- What one project does to itself (fail, hang, spend) stops no other, unless the halt rule says so.

Never
- Read "nothing selected" as "everything".
- Spend before the estimate was confirmed, or run a command of a file that is not trusted.
- Lose work: a rejected change is kept under a ref, a worktree with changes is never deleted.
"""
