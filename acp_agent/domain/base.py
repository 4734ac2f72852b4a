"""The one base of every noun: frozen and closed."""

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """A noun: immutable, and an unknown field is an error rather than ignored."""

    # A process uses few of the nouns there are: each is made ready when it is first used, not when it is imported.
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Pydantic's, in a fourth of the time: a fold is little else than copies. Nouns have no private fields."""
        if deep or not update:
            return super().model_copy(update=update, deep=deep)
        copied = type(self).__new__(type(self))
        named = self.__pydantic_fields_set__
        object.__setattr__(copied, "__dict__", {**self.__dict__, **update})
        object.__setattr__(copied, "__pydantic_fields_set__", named if update.keys() <= named else {*named, *update})
        object.__setattr__(copied, "__pydantic_extra__", None)
        object.__setattr__(copied, "__pydantic_private__", None)
        return copied
