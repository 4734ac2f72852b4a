"""Secrets are masked in every form they travel in, wherever a stream cuts them; what only looks random is left."""

import base64
import json
import os
import re
import secrets as chance
import string
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acp_agent.domain.redact import MASK, Redactor, secrets_of
from acp_agent.domain.secret_shapes import SHAPES, has_no_head, look

SECRET = "sk-verysecret/value+1"
ROOT = Path(__file__).resolve().parents[2]


def test_only_variables_whose_name_says_so_are_secret_and_passwords_in_urls() -> None:
    environ = {
        "OPENAI_API_KEY": SECRET,
        "PATH": "/usr/bin:/bin",
        "MY_TOKEN": "short",
        "DB_PASSWORD": "correct horse",
        "CREDENTIALS": "disabled",
        "DATABASE_URL": "postgres://me:p%40ssw0rd-123@db/x",
    }
    assert secrets_of(environ) == (SECRET, "correct horse", "p%40ssw0rd-123", "p@ssw0rd-123")


FORMS = {
    "plain": lambda secret: secret,
    "base64": lambda secret: base64.b64encode(secret.encode()).decode(),
    "base64 for URLs": lambda secret: base64.urlsafe_b64encode(secret.encode()).decode(),
    "part of what is encoded": lambda secret: base64.b64encode(f"user:{secret}!".encode()).decode(),
    "second part of what is encoded": lambda secret: base64.b64encode(f"u:{secret}".encode()).decode(),
    "base64 in lines": lambda secret: base64.encodebytes(f"{'x' * 50}{secret}{'y' * 90}".encode()).decode(),
    "quoted": lambda secret: quote(secret, safe=""),
    "quoted in lower case": lambda secret: re.sub("%..", lambda match: match[0].lower(), quote(secret, safe="")),
    "hexadecimal": lambda secret: secret.encode().hex(),
    "HEXADECIMAL": lambda secret: secret.encode().hex().upper(),
    "JSON": lambda secret: json.dumps(secret),
    "JSON in JSON": lambda secret: json.dumps(json.dumps(secret)),
    "two lines": lambda secret: f"{secret[:7]}\n{secret[7:]}",
    "a letter a line": "\r\n".join,
    "two lines in JSON": lambda secret: json.dumps(f"{secret[:7]}\n{secret[7:]}"),
    "two lines of a shell": lambda secret: f"{secret[:7]}\\\n{secret[7:]}",
}


SECRETS = (SECRET, 'qu"ote and ünïcode ☃ 𝄞', "correct horse", "aaaaaaaaaaaa", 'qu"ote\\n', "nr\\rn\\nrnr\\")


# A secret with backslashes that is broken at one of them is not told from its own escapes.
@pytest.mark.parametrize(
    ("form", "secret"),
    [(form, secret) for form in FORMS for secret in SECRETS if "line" not in form or "\\" not in secret],
)
def test_a_secret_is_masked_in_every_form(form: str, secret: str) -> None:
    text = FORMS[form](secret)
    shown = Redactor([secret])(f"before {text} after")
    assert shown.startswith("before ") and shown.endswith(" after") and MASK in shown
    rest = shown.removeprefix("before ").removesuffix(" after").replace(MASK, "")
    if "encoded" in form or form == "base64 in lines":
        # The neighbours stay, and the letters at the ends that depend on them.
        assert len(text) - len(rest) >= len(secret.encode()) * 4 // 3 - 4
    else:
        assert len(rest) <= 6, shown


@given(st.text(), st.text())
def test_no_secret_survives_in_any_surrounding(before: str, after: str) -> None:
    assert SECRET not in Redactor([SECRET])(before + SECRET + after)


@pytest.mark.parametrize(
    "text", ["{}\n{}", "7\tx {}\n8\t{} y", "a.txt:7: x {}\na.txt:8: {} y", "a:7:{}\na:8:{}", "    7\t{}\r\n    8\t{}"]
)
def test_a_secret_broken_over_lines_is_masked_in_a_listing_too(text: str) -> None:
    redact = Redactor([SECRET])
    assert redact.listing(text.format(SECRET[:9], SECRET[9:])) == text.format("{}", "\0").partition("{}")[0] + (
        MASK + text.partition("{}")[2].partition("{}")[2]
    )
    assert redact.listing("1\tnothing\n2\tto see\n") == "1\tnothing\n2\tto see\n"


def test_two_secrets_that_overlap_are_both_masked() -> None:
    assert Redactor(["abcdefgh12", "gh12345678"])("x abcdefgh12345678 y") == f"x {MASK} y"


def test_without_secrets_text_stays_as_it_is() -> None:
    assert Redactor([])("a [b] \\c") == "a [b] \\c"


