"""What of the home directory and of PATH can be read inside: programs, never a place that holds anything else."""

import os
from collections.abc import Iterator
from pathlib import Path

from acp_agent.tools.sandbox.model import SYSTEM, Sandbox, home_directory

_NEVER_WHOLE = (Path("/tmp"), Path("/run"), Path("/var"), Path("/proc"), Path("/dev"))
_TOOLCHAINS = (
    ".pyenv", ".rustup", ".cargo/bin", ".cargo/env", ".nvm", ".volta", ".fnm", ".local/bin", ".local/lib",
    ".local/share/uv", ".local/share/mise", ".local/share/pipx", ".local/pipx", ".asdf", ".rbenv", ".goenv", "go/bin",
    "sdk", ".sdkman", ".gradle/wrapper", ".bun/bin", ".deno/bin", ".nix-profile",
)  # fmt: skip
# What was fetched before: of use only where nothing can be fetched now, since tools fail on a store they cannot write.
_FETCHED = ("go/pkg", ".cargo/registry", ".cargo/git", ".m2/repository", ".npm/_cacache")


def toolchains(sandbox: Sandbox, path: str, root: Path) -> Iterator[Path]:
    """The places, each once. `path` is the value of PATH, `root` the workspace."""
    home = home_directory()
    names = _TOOLCHAINS if sandbox.network or sandbox.home is not None else _TOOLCHAINS + _FETCHED
    shown = [home / name for name in names if os.path.exists(home / name)]
    yield from shown
    for folder in dict.fromkeys(path.split(":")):
        place = Path(folder)
        if not place.is_absolute() or not os.path.isdir(place):
            continue
        # A virtual environment is more than its programs; shims (pyenv, asdf) are nothing without what they call.
        place = place.parent if place.name == "shims" or os.path.isfile(place.parent / "pyvenv.cfg") else place
        hidden = not any(place.is_relative_to(other) for other in (*map(Path, SYSTEM), *shown, root))
        holds_more = any(other.is_relative_to(place) for other in (*_NEVER_WHOLE, home, root))
        if hidden and not holds_more:
            yield place
