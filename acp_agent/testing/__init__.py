"""Public doubles and rigs: what our tests, and the tests of those who build on us, drive the agent with.

For: a scripted model server that speaks the providers' wire over real HTTP and injects faults, an in-process editor,
a fault proxy, and crash points that kill a process at a chosen write. Doubles stand in for what is outside (a
provider, an editor, a network), never for our own parts: tests use the real store, real git and real processes.

Promises
- A script that is not used up, or a call that no script expects, fails the test and says which.
- Deterministic: the same seed gives the same run.
- Documented and stable like any other public module.

Never
- Re-implement the store or the engine in memory: such copies drift from the real ones.
- Be imported by a layer below, or change behaviour of production code by being imported.
- Send anything to another host than this one.
"""
