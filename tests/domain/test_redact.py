"""Secrets are masked in every form they travel in."""

import base64

from hypothesis import given
from hypothesis import strategies as st

from acp_agent.domain.redact import MASK, Redactor, secrets_of

SECRET = "sk-verysecret/value+1"


def test_only_variables_whose_name_says_so_are_secret() -> None:
    environ = {"OPENAI_API_KEY": SECRET, "PATH": "/usr/bin:/bin", "MY_TOKEN": "short", "DB_PASSWORD": "correct horse"}
    assert secrets_of(environ) == (SECRET, "correct horse")


def test_plain_base64_and_quoted_forms_are_masked() -> None:
    redact = Redactor([SECRET])
    encoded = base64.b64encode(SECRET.encode()).decode()
    assert redact(f"a {SECRET} b") == f"a {MASK} b"
    assert SECRET not in redact(encoded)
    assert encoded.rstrip("=") not in redact(f"x{encoded}y")
    assert redact("sk-verysecret%2Fvalue%2B1") == MASK


@given(st.text(), st.text())
def test_no_secret_survives_in_any_surrounding(before: str, after: str) -> None:
    assert SECRET not in Redactor([SECRET])(before + SECRET + after)


def test_without_secrets_text_stays_as_it_is() -> None:
    assert Redactor([])("a [b] \\c") == "a [b] \\c"
