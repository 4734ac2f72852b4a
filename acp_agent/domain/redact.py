"""Redaction: exact values of known secrets never reach the model, the record, logs or a surface."""

import base64
import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote

SECRET_NAME = re.compile(r"(?i)(api_?key|token|secret|passw(or)?d|credential|private_?key|access_?key)s?$")
MASK = "[redacted]"
MIN_LENGTH = 8


def secrets_of(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Values of the variables whose name says they are secret.

    Shorter ones than 8 characters would mask plain words.
    """
    return tuple(value for name, value in environ.items() if SECRET_NAME.search(name) and len(value) >= MIN_LENGTH)


class Redactor:
    """Masks known secrets, also in their base64 and URL-quoted forms."""

    def __init__(self, secrets: Iterable[str]) -> None:
        forms = {form for secret in secrets if len(secret) >= MIN_LENGTH for form in _forms(secret)}
        ordered = sorted(forms, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def __call__(self, text: str) -> str:
        """`text` with every known secret replaced by `[redacted]`."""
        return self._pattern.sub(MASK, text) if self._pattern else text


def _forms(secret: str) -> set[str]:
    encoded = base64.b64encode(secret.encode()).decode().rstrip("=")
    return {secret, encoded, encoded.replace("+", "-").replace("/", "_"), quote(secret, safe="")}
