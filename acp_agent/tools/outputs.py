"""How much of a tool's output the model reads, and where the whole of a long one is kept for people.

An artifact lies below `artifacts/` in the state directory, compressed, named by its SHA-256 and private to the user.
It is kept before the result that names it is recorded; what a kill leaves in between is an artifact nobody names.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from acp_agent.domain.errors import AcpAgentError
from acp_agent.domain.tool import Artifact, Origin
from acp_agent.tools.kept import Kept

MAX_OUTPUT = 64_000
CAPS: Mapping[Origin, int] = {"command": 32_000}
"""Characters that the model reads at most, where that is less than usual: commands say much and mean little."""
FOLDER = "artifacts"


class Fitted(NamedTuple):
    """`shown` is what fits, `cut` how many bytes of it do not, `artifact` where they all are."""

    shown: str
    cut: int
    artifact: Artifact | None


@dataclass(frozen=True, slots=True)
class Outputs:
    """Without `kept` nothing is kept."""

    kept: Kept | None = None

    @classmethod
    def below(cls, state: Path) -> "Outputs":
        """With artifacts in the state directory."""
        return cls(kept=Kept(state / FOLDER))

    def fit(self, text: str, origin: Origin) -> Fitted:
        """`text` where it fits, else its two ends with a line between them that says how much is missing."""
        cap = CAPS.get(origin, MAX_OUTPUT)
        if len(text) <= cap:
            return Fitted(text, 0, None)
        half = cap // 2
        cut = len(text[half : len(text) - half].encode())
        note = f"\n[... {cut:,} bytes cut here; ask for less at once to see them ...]\n"
        return Fitted(text[:half] + note + text[len(text) - half :], cut, self._keep(text.encode()))

    def _keep(self, data: bytes) -> Artifact | None:
        try:
            return None if self.kept is None else Artifact(sha256=self.kept.put(data), size=len(data))
        except AcpAgentError:
            # No room for it: the call is what it was all the same.
            return None
