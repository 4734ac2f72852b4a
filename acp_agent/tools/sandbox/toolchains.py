"""What of the home directory and of PATH can be read inside: programs, never a place that holds anything else."""

import os
import time
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from acp_agent.tools.sandbox.model import SYSTEM, Sandbox, home_directory

_MINUTE = 60.0
_NEVER_WHOLE = (Path("/tmp"), Path("/run"), Path("/var"), Path("/proc"), Path("/dev"))
_TOOLCHAINS = (
    ".pyenv", ".rustup", ".cargo/bin", ".cargo/env", ".nvm", ".volta", ".fnm", ".local/bin", ".local/lib",
    ".local/share/uv", ".local/share/mise", ".local/share/pipx", ".local/pipx", ".asdf", ".rbenv", ".goenv", "go/bin",
    "sdk", ".sdkman", ".gradle/wrapper", ".bun/bin", ".deno/bin", ".nix-profile",
)  # fmt: skip
# What was fetched before: of use only where nothing can be fetched now, since tools fail on a store they cannot write.
_FETCHED = ("go/pkg", ".cargo/registry", ".cargo/git", ".m2/repository", ".npm/_cacache")


def toolchains(sandbox: Sandbox, path: str, root: Path) -> tuple[Path, ...]:
    """The places, each once. `path` is the value of PATH, `root` the workspace. Looked for again every minute."""
    fetched = not sandbox.network and sandbox.home is None
    return _looked_for(home_directory(), path, root, fetched, int(time.monotonic() // _MINUTE))


@lru_cache(maxsize=64)
def _looked_for(home: Path, path: str, root: Path, fetched: bool, minute: int) -> tuple[Path, ...]:
    """It costs a millisecond or two, which every command would pay."""
    return tuple(_places(home, path, root, _TOOLCHAINS + _FETCHED if fetched else _TOOLCHAINS))


def _places(home: Path, path: str, root: Path, names: tuple[str, ...]) -> Iterator[Path]:
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
