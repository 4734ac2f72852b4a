"""The variables a command sees, from an allow-list: no secret is on it."""

from collections.abc import Mapping
from pathlib import Path

from acp_agent.tools.sandbox.identity import git_settings
from acp_agent.tools.sandbox.model import Level, Sandbox, home_directory, home_inside

_VARIABLES = frozenset({
    "PATH", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "TZ", "USER", "LOGNAME", "SHELL", "VIRTUAL_ENV", "PYENV_ROOT",
    "PYENV_VERSION", "CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN", "JAVA_HOME", "GOROOT", "GOPATH", "NVM_DIR",
    "NVM_BIN", "VOLTA_HOME", "SDKMAN_DIR", "DENO_INSTALL", "BUN_INSTALL",
})  # fmt: skip
_NETWORK_VARIABLES = frozenset({
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE", "PIP_CERT", "NODE_EXTRA_CA_CERTS",
})  # fmt: skip
_FIXED = {
    "CI": "1",
    "TERM": "dumb",
    "NO_COLOR": "1",
    "PAGER": "cat",
    "GIT_PAGER": "cat",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
}
_FIXED_INSIDE = {
    "TMPDIR": "/tmp",
    # Caches of compiled files are not part of anybody's change.
    "PYTHONPYCACHEPREFIX": "/tmp/pycache",
}


def command_environment(sandbox: Sandbox, level: Level, environ: Mapping[str, str], root: Path) -> dict[str, str]:
    """The allow-list of `environ`, our own, and what a person added. `root` is the workspace."""
    names = _VARIABLES | (_NETWORK_VARIABLES if sandbox.network else frozenset())
    kept = {name: value for name, value in environ.items() if name.upper() in names and not _has_password(value)}
    kept.setdefault("PATH", "/usr/local/bin:/usr/bin:/bin")
    kept.setdefault("LC_CTYPE", "C.UTF-8")
    own = {"HOME": str(home_directory())}
    if level != "none":
        own = {"HOME": str(home_inside()), **_FIXED_INSIDE, **git_settings(root)}
    egress = sandbox.egress.environment if sandbox.egress is not None and level == "bwrap" else {}
    return {**kept, **_FIXED, **own, **egress, **sandbox.environment}


def _has_password(value: str) -> bool:
    return "://" in value and "@" in value
