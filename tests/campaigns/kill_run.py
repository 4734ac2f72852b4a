"""Kills `acp run` and what resumes it at random moments, and checks every promise of the record after each trial."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from statistics import median

from tests.crash.trial import Outcome, Window, calibrate, trial

TRIALS = 220
"""Each kills `acp run` once, unless it ends before (one in twenty does), and its successors up to three times."""
SHOWN = 12
"""Problems printed of one trial: the first ones matter, the others follow from them."""


def main(n: int | None, seed: int) -> int:
    """Run `n` trials (default 220), trial i with seed `seed` + i; returns 1 where a promise was broken."""
    return campaign("kill_run", TRIALS if n is None else n, seed, lambda: "")


def campaign(name: str, trials: int, seed: int, new_url: Callable[[], str]) -> int:
    """The same for the campaign called `name`, each trial with its record at a new URL (empty: a file)."""
    began = time.monotonic()
    root = Path(tempfile.mkdtemp(prefix="acp-kill-run-"))
    window, problems = calibrate(root / "calibration", url=new_url())
    if problems:
        print("an undisturbed run is wrong already:", *problems, sep="\n  ")
        return 1
    print(f"an undisturbed run takes {window.latest:.1f} s; killing from {window.earliest:.1f} s on", flush=True)
    outcomes = []
    for number, outcome in _all(root, seed, trials, window, new_url):
        outcomes.append(outcome)
        kills = sum(len(each.kills) for each in outcomes)
        if outcome.problems:
            print(f"trial with seed {number}: {_story(outcome)}", *outcome.problems[:SHOWN], sep="\n  ")
            print(f"  again: scripts/campaign {name} --n 1 --seed {number}; kept: {root}", flush=True)
        elif len(outcomes) % 10 == 0:
            print(f"{len(outcomes)} of {trials} trials, {kills} kills, {time.monotonic() - began:.0f} s", flush=True)
    failed = sum(bool(outcome.problems) for outcome in outcomes)
    summary(outcomes, time.monotonic() - began)
    if not failed:
        shutil.rmtree(root)
    return 1 if failed else 0


def _all(
    root: Path, seed: int, trials: int, window: Window, new_url: Callable[[], str]
) -> Iterator[tuple[int, Outcome]]:
    """Run the trials, as many at once as there are cores to share, and give each outcome as it comes."""
    with ThreadPoolExecutor(max_workers=max(1, min(4, (os.cpu_count() or 1)))) as pool:
        waiting = {
            pool.submit(_one, root / f"trial-{number:012}", number, window, new_url()): number
            for number in range(seed, seed + trials)
        }
        for done in as_completed(waiting):
            yield waiting[done], done.result()


def _one(root: Path, seed: int, window: Window, url: str) -> Outcome:
    outcome = trial(root, seed, window, url=url)
    if not outcome.problems:
        shutil.rmtree(root)
    return outcome


def _story(outcome: Outcome) -> str:
    kills = "; ".join(
        f"{kill.command} after {kill.after:.2f} s ({kill.aim}, {'group' if kill.whole_group else 'leader'}): "
        + ", ".join(kill.found)
        for kill in outcome.kills
    )
    return f"{kills or 'no kill'}; answers {dict(outcome.decisions)}"


def summary(outcomes: Sequence[Outcome], seconds: float) -> None:
    """Print what was killed, where it fell and what became of it."""
    kills = [kill for outcome in outcomes for kill in outcome.kills]
    places = Counter(place for kill in kills for place in kill.found)
    decisions = sum((outcome.decisions for outcome in outcomes), Counter[str]())
    resumes = [seconds for outcome in outcomes for seconds in outcome.resumes]
    takeovers = [seconds for outcome in outcomes for seconds in outcome.takeovers]
    groups = sum(kill.whole_group for kill in kills)
    rows = [
        ("trials", f"{len(outcomes)}, {sum(bool(outcome.problems) for outcome in outcomes)} with a broken promise"),
        ("kills", f"{len(kills)}: {_counts(Counter(f'acp {kill.command}' for kill in kills))}"),
        ("", f"{groups} of the whole group, {len(kills) - groups} of the leader alone"),
        ("", _counts(Counter(f"aimed at {kill.aim}" for kill in kills))),
        ("model calls repeated", str(sum(outcome.repeated for outcome in outcomes))),
        ("answers", _counts(decisions) or "none"),
        ("resume: take-over", _times(takeovers)),
        ("resume: to its end", _times(resumes)),
        ("time", f"{seconds:.0f} s"),
    ]
    print()
    for name, text in rows:
        print(f"{name:22} {text}")
    print("where kills found the runs that were alive")
    for place, count in places.most_common():
        print(f"  {count:5} {place}")


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counter.most_common())


def _times(seconds: Sequence[float]) -> str:
    return f"median {median(seconds):.2f} s, most {max(seconds):.2f} s ({len(seconds)})" if seconds else "none"
