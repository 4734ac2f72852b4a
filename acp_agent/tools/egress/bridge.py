"""Inside a sandbox without network: passes connections of a loopback port to the proxy's socket, beside a program.

A program of its own, standard library only: `python bridge.py SOCKET PORT PROGRAM [ARGUMENT]...`. Port 0 is any free
one. It becomes the program, whose HTTP_PROXY and HTTPS_PROXY name the port; a process beside it does the passing.
"""

import os
import select
import socket
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

CHUNK = 1 << 16
NAMES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


def main(path: str, port: int, argv: list[str]) -> None:
    """Open the port, leave the passing to a process of its own, become the program."""
    listener = socket.create_server(("127.0.0.1", port), backlog=64)
    where = f"http://127.0.0.1:{listener.getsockname()[1]}"
    # A grandchild, so that the program does not find a child it never started.
    child = os.fork()
    if child == 0:
        if os.fork() == 0:
            beside(listener, path)
        os._exit(0)
    os.waitpid(child, 0)
    listener.close()
    os.environ.update({name: where for upper in NAMES for name in (upper, upper.lower())})
    for name in ("NO_PROXY", "no_proxy"):
        os.environ.pop(name, None)
    # Node.js heeds the others only when told to.
    os.environ["NODE_USE_ENV_PROXY"] = "1"
    os.execvp(argv[0], argv)


def beside(listener: socket.socket, path: str) -> None:
    """Pass connections on until the sandbox ends. Holds none of the program's files open."""
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    # Most commands never connect, and the import costs more than the rest of this program.
    select.select([listener], [], [])
    import asyncio

    asyncio.run(serve(listener, path))


async def serve(listener: socket.socket, path: str) -> None:
    """Every connection of `listener` to a connection of the socket at `path`."""
    import asyncio

    async def passed(reader: "asyncio.StreamReader", writer: "asyncio.StreamWriter") -> None:
        try:
            proxy_reader, proxy_writer = await asyncio.open_unix_connection(path)
        except OSError:
            writer.close()
            return
        await asyncio.gather(pump(reader, proxy_writer), pump(proxy_reader, writer))
        proxy_writer.close()
        writer.close()

    server = await asyncio.start_server(passed, sock=listener)
    await server.serve_forever()


async def pump(reader: "asyncio.StreamReader", writer: "asyncio.StreamWriter") -> None:
    """One direction, to its end."""
    try:
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        # The other side is gone; so is this direction.
        writer.transport.abort()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
