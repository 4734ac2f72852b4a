"""The one base of every noun: frozen and closed."""

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """A noun: immutable, and an unknown field is an error rather than ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid")
