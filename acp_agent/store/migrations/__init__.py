"""Migrations: how a database of an older schema becomes a current one; the newest is what `schema.sql` stands at.

A migration is numbered like the schema's version, creates only what `tables.py` defines, and is never changed once
released. A test holds the outcome of all of them against `schema.sql`.
"""
