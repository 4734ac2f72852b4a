"""The last words of a model held against the schema a person asked for."""

import json
import re
from typing import Any

from acp_agent.config.schema_text import check_value
from acp_agent.domain.events import AnswerChecked

FENCED = re.compile(r"```(?:json)?\s*\n(.*?)```", re.DOTALL)


def check_answer(schema: dict[str, Any], text: str) -> AnswerChecked:
    """The JSON value in `text` (bare, or in its only code fence) if it fits `schema`, else what is wrong with it."""
    fenced = FENCED.findall(text)
    source = fenced[0] if len(fenced) == 1 else text
    try:
        value = json.loads(source.strip())
    except (ValueError, RecursionError) as error:
        return AnswerChecked(problem=f"not JSON: {error}")
    problem = check_value(schema, value)
    return AnswerChecked(problem=problem) if problem else AnswerChecked(value=value)
