"""The durable record: the journal of events on SQLite or PostgreSQL, the catalogue, and migrations.

For: the hot path (append events, claim and renew leases, reserve and settle money) in plain parameterised SQL, the
same text for both databases; and the catalogue of tables in SQLModel, which defines the schema, drives migrations and
serves reports. Only importer of sqlite3, psycopg, SQLModel, SQLAlchemy and alembic; the last three never on the hot
path, because importing them costs up to a second that no editor should wait for.

Promises
- A committed event survives a power cut (WAL, `synchronous=FULL` but where only leases move); sequence numbers have
  no gaps and no repeats.
- Every write checks the run's fence in its transaction; a zombie's late write is refused and kept aside.
- All writes of a process go through one writer thread with group commit; a bad row fails alone, not its group.
- Money is reserved in the transaction of the intent: budgets hold for parallel callers and across crashes.
- Events are appended, never changed; kinds are added, never renamed; old rows stay readable.

Never
- Take the time from the wall clocks of two hosts to compare leases.
- Put a value into SQL text. Know what an event means beyond its columns.
- Open SQLite on a network file system.
"""
