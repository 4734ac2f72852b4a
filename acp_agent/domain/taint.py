"""The rule of two: a run that reads strangers' text and private data lets nothing out without a person.

What a run has touched so far is its taint, the fold of what its calls weighed and where their results came from.
Every result of a tool counts as untrusted, a file of the project too: an agent cannot tell its owner's text from a
stranger's. So what decides in practice is private data followed by an outward effect.
"""

import re
from collections.abc import Iterable
from fnmatch import translate
from functools import lru_cache

from acp_agent.domain.tool import ToolResult
from acp_agent.domain.weight import Trait

ALL: frozenset[Trait] = frozenset(("untrusted", "private", "outward"))

PRIVATE_NAMES = (
    ".env", ".env.*", "*.env", ".envrc", ".netrc", "_netrc", ".npmrc", ".pypirc", ".git-credentials", ".pgpass",
    ".my.cnf", ".htpasswd", ".dockercfg", ".vault-token", ".ssh", ".aws", ".gnupg", ".kube", ".azure", ".docker",
    "id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*", "*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.keystore",
    "*.kdbx", "*.ppk", "*.ovpn", "credentials", "credentials.*", "*.credentials", "secrets", "secrets.*", "secret.*",
    "*secret*.json", "*secret*.y*ml", "*secret*.toml", "service-account*.json", "*-credentials.json",
    "client_secret*.json", "*.tfstate", "*.tfstate.*", "*.tfvars", "token", "token.*", "*.token",
)  # fmt: skip
"""Names of files and directories that usually hold what is not for others; `[policy] private` in config.toml adds."""

_EXAMPLES = ("*.example", "*.sample", "*.template", "*.dist", "*.pub", "*.md", "*.py", "*.ts", "*.js", "*.go", "*.rs")
"""What only looks like one: an example, a public key, a program about secrets."""


def is_private(path: str, also: Iterable[str] = ()) -> bool:
    """Whether the workspace-relative path is one of those names, or lies in such a directory."""
    parts = [part.casefold() for part in path.split("/") if part not in ("", ".")]
    if parts and _any_of(_EXAMPLES).match(parts[-1]):
        parts = parts[:-1]
    private = _any_of((*PRIVATE_NAMES, *also))
    return any(private.match(part) for part in parts)


@lru_cache(maxsize=32)
def _any_of(globs: tuple[str, ...]) -> re.Pattern[str]:
    """One pattern for all: a name is held against more than a hundred of them, and a workspace has thousands."""
    return re.compile("|".join(translate(glob.casefold()) for glob in globs))


def closes_the_circle(taint: frozenset[Trait], traits: frozenset[Trait]) -> bool:
    """Whether a call with `traits` would be the one that completes all three, or lets more out after they are."""
    if not taint | traits >= ALL:
        return False
    return "outward" in traits or not taint >= ALL


def taint_of(result: ToolResult) -> frozenset[Trait]:
    """What the text of a result adds. A result of our own making, such as a refusal, adds nothing."""
    return frozenset(("untrusted",)) if result.status in ("ok", "error") else frozenset()


def taint_of_words(*words: object) -> frozenset[Trait]:
    """What a run begins with: instructions and skills that stand in its first prompt are text of others too."""
    return frozenset(("untrusted",)) if any(words) else frozenset()
