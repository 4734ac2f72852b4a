"""`acp token`: given, listed, taken back; and what `acp serve` says of wrong words."""

import json
import os
from collections.abc import Callable
from typing import Any

from acp_agent.config.paths import state_dir
from acp_agent.config.tokens import digest_of

Acp = Callable[..., Any]


def test_a_token_is_shown_once_listed_by_name_and_taken_back(acp: Acp) -> None:
    given = acp("token", "add", "phone")
    assert (given.code, given.stderr) == (0, "")
    token = given.stdout.strip()
    (row,) = json.loads((state_dir(os.environ) / "tokens.json").read_text())
    assert (row["sha256"], row["scopes"]) == (digest_of(token), ["approve", "run"])
    assert acp("token", "add", "scraper", "--scope", "read").code == 0
    listed = acp("token", "ls")
    assert [line.split()[:2] for line in listed.stdout.splitlines()] == [["phone", "approve,run"], ["scraper", "read"]]
    assert token not in listed.stdout
    assert acp("token", "rm", "phone").stdout == "phone: taken back\n"
    gone = acp("token", "rm", "phone")
    assert (gone.code, gone.stderr) == (5, "acp: there is no token phone\nhint: acp token ls\n")


def test_wrong_words_are_told_in_one_line(acp: Acp) -> None:
    for words, said in (
        (("token", "add", "a b"), "'a b' is no name for a token"),
        (("token", "add", "a", "--scope", "everything"), "'everything' is not one of"),
        (("serve", "--http", "here"), "'here' is no HOST:PORT"),
        (("serve", "--trusted-proxy", "a.example"), "--trusted-proxy goes with --http"),
        (("serve",), "serve takes no options before it"),
    ):
        told = acp(*words)
        assert (told.code, said in told.stderr.splitlines()[0]) == (2, True), told.stderr
    assert acp("token", "add", "phone").code == 0
    (state_dir(os.environ) / "tokens.json").write_text("[{}]")
    broken = acp("token", "ls")
    assert broken.code == 2 and "is not what acp token writes" in broken.stderr
