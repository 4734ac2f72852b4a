"""Names of streams: short, unguessable, easy to type."""

import secrets

ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
LENGTH = 8


def new_id(kind: str) -> str:
    """A new id such as `r_k3f9x2ab`: `kind` is `r` (run), `b` (batch) or `s` (session); about 40 random bits."""
    return f"{kind}_{''.join(secrets.choice(ALPHABET) for _ in range(LENGTH))}"
