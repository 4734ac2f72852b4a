"""Where secrets are known from: variables, files that variables name, and the settings files of a workplace."""

import os
from pathlib import Path

from acp_agent.config.known_secrets import MAX_BYTES, KnownSecrets, secrets_in
from acp_agent.domain.redact import MASK


def test_the_file_that_a_variable_names_holds_its_secret(tmp_path: Path) -> None:
    file, wide, fifo = tmp_path / "db", tmp_path / "wide", tmp_path / "fifo"
    file.write_text("correct horse\n")
    wide.write_text("y" * (MAX_BYTES + 1))
    os.mkfifo(fifo)
    named = {"DB_PASSWORD_FILE": file, "A_TOKEN_FILE": wide, "B_TOKEN_FILE": fifo, "C_TOKEN_FILE": tmp_path / "none"}
    environ = {name: str(path) for name, path in named.items()} | {
        "LOG_FILE": str(tmp_path / "db"),
        "API_KEY": "12345678",
    }
    redact = KnownSecrets(environ, ["other-one"])
    assert redact("correct horse 12345678 other-one yyyyyyyyy") == f"{MASK} {MASK} {MASK} yyyyyyyyy"


def test_settings_files_of_a_workplace_hold_secrets_by_their_names(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        "# a comment\nexport API_KEY='first secret' \nNAME=plain-value\nDB_PASSWORD=second#secret # why\n"
        'DATABASE_URL="postgres://me:third-secret@db/x"\nTOKEN: fourth-secret\nEMPTY_TOKEN=\nSHORT_TOKEN=abc\n'
    )
    (tmp_path / ".env.local").write_text("MY_SECRET=fifth-secret")
    (tmp_path / ".env.example").write_text("MY_SECRET=put-yours-here")
    (tmp_path / "api").mkdir()
    (tmp_path / "api" / ".env").write_text("MY_SECRET=sixth-secret\n")
    (tmp_path / "api" / "deep").mkdir()
    (tmp_path / "api" / "deep" / ".env").write_text("MY_SECRET=not looked for\n")
    assert secrets_in(tmp_path) == (
        "first secret",
        "second#secret",
        "fourth-secret",
        "third-secret",
        "fifth-secret",
        "sixth-secret",
    )
    assert secrets_in(tmp_path / "none") == ()


def test_a_place_that_is_entered_is_masked_from_then_on(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A_TOKEN=later-secret\n")
    redact = KnownSecrets({})
    assert redact("later-secret") == "later-secret"
    redact.enter(str(tmp_path))
    assert redact("later-secret") == MASK
