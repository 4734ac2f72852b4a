"""Kills 64 parallel calls of a model that lies about its usage, before they settle; spend never passes the cap."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path

from tests.crash.budget_trial import CAP, trial

KILLS = 200
EACH = 4
"""Kills of one trial: what is in flight at each is lost and counts at its worst, and a budget is soon used up so."""


def main(n: int | None, seed: int) -> int:
    """Kill `n` times (default 200); returns 1 where a budget was overshot."""
    began = time.monotonic()
    wanted = KILLS if n is None else n
    root = Path(tempfile.mkdtemp(prefix="acp-budget-kills-"))
    kills = questions = failed = trials = 0
    most = 0.0
    while kills < wanted:
        spent = trial(root / f"trial-{trials}", seed + trials, min(EACH, wanted - kills))
        trials += 1
        kills += max(spent.kills, 1)
        questions += spent.questions
        most = max(most, spent.booked.spent if spent.booked else 0.0)
        if spent.problems:
            failed += 1
            print(f"trial with seed {seed + trials - 1}: ", *spent.problems, sep="\n  ", flush=True)
        elif trials % 5 == 0:
            print(f"{kills} kills, {questions} questions, {time.monotonic() - began:.0f} s", flush=True)
    print(f"{trials} trials, {kills} kills, {questions} questions, {time.monotonic() - began:.0f} s")
    print(f"budgets overshot: {failed}; most booked: {most:.4f} of {CAP:.4f}")
    if not failed:
        shutil.rmtree(root)
    return 1 if failed else 0
