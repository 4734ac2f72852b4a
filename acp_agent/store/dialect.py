"""Makes columns on PostgreSQL what they are on SQLite, whatever creates them: the schema's file or a migration.

Text is compared by its bytes whatever the database's language, because ids are found by their beginnings; whole
numbers have 64 bits, because a provider may claim any number of tokens.
"""

from typing import Any

from sqlalchemy import Integer, Text
from sqlalchemy.ext.compiler import compiles


def use() -> None:
    """From now on every column that this process creates on PostgreSQL is one of these."""
    compiles(Text, "postgresql")(_text)
    compiles(Integer, "postgresql")(_integer)


def _text(_kind: Text, _compiler: Any, **_keywords: Any) -> str:
    return 'TEXT COLLATE "C"'


def _integer(_kind: Integer, _compiler: Any, **_keywords: Any) -> str:
    return "BIGINT"