def test_a_secret_learnt_later_is_masked_from_then_on() -> None:
    redact = Redactor(["first-secret"])
    redact.learn(["later-secret", "first-secret"])
    assert redact("first-secret later-secret") == f"{MASK} {MASK}"


def made(characters: str, length: int) -> str:
    return "".join(chance.choice(characters) for _ in range(length - 3)) + "aB1"


WORD = string.ascii_letters + string.digits
TOKENS = {
    "OpenAI": f"sk-proj-{made(WORD + '_-', 90)}",
    "Anthropic": f"sk-ant-api03-{made(WORD + '_-', 93)}",
    "GitHub": f"ghp_{made(WORD, 36)}",
    "GitHub, fine-grained": f"github_pat_{made(WORD + '_', 82)}",
    "GitLab": f"glpat-{made(WORD + '-', 20)}",
    "AWS": "AKIA" + "Q3EGRZ7LMN2PX45T",
    "Google": f"AIza{made(WORD, 35)}",
    "Google OAuth": f"ya29.{made(WORD, 60)}",
    "Slack": f"xoxb-{'123456789012'}-{made(WORD, 24)}",
    "Stripe": f"sk_live_{made(WORD, 24)}",
    "npm": f"npm_{made(WORD, 36)}",
    "PyPI": f"pypi-AgEIcHlwaS5vcmc{made(WORD, 70)}",
    "Hugging Face": f"hf_{made(WORD, 34)}",
    "SendGrid": f"SG.{made(WORD, 22)}.{made(WORD, 43)}",
    "JWT": ".".join(
        base64.urlsafe_b64encode(part).decode().rstrip("=")
        for part in (b'{"alg":"HS256","typ":"JWT"}', b'{"sub":"1234567890","name":"J"}', chance.token_bytes(32))
    ),
}


@pytest.mark.parametrize("name", TOKENS)
def test_tokens_of_well_known_providers_are_masked_wherever_they_stand(name: str) -> None:
    token, redact = TOKENS[name], Redactor()
    for text in (
        "{}",
        "x = '{}'",
        *(["of-{}.txt"] if name != "JWT" else []),
        "KEY={}\nNEXT=1",
        "({}),",
        "https://x@y/?q={}&a=b",
        '{{"a": "line\\n{}\\n"}}',
    ):
        assert redact(text.format(token)) == text.format(MASK)


