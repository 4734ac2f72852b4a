"""Facts as they may be recorded: every text in them redacted, before anybody folds, acts on or shows them.

What a model says is masked before it is acted on, and so is what it is asked: the run that resumes from the record does
what the run did that wrote it. Where masking would change what a run *is* (a path, a gate's command), it is refused.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from acp_agent.domain.errors import UsageError
from acp_agent.domain.events import (
    Committed,
    Fact,
    ModelReplied,
    RunStarted,
    WorkspacePrepared,
    fact_of,
)
from acp_agent.domain.events_person import PicturesGiven
from acp_agent.domain.events_session import SessionStarted
from acp_agent.domain.redact import Redactor

_WORDS = frozenset({"prompt", "title", "instructions", "role_prompt"})
"""What of a request is for the model to read; all else of it is acted on by us."""


def masked_fact(fact: Fact, redact: Redactor, text: str | None = None) -> Fact:
    """`fact` without secrets; itself where it has none. `text` is its JSON, where that is known.

    Raises UsageError for one that says where or what to work and cannot do without.
    """
    if isinstance(fact, PicturesGiven | Committed):
        # Pictures and packed commits are no text, and masked ones would be none that anybody can open.
        return fact
    if isinstance(fact, RunStarted) and fact.request.images:
        return _apart_from_images(fact, redact)
    if not redact.finds(fact.model_dump_json() if text is None else text):
        return fact
    told = fact.model_dump(mode="json")
    shown = _masked(told, redact)
    if shown == told:
        return fact
    match fact:
        case RunStarted():
            _check(told["request"], shown["request"], _WORDS, "the run's ")
        case SessionStarted() | WorkspacePrepared():
            _check(told, shown, frozenset(), "")
        case ModelReplied():
            before, after = (fact["reply"]["message"]["calls"] for fact in (told, shown))
            for said, kept in zip(before, after, strict=True):
                kept["masked"] = kept != said
        case _:
            pass
    return fact_of(shown)


def _apart_from_images(fact: RunStarted, redact: Redactor) -> Fact:
    """The pictures stay as they are: they are no text, and a masked one would be none that anybody can open."""
    words = fact.model_copy(update={"request": fact.request.model_copy(update={"images": ()})})
    shown = masked_fact(words, redact)
    assert isinstance(shown, RunStarted)
    return fact.model_copy(update={"request": shown.request.model_copy(update={"images": fact.request.images})})


def enter_places(facts: Iterable[Fact], redact: Redactor) -> None:
    """Let `redact` learn the secrets of every place that `facts` name, before any of them is masked."""
    for fact in facts:
        match fact:
            case RunStarted(request=request):
                redact.enter(request.workplace.root)
            case SessionStarted(cwd=path):
                redact.enter(path)
            case _:
                pass


def _masked(value: Any, redact: Redactor) -> Any:
    match value:
        case str():
            return redact(value)
        case list():
            return [_masked(inner, redact) for inner in value]
        case dict():
            return {redact(key): _masked(inner, redact) for key, inner in value.items()}
        case _:
            return value


def _check(told: Mapping[str, Any], shown: Mapping[str, Any], free: frozenset[str], whose: str) -> None:
    for name, value in told.items():
        if name not in free and shown[name] != value:
            raise UsageError(
                f"{whose}{name} holds a secret, which no record may hold",
                hint="put it into a file or an environment variable that the command reads itself",
            )
