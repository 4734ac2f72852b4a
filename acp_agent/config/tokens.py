"""Who may use the server: the token of this machine in a file of its own, and those given to others, as digests."""

import hashlib
import hmac
import json
import logging
import os
import re
import secrets
import stat
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from acp_agent.config.paths import shown_path, state_dir
from acp_agent.domain.errors import UsageError

VARIABLE = "ACP_TOKEN"
TOKEN_FILE = "token"
GIVEN_FILE = "tokens.json"
OWN = "own"
"""The name of this machine's token."""
_SHORTEST = 16
_DIGEST = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_log = logging.getLogger(__name__)


class Scope(StrEnum):
    """What a token opens: reading, beginning work, answering what it asks for, or everything."""

    READ = "read"
    RUN = "run"
    APPROVE = "approve"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Token:
    """A token as it is kept: `digest` is the SHA-256 of its text in hexadecimal digits, `created` in Unix seconds."""

    name: str
    digest: str
    scopes: frozenset[str]
    created: float

    def opens(self, *needed: Scope) -> bool:
        """Whether it has every scope needed."""
        return Scope.ADMIN in self.scopes or self.scopes.issuperset(needed)


def own_token(environ: Mapping[str, str]) -> tuple[str, Path | None]:
    """This machine's token and the file it stands in, made the first time: `ACP_TOKEN` goes first, and has no file.

    Raises UsageError for a variable that can be guessed and for a file that others can read.
    """
    if given := environ.get(VARIABLE):
        if len(given) < _SHORTEST or not given.isascii() or not given.isprintable() or " " in given:
            hint = "unset it to have one made, or: openssl rand -base64 32"
            raise UsageError(f"{VARIABLE}: not {_SHORTEST} or more ASCII characters without spaces", hint=hint)
        return given, None
    path = state_dir(environ) / TOKEN_FILE
    try:
        return _read(path), path
    except FileNotFoundError:
        token = _new_token()
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # A second process that starts now takes the one that was there first.
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
                file.write(f"{token}\n")
        except FileExistsError:
            return _read(path), path
        except OSError as error:
            raise UsageError(f"{path}: cannot be written: {error.strerror}", hint="ACP_HOME names another") from None
        return token, path


def _read(path: Path) -> str:
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise UsageError(f"{path}: others can read it", hint=f"chmod 600 {path}, or remove it")
        token = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read: {error}", hint="remove it to have a new one made") from None
    if len(token) < _SHORTEST:
        raise UsageError(f"{path}: holds no token", hint="remove it to have a new one made")
    return token


class Tokens:
    """The tokens that a server knows: its own, and those given to others as the file has them at each question."""

    def __init__(self, environ: Mapping[str, str], own: str) -> None:
        self._own = Token(OWN, digest_of(own), frozenset({Scope.ADMIN}), 0.0)
        self._path = state_dir(environ) / GIVEN_FILE
        self._seen: tuple[int, int, int] | None = None
        self._given: tuple[Token, ...] = ()

    def known(self, text: str) -> Token | None:
        """The token that `text` is. Every one is compared, each in constant time."""
        digest, found = digest_of(text), None
        for token in (self._own, *self._current()):
            if hmac.compare_digest(token.digest, digest):
                found = token
        return found

    def has(self, token: Token) -> bool:
        """Whether `token`, which was known, has not been taken back since."""
        return token is self._own or token in self._current()

    def _current(self) -> tuple[Token, ...]:
        seen = None
        try:
            status = self._path.stat()
            seen = (status.st_mtime_ns, status.st_ino, status.st_size)
            if seen != self._seen:
                self._given = tuple(_given(self._path))
        except FileNotFoundError:
            self._given = ()
        except (OSError, UsageError) as error:
            # Rather nobody than somebody whose token was taken back.
            _log.error("no token but the machine's own is known: %s", error)
            self._given = ()
        self._seen = seen
        return self._given


def given_tokens(environ: Mapping[str, str]) -> list[Token]:
    """The tokens given to others, oldest first. Raises UsageError for a broken file."""
    return _given(state_dir(environ) / GIVEN_FILE)


def give_token(environ: Mapping[str, str], name: str, scopes: Iterable[Scope]) -> str:
    """A new token, whose text is kept nowhere. Raises UsageError for a name that is taken or is none."""
    if not _NAME.fullmatch(name) or name == OWN:
        raise UsageError(f"{name!r} is no name for a token", hint="letters, digits, dots, dashes; up to 64")
    given = given_tokens(environ)
    if any(token.name == name for token in given):
        raise UsageError(f"there is a token {name} already", hint=f"acp token rm {name}")
    text = _new_token()
    _keep(environ, [*given, Token(name, digest_of(text), frozenset(scopes), time.time())])
    return text


def take_token(environ: Mapping[str, str], name: str) -> bool:
    """Take a token back; whether there was one. A server that runs knows it at the next request."""
    given = given_tokens(environ)
    kept = [token for token in given if token.name != name]
    if len(kept) < len(given):
        _keep(environ, kept)
    return len(kept) < len(given)


def digest_of(text: str) -> str:
    """The digest by which a token is kept."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _new_token() -> str:
    return f"acp_{secrets.token_urlsafe(32)}"


def _given(path: Path) -> list[Token]:
    try:
        return [_token(row) for row in json.loads(path.read_text(encoding="utf-8"))]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        shown = shown_path(path)
        hint = f"remove {shown} and give new tokens"
        raise UsageError(f"{shown}: is not what acp token writes", hint=hint) from None


def _token(row: Mapping[str, Any]) -> Token:
    token = Token(str(row["name"]), str(row["sha256"]), frozenset(map(Scope, row["scopes"])), float(row["created"]))
    if not _NAME.fullmatch(token.name) or token.name == OWN or not _DIGEST.fullmatch(token.digest):
        raise ValueError(token.name)
    return token


def _keep(environ: Mapping[str, str], tokens: Iterable[Token]) -> None:
    path = state_dir(environ) / GIVEN_FILE
    rows = [
        {"name": token.name, "sha256": token.digest, "scopes": sorted(token.scopes), "created": token.created}
        for token in tokens
    ]
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # mkstemp makes the file 0600; the replacement is whole or not there.
        handle, name = tempfile.mkstemp(prefix=f".{GIVEN_FILE}.", dir=path.parent)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(rows, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}", hint="ACP_HOME names another folder") from None