def test_what_stands_around_a_secret_stays() -> None:
    password, bearer = made(WORD, 12), made(WORD, 40)
    key = base64.encodebytes(chance.token_bytes(1200)).decode()
    redact = Redactor()
    for before, secret, after in (
        ("git clone https://me:", password, "@host/x.git"),
        ("postgres://admin:", password + ":!", "@db:5432/x"),
        ("curl -H 'Authorization: Bearer ", bearer, "' http://x"),
        ('{"authorization": "Basic ', base64.b64encode(f"me:{bearer}".encode()).decode(), '"}'),
        ("//registry.npmjs.org/:_authToken=", made(WORD, 36), "\n"),
        ("aws_secret_access_key = ", made(WORD + "/+", 40), "\n"),
        ("https://hooks.slack.com/services/", f"T01234567/B01234567/{made(WORD, 24)}", " x"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----", f"\n{key}", "-----END OPENSSH PRIVATE KEY-----\n"),
        ("-----BEGIN PRIVATE KEY-----", f"\\n{key.strip()}\\n".replace("\n", "\\n"), "-----END PRIVATE KEY-----"),
    ):
        assert redact(before + secret + after) == before + MASK + after
        assert redact(redact(before + secret + after)) == before + MASK + after


HARMLESS = """\
commit 3f786850e387550fdab836ed7e6dc881de23001b 5d41402abc4b2a76b9719d911017c592
"integrity": "sha512-z3zsHlSMVTqnKJsZvAQzXHBMvVpAsPYR7qW3mmLj8mbg5YT1nO2QzZ7jZbbH6QRjzZ1GqZAt1Wj8n8YvPvNRRA=="
sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 123e4567-e89b-12d3-a456-426614174000
<img src="data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9">
//# sourceMappingURL=data:application/json;base64,eyJ2ZXJzaW9uIjozLCJzb3VyY2VzIjpbImEudHMiXX0=
.sk-circle-fade-dot-animation-delay { } task-20260101-disk-full risk-assessment-of-1234567890-things
postgres://user:password@localhost/db mysql://root:${ROOT_PASSWORD}@db https://me:<token>@host redis://:@x
if "-----BEGIN RSA PRIVATE KEY-----" in text:  # nothing but the header of a key, and then source code, a lot of it
    raise ValueError("a private key in plain text, which is not what anybody wants to see", text, 1234567890)
AKIAIOSFODNN7EXAMPLE ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx sk-your-key-here-0123456789abc sk-000000000000000000000000
Bearer authentication-with-a-very-long-word token = get_token("name") password: string; npm_config_registry
http://localhost:8080/@scope/package git@github.com:me/x.git see https://example.org:8443/path@2.0
"""


def test_what_only_looks_random_is_left_alone() -> None:
    redact = Redactor()
    assert redact(HARMLESS) == HARMLESS
    lock = (ROOT / "uv.lock").read_text("utf-8")
    assert redact(lock) == lock
    for path in (ROOT / "acp_agent").rglob("*.py"):
        text = path.read_text("utf-8")
        assert redact(text) == text, path


MOST = int(os.environ.get("ACP_TEST_EXAMPLES", "150"))
PIECES = st.sampled_from(
    [shape.head for shape in SHAPES]
    + [*TOKENS.values(), SECRET, SECRET[:9], SECRET[9:], "nrsecret\\n", "//u:pässw0rt12@", "Basic ", "AUTH"]
    + [
        "\n",
        "\\",
        "n",
        "r",
        "\r\n",
        "\\n",
        " ",
        ".",
        "-",
        "@",
        ":",
        "=",
        '"',
        "a1B2c3D4e5F6",
        "eyJ",
        "A" * 70,
        " a" * 130,
        "",
    ]
)


UNFINISHED = re.compile(rf"(?:{'|'.join(shape.beginning for shape in SHAPES)})\Z")


@settings(max_examples=MOST, deadline=None)
@given(
    st.lists(st.one_of(PIECES, PIECES.flatmap(lambda piece: st.integers(0, 4).map(lambda cut: piece[:cut])))),
    st.integers(0, 3),
)
def test_what_is_undecided_is_whatever_a_shape_may_begin_with(pieces: list[str], start: int) -> None:
    text = "abc" + "".join(pieces)
    match = UNFINISHED.search(text, start)
    assert look(text, start)[1] == (match.start() if match else len(text))


@settings(max_examples=MOST, deadline=None)
@given(st.lists(PIECES, max_size=14).map("".join), st.data())
def test_a_stream_is_masked_as_the_whole_is_wherever_it_is_cut(text: str, data: st.DataObject) -> None:
    redact = Redactor([SECRET, "nrsecret\\n", "A1bA1bA1bA1b"])
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    stream = redact.stream()
    pieces = [text[low:high] for low, high in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert "".join([*map(stream.feed, pieces), stream.flush()]) == redact(text)


@given(st.text(alphabet="nr\\\n\rsect", max_size=40), st.integers(1, 5))
@settings(max_examples=MOST, deadline=None)
def test_breaks_of_lines_in_a_stream_are_those_of_the_whole(text: str, size: int) -> None:
    redact = Redactor(["nsecrets\\r", "rsectsect", "\\nsectne"])
    text += "\\nsecr\\\nets\\r nsecrets\\r"
    stream = redact.stream()
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    assert "".join([*map(stream.feed, pieces), stream.flush()]) == redact(text)


def test_a_stream_holds_back_only_what_may_be_a_secret() -> None:
    stream = Redactor([SECRET]).stream()
    assert stream.feed("The answer is 42. ") == "The answer is 42. "
    assert stream.feed("It is sk") == "It is "
    assert stream.feed("ipped") == "skipped"
    assert stream.feed(f" {SECRET[:-1]}") == " "
    assert stream.feed(SECRET[-1:] + "/ more") == f"{MASK}/ more"
    assert stream.flush() == ""


@pytest.mark.parametrize(
    "unit", ["-eyJ", "sk-", "-----BEGIN PRIVATE KEY-----", "://", "://a:", "Bearer ", "Authorization: ", "\\n"]
)
def test_no_text_makes_it_slow(unit: str) -> None:
    # Quadratic work on this would take minutes, and the suite's limit ends it.
    text = unit * (300_000 // len(unit))
    redact = Redactor([SECRET])
    redact(text)
    stream = redact.stream()
    assert sum(len(stream.feed(text[at : at + 1000])) for at in range(0, 60_000, 1000)) + len(stream.flush()) > 0


HEADS = st.sampled_from(sorted({shape.head for shape in SHAPES}))


@given(
    st.lists(
        st.one_of(st.text(max_size=8), HEADS, st.tuples(HEADS, st.integers(1, 9)).map(lambda cut: cut[0][: -cut[1]]))
    )
)
def test_a_short_text_is_passed_over_where_it_has_no_head_and_only_there(parts: list[str]) -> None:
    text = "".join(parts)[:256]
    assert has_no_head(text) == (not any(shape.head in text for shape in SHAPES))
    assert not has_no_head("word " * 52)
