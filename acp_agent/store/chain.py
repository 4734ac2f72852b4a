"""The audit chain inside a transaction: rows get their digests, the heads go back with the commit.

One chain for each tenant, over all its streams: so a whole stream that is gone is seen, and a tenant's rows verify
without anybody else's. A head is read and written in the transaction of its rows, so processes can share a database.
"""

from typing import Any

from acp_agent.domain.chain import BEGINNING, GENESIS, Anchor, link
from acp_agent.store import sql
from acp_agent.store.connection import Connection


class Chain:
    """The heads of the chains that one transaction lengthens."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._heads: dict[str, Anchor] = {}
        self._changed: set[str] = set()

    def link(self, fields: dict[str, Any]) -> None:
        """Put a row at the end of its tenant's chain: fills in its position, hash and digest."""
        tenant = fields["tenant"]
        self._heads[tenant] = link(self._heads.get(tenant) or self._read(tenant), fields)
        self._changed.add(tenant)

    def mark(self) -> dict[str, Anchor]:
        """Where the chains end now, for `restore`."""
        return dict(self._heads)

    def restore(self, marked: dict[str, Anchor]) -> None:
        """The rows since `marked` were rolled back."""
        self._heads = marked
        self._changed &= set(marked)

    def write(self) -> dict[str, Anchor]:
        """Put the heads that moved into the transaction; returns them."""
        moved = {tenant: self._heads[tenant] for tenant in self._changed}
        for tenant, head in moved.items():
            self._connection.rows(sql.MOVE_HEAD, {"tenant": tenant, "position": head.position, "digest": head.digest})
        return moved

    def _read(self, tenant: str) -> Anchor:
        """The end of a chain, which no other writer moves before the commit; made where there is none."""
        found = self._connection.rows(sql.CHAIN_HEAD, {"tenant": tenant})
        if found:
            return Anchor(*found[0])
        self._connection.rows(sql.NEW_HEAD, {"tenant": tenant, "digest": GENESIS})
        return BEGINNING
