"""Tokens of the server: one of this machine, those given to others, and what is kept of them."""

import json
import stat
from pathlib import Path

import pytest

from acp_agent.config.tokens import Scope, Tokens, digest_of, give_token, given_tokens, own_token, take_token
from acp_agent.domain.errors import UsageError


def test_the_machine_s_own_is_made_once_and_is_this_user_s_alone(tmp_path: Path) -> None:
    environ = {"ACP_HOME": str(tmp_path / "state")}
    token, path = own_token(environ)
    assert path == tmp_path / "state" / "token" and len(token) > 40
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert own_token(environ) == (token, path)
    path.chmod(0o640)
    with pytest.raises(UsageError, match="others can read it"):
        own_token(environ)
    path.chmod(0o600)
    path.write_text("short\n")
    with pytest.raises(UsageError, match="holds no token"):
        own_token(environ)


def test_the_environment_goes_first_and_nothing_is_written(tmp_path: Path) -> None:
    environ = {"ACP_HOME": str(tmp_path), "ACP_TOKEN": "0123456789abcdef"}
    assert own_token(environ) == ("0123456789abcdef", None)
    assert list(tmp_path.iterdir()) == []
    for weak in ("short", "with a space in it", "tokën-tokën-tokën"):
        with pytest.raises(UsageError, match="ACP_TOKEN"):
            own_token({**environ, "ACP_TOKEN": weak})


def test_of_a_token_for_others_only_the_digest_is_kept(tmp_path: Path) -> None:
    environ = {"ACP_HOME": str(tmp_path)}
    token = give_token(environ, "phone", [Scope.RUN, Scope.APPROVE])
    path = tmp_path / "tokens.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert token not in path.read_text()
    (row,) = json.loads(path.read_text())
    assert (row["name"], row["sha256"], row["scopes"]) == ("phone", digest_of(token), ["approve", "run"])
    with pytest.raises(UsageError, match="already"):
        give_token(environ, "phone", [Scope.READ])
    for name in ("", "own", "a b", "../a", "x" * 65):
        with pytest.raises(UsageError, match="no name"):
            give_token(environ, name, [Scope.READ])


def test_who_is_known_follows_the_file(tmp_path: Path) -> None:
    environ = {"ACP_HOME": str(tmp_path)}
    tokens = Tokens(environ, "the-own-token-of-it")
    own = tokens.known("the-own-token-of-it")
    assert own is not None and own.opens(Scope.READ, Scope.RUN, Scope.APPROVE, Scope.ADMIN)
    assert tokens.known("") is None and tokens.known("the-own-token-of-i") is None
    text = give_token(environ, "phone", [Scope.RUN])
    given = tokens.known(text)
    assert given is not None and given.name == "phone"
    assert given.opens(Scope.RUN) and not given.opens(Scope.RUN, Scope.APPROVE)
    assert take_token(environ, "phone") and not take_token(environ, "phone")
    assert tokens.known(text) is None
    assert given_tokens(environ) == []


def test_a_broken_file_is_named_and_opens_nothing(tmp_path: Path) -> None:
    environ = {"ACP_HOME": str(tmp_path)}
    (tmp_path / "tokens.json").write_text('[{"name": "a"}]')
    with pytest.raises(UsageError, match=r"tokens\.json"):
        given_tokens(environ)
    assert Tokens(environ, "the-own-token-of-it").known("anything") is None
