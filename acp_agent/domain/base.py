"""The one base of every noun: frozen and closed."""

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """A noun: immutable, and an unknown field is an error rather than ignored."""

    # A process uses few of the nouns there are: each is made ready when it is first used, not when it is imported.
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)
