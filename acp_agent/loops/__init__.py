"""Many runs towards a goal: iterations with a ledger, rotation, a ratchet, stop rules and schedules.

For: a loop. It is a stream of events with a fold (`domain.loop`) and one pure decision (`decide.next_step`), driven
here (`driver`) as a run is in `runs`: the agent works (`working`), what it changed is judged in a tree of its own
(`judging`, `place`, `screen`, `ratchet`), a session begins from a hand-over written from the record (`handover`), a
name is looked up (`resolve`, `rules`), several projects take turns on one budget (`fleet`), and the machine's own
scheduler starts it (`calendar`, `units`, `slots`, `install`) or a worker (`schedules`, `serving`). Door of cronsim.

Promises
- Each arrow of an iteration is on record before its effect, so a killed loop continues where it stood.
- A change is kept only when the gates passed and every metric says so; what the agent says of it is not read.
- A loop ends: by goal, iterations, money, time or patience; and says which.
- A rejected change is kept under a ref and can be looked at.

Never
- Run twice at the same time for one loop, on any number of hosts.
- Let the agent change the files that judge it (gates, metric, loop file).
"""
