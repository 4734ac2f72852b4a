"""Kills `acp loop` at random moments of 30-iteration loops, and checks every promise of a loop at its end."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.crash.loop_trial import Outcome, loop_trial

KILLS = 200
KILLS_EACH = 20
ITERATIONS = 30


def main(n: int | None, seed: int) -> int:
    """Trials of 20 kills each until there were `n` (default 200); returns 1 where a promise was broken."""
    wanted = KILLS if n is None else n
    root = Path(tempfile.mkdtemp(prefix="acp-kill-loop-"))
    began = time.monotonic()
    outcomes: list[Outcome] = []
    while (done := sum(outcome.kills for outcome in outcomes)) < wanted:
        number = seed + len(outcomes)
        kills = min(KILLS_EACH, wanted - done)
        outcome = loop_trial(root / str(number), number, max_iter=ITERATIONS, kills=kills)
        outcomes.append(outcome)
        print(f"seed {number}: {outcome.kills} kills, {outcome.accepted} accepted, {outcome.seconds:.0f} s", flush=True)
        for problem in outcome.problems[:12]:
            print(f"  {problem}", flush=True)
        if not outcome.problems:
            shutil.rmtree(root / str(number))
        if not outcome.kills:
            print("  no kill hit: the loop ended before", flush=True)
            return 1
    places = sum((outcome.places for outcome in outcomes), Counter[str]())
    broken = sum(bool(outcome.problems) for outcome in outcomes)
    print(
        f"\n{len(outcomes)} loops, {sum(outcome.kills for outcome in outcomes)} kills, {broken} with a broken promise"
    )
    print(f"attempts begun again: {sum(outcome.salvaged for outcome in outcomes)}; {time.monotonic() - began:.0f} s")
    for place, count in places.most_common():
        print(f"  {count:4} {place}")
    if not broken:
        shutil.rmtree(root)
    return 1 if broken else 0
