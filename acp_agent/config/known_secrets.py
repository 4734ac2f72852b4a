"""The secrets that this user's programs could give away: of the environment, of files it names, and of `.env` files."""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from acp_agent.domain.redact import SECRET_NAME, Redactor, secrets_of

MAX_BYTES = 65_536
"""Larger files are no settings."""
MAX_FOLDERS = 50
_LINE = re.compile(
    r"""(?m)^[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_.-]*)[ \t]*[=:][ \t]*("[^"]*"|'[^']*'|[^\n]*)"""
)
_SAMPLES = (".example", ".sample", ".template", ".dist", ".defaults")


class KnownSecrets(Redactor):
    """Masks what the environment and `others` hold, and learns the secrets of every place where a run works."""

    def __init__(self, environ: Mapping[str, str], others: Iterable[str] = ()) -> None:
        super().__init__((*secrets_of(environ), *_in_named_files(environ), *others))

    def enter(self, place: str) -> None:
        """Learn what the `.env` files of `place` hold."""
        self.learn(secrets_in(Path(place)))


def secrets_in(place: Path) -> tuple[str, ...]:
    """Secrets in the files `.env` and `.env.*` of a directory, and in `.env` and `.env.local` of those right below it.

    They count by their names, as variables do. Files for show (`.env.example`) hold none.
    """
    found: dict[str, None] = {}
    for path in _env_files(place):
        values = {name: _value(text) for name, text in _LINE.findall(_read(path))}
        found |= dict.fromkeys(secrets_of(values))
    return tuple(found)


def _env_files(place: Path) -> Iterator[Path]:
    try:
        entries = sorted(place.iterdir())
    except OSError:
        return
    for entry in entries:
        if entry.name == ".env" or (entry.name.startswith(".env.") and not entry.name.endswith(_SAMPLES)):
            yield entry
    for folder in [entry for entry in entries if not entry.name.startswith(".") and entry.is_dir()][:MAX_FOLDERS]:
        yield from (folder / ".env", folder / ".env.local")


def _value(text: str) -> str:
    quoted = text[:1] in ("'", '"') and text[-1:] == text[:1] and len(text) > 1
    return text[1:-1] if quoted else text.partition(" #")[0].strip()


def _in_named_files(environ: Mapping[str, str]) -> Iterator[str]:
    """What is in the file of a variable such as `DB_PASSWORD_FILE`, as container platforms hand secrets over."""
    for name, value in environ.items():
        if name.endswith("_FILE") and SECRET_NAME.search(name.removesuffix("_FILE")) and value:
            yield from filter(None, [_read(Path(value)).strip()])


def _read(path: Path) -> str:
    """The text of a small file; nothing where it is none, or cannot be read: then nobody here can give it away."""
    try:
        if not path.is_file() or path.stat().st_size > MAX_BYTES:
            return ""
        return path.read_text("utf-8", "replace")
    except (OSError, ValueError):
        return ""
