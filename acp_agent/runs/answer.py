"""The last words of a model held against the schema a person asked for."""

import json
import re
from typing import Any

from acp_agent.config.schema_text import check_value
from acp_agent.domain.egress import NO_NETWORK, NOT_LOOKED_UP
from acp_agent.domain.events import AnswerChecked
from acp_agent.domain.request import RunRequest

FENCED = re.compile(r"```(?:json)?\s*\n(.*?)```", re.DOTALL)


def check_answer(request: RunRequest, text: str, guess: bool) -> AnswerChecked:
    """The JSON value in `text` (bare, or in its only code fence) if it fits the schema, else what is wrong with it.

    A `guess` fits nothing; who had to look something up may say that there was no network.
    """
    if guess:
        return AnswerChecked(problem=NOT_LOOKED_UP)
    if request.lookup != "none" and text.strip().strip('"`') == NO_NETWORK:
        return AnswerChecked(value=NO_NETWORK)
    if request.answer_schema is None:
        return AnswerChecked()
    return _checked(request.answer_schema, text)


def _checked(schema: dict[str, Any], text: str) -> AnswerChecked:
    fenced = FENCED.findall(text)
    source = fenced[0] if len(fenced) == 1 else text
    try:
        value = json.loads(source.strip())
    except (ValueError, RecursionError) as error:
        return AnswerChecked(problem=f"not JSON: {error}")
    problem = check_value(schema, value)
    return AnswerChecked(problem=problem) if problem else AnswerChecked(value=value)
