"""An address of the web, read once: what is checked is what is asked."""

import re
from typing import Self
from urllib.parse import quote, urljoin

from acp_agent.domain.base import Frozen
from acp_agent.domain.egress import Endpoint

LONGEST = 4_096
_WHOLE = re.compile(r"(https?)://([^/?#]*)([^#]*)(?:#.*)?\Z", re.IGNORECASE)
_PORTS = {"http": 80, "https": 443}
_KEPT = "%/:=&?~+!$,;'@()*[]|"


class Address(Frozen):
    """`scheme` is http or https; `target` is the path with its query, percent-encoded."""

    scheme: str
    endpoint: Endpoint
    target: str

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}{self.target}"

    @property
    def host(self) -> str:
        """The host as a header names it: without the port where it is the scheme's own."""
        usual = self.endpoint.port == _PORTS[self.scheme]
        return str(self.endpoint).rpartition(":")[0] if usual else str(self.endpoint)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError that says what is wrong with it."""
        if len(text) > LONGEST:
            raise ValueError(f"is longer than {LONGEST} characters")
        found = _WHOLE.match(text.strip())
        if found is None or any(char.isspace() or not char.isprintable() for char in text.strip()):
            raise ValueError("is no http:// or https:// address")
        scheme = found[1].lower()
        endpoint = Endpoint.parse(found[2], _PORTS[scheme])
        target = found[3] if found[3].startswith("/") else f"/{found[3]}"
        return cls(scheme=scheme, endpoint=endpoint, target=quote(target, safe=_KEPT))

    def next(self, location: str) -> "Address":
        """Where a redirect leads. Raises ValueError; from https it never leads to http."""
        following = Address.parse(urljoin(str(self), location))
        if self.scheme == "https" and following.scheme == "http":
            raise ValueError("leads away from https")
        return following
