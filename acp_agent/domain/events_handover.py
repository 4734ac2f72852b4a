"""Facts about who takes a run: a person its workplace, who gives it back; or a worker that cannot."""

from typing import Literal

from acp_agent.domain.base import Frozen

NAMED = 20
"""Files that the model is told of."""


class Taken(Frozen):
    """A person has the workplace: the run is paused, and begins nothing until `given_back`.

    Told once more with `tree`, a tree of the shadow repository, when its driver has let go; None where no snapshot
    could be taken.
    """

    type: Literal["taken"] = "taken"
    note: str = ""
    tree: str | None = None


class GivenBack(Frozen):
    """The run goes on. `paths` are the first of the `files` that the person changed, with lines `added` and `removed`.

    `unknown` says why nobody can tell what was changed.
    """

    type: Literal["given_back"] = "given_back"
    note: str = ""
    paths: tuple[str, ...] = ()
    files: int = 0
    added: int = 0
    removed: int = 0
    unknown: str = ""


class PassedOver(Frozen):
    """A worker on `host` left the run in its queue, for others; `why` is for a person."""

    type: Literal["passed_over"] = "passed_over"
    host: str
    why: str


HandOver = Taken | GivenBack | PassedOver


def given_back_text(fact: GivenBack) -> str:
    """What the model is told: its view of these files is not what stands there now."""
    said = f" They say: {fact.note}" if fact.note else ""
    if fact.unknown:
        what = "[A person worked in the workplace; what they changed is unknown."
        return f"{what}{said} Read files again before you change them.]"
    if not fact.files:
        return f"[A person had the workplace for a while and changed nothing.{said}]"
    named = ", ".join(fact.paths[:NAMED]) + (f" and {fact.files - NAMED} more" if fact.files > NAMED else "")
    return f"[A person changed files: {named}.{said} Read these files again before you change them.]"
