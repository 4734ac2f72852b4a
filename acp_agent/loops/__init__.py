"""Many runs towards a goal: iterations with a ledger, rotation, a ratchet and stop rules. Empty so far.

What will live here: the ledger of a loop and its lease, the plan of an iteration (planned, leased, prepared, running,
ran, gated, then accepted, rejected or waiting), rotation of sessions with a written hand-over, the ratchet that keeps
only what measures better, the stop rules, and schedules.

Promises
- Each arrow of an iteration is on record before its effect, so a killed loop continues where it stood.
- A change is kept only when the gates passed and the metric did not get worse beyond its noise.
- A loop ends: by goal, iterations, money, time or patience; and says which.
- A rejected change is kept under a ref and can be looked at.

Never
- Run twice at the same time for one loop, on any number of hosts.
- Let the agent change the files that judge it (gates, metric, loop file).
"""
