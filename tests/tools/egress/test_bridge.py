"""The bridge: a program beside it finds a proxy on loopback that leads to the socket."""

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from acp_agent.domain.tool import NetworkUse
from acp_agent.tools.command import Bounds, run_program
from acp_agent.tools.egress import bridge
from acp_agent.tools.egress.proxy import Proxy
from tests.tools.egress.conftest import Site

FETCHES = """
import os, sys, urllib.error, urllib.request
for address in sys.argv[1:]:
    try:
        print(urllib.request.urlopen(address, timeout=20).read().decode().strip())
    except urllib.error.URLError as error:
        print(error)
print(sorted(name for name in os.environ if name.upper().endswith("_PROXY")), len(os.listdir("/proc/self/fd")) < 8)
sys.exit(7)
"""


async def test_a_program_reaches_the_proxy(site: Site, opened: Callable[..., Awaitable[Proxy]], tmp_path: Path) -> None:
    """By its usual variables; it keeps its own exit status, and nobody's exceptions to the proxy."""
    where = f"index.test:{site.port}"
    proxy = await opened([where], private=(where,))
    python = [sys.executable, "-I", "-S"]
    program = [*python, "-c", FETCHES, f"http://{where}/", "http://evil.test/", f"http://{where}/again"]
    argv = [*python, bridge.__file__, str(proxy.socket), "0", *program]
    ended = await run_program(argv, cwd=tmp_path, environment={"NO_PROXY": "*"}, bounds=Bounds(60.0, sweep=True))
    names = ["ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NODE_USE_ENV_PROXY", "all_proxy", "http_proxy", "https_proxy"]
    assert (ended.head + ended.tail).decode().splitlines() == [
        "hello from the site",
        "HTTP Error 403: Refused",
        "hello from the site",
        f"{names} True",
    ]
    assert ended.exit_status == 7
    assert proxy.record.use() == NetworkUse(reached=(where,), refused=("evil.test:80 (not allowed)",))
