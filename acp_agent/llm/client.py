"""The HTTP client: kept-alive connections, and no proxy between us and this machine."""

from acp_agent.llm.http import httpx

_LOOPBACK = {"all://127.0.0.1": None, "all://localhost": None, "all://[::1]": None}


def new_client(*, secure: bool) -> httpx.AsyncClient:
    """A client for `https:` addresses, or for plain ones only.

    Loading the certificates takes 40 ms, which a server on this machine should not cost.
    """
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=64, keepalive_expiry=60.0)
    return httpx.AsyncClient(verify=secure, limits=limits, mounts=_LOOPBACK)
