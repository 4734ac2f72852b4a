"""What a service manager is told (ready, alive, stopping, what is being done): systemd's protocol of datagrams."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass

import anyio

SHARE = 2
"""A sign of life comes this many times in the manager's patience."""


@dataclass(frozen=True, slots=True)
class Notify:
    """Whom to tell: `address` of the manager's socket (a leading `@` is Linux's abstract namespace), None for nobody.

    `patience` are the seconds after which the manager takes us for hung, None where it does not watch.
    """

    address: str | None = None
    patience: float | None = None

    @staticmethod
    def from_env(environ: Mapping[str, str], pid: int) -> "Notify":
        """What the manager put into the environment for the process `pid`."""
        meant = environ.get("WATCHDOG_PID") in (None, "", str(pid))
        microseconds = environ.get("WATCHDOG_USEC", "")
        watched = meant and microseconds.isdecimal() and int(microseconds) > 0
        return Notify(environ.get("NOTIFY_SOCKET") or None, int(microseconds) / 1e6 if watched else None)

    def send(self, *lines: str) -> None:
        """Tell the manager; one that is gone is not told, since the work does not depend on it."""
        if self.address is None:
            return
        address = f"\0{self.address[1:]}" if self.address.startswith("@") else self.address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.setblocking(False)
            try:
                sender.sendto("\n".join(lines).encode("utf-8", "replace"), address)
            except OSError:
                return

    async def live(self) -> None:
        """Give signs of life from the event loop itself, so that one which hangs gives none."""
        if self.patience is None:
            return
        while True:
            self.send("WATCHDOG=1")
            await anyio.sleep(self.patience / SHARE)
