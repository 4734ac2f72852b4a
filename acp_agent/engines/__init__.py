"""Who drives queued runs: the implementations of `runs.port.Engine`.

For: taking queued runs and seeing to it that some process drives each of them to its end. `local` claims leases in
the store and drives in this process under a capacity limit; any number of processes, on PostgreSQL of hosts, may share
one database, and workers serve queues of it. A later neighbour is `outside` (an external agent as the worker of a run:
with `testing` the only importer of the ACP SDK, client side).

Promises
- A queued run is taken once; a driver that died is replaced after its lease (10 s), at once when its process is known
  to be gone from this host.
- A run taken over three times without a new event parks as a crash loop instead of being tried for ever.
- Stopping an engine lets runs in hand reach their next recorded fact; they resume where they stood.

Never
- Keep results or progress of their own: the journal is the only record, so that there is no second copy to disagree.
- Know what a run does. The port is small on purpose: submit, work, serve, cancel, wake.
"""
