"""Which model of a chain is asked next, after what the last ones answered."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from acp_agent.domain.errors import TRANSIENT_FAULTS, ModelFault
from acp_agent.domain.events import ModelFailed

ATTEMPTS = 3
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 120.0


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model to ask after `delay` seconds."""

    model: str
    delay: float


def next_candidate(chain: Sequence[str], failures: Sequence[ModelFailed]) -> Candidate | None:
    """The model of `chain` with the fewest failures since the last reply; None when every one has had its turns.

    A model is asked up to three times for faults that pass (a lost call, cut by a crash, does not count) and never
    again after one that does not (quota, auth, a context too long...), or when it asks for a pause of over two minutes.
    """
    tried = Counter(failure.model for failure in failures if failure.fault is not ModelFault.LOST)
    gone = {failure.model for failure in failures if _hopeless(failure)}
    left = [model for model in chain if model not in gone and tried[model] < ATTEMPTS]
    if not left:
        return None
    model = min(left, key=lambda name: tried[name])
    return Candidate(model, _pause(model, tried[model], failures))


def _hopeless(failure: ModelFailed) -> bool:
    return failure.fault not in TRANSIENT_FAULTS or (failure.retry_after or 0.0) > LONGEST_PAUSE


def _pause(model: str, tries: int, failures: Sequence[ModelFailed]) -> float:
    if tries == 0:
        return 0.0
    last = next(failure for failure in reversed(failures) if failure.model == model)
    return max(last.retry_after or 0.0, FIRST_PAUSE * float(2 ** (tries - 1)))
