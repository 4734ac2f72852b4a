"""What a case is: a baseline and what is held against it, in one unit, taken in turn in the same run."""

import os
from collections.abc import Callable
from dataclasses import dataclass

from benchlib.figures import Absent, Figure, Limit, Row, Unit
from benchlib.opencode import NotRun
from benchlib.world import World

Sample = Callable[[World], float]


@dataclass(frozen=True)
class Side:
    """One thing measured; `sample` takes one sample of it in the unit of its case, or raises NotRun."""

    name: str
    sample: Sample
    limit: Limit | None = None


@dataclass(frozen=True)
class Case:
    """`baseline` and `sides`, in one unit."""

    name: str
    about: str
    unit: Unit
    baseline: Side
    sides: tuple[Side, ...]

    def measure(self, world: World, repeat: int) -> list[Row]:
        """Take `repeat` samples of each side in turn, after a first round that only warms files and byte code."""
        everything = (self.baseline, *self.sides)
        taken: dict[str, list[float]] = {side.name: [] for side in everything}
        absent: dict[str, str] = {}
        for number in range(repeat + 1):
            # Who comes first changes, so that nobody always runs on a machine the other has just warmed.
            for side in everything if number % 2 else reversed(everything):
                if side.name in absent:
                    continue
                try:
                    sample = side.sample(world)
                except NotRun as reason:
                    absent[side.name] = str(reason)
                    continue
                if number:
                    taken[side.name].append(sample)
        samples = {name: tuple(those) for name, those in taken.items() if name not in absent}
        load = os.getloadavg()[0]
        return [
            Absent(self.name, side.name, absent[side.name])
            if side.name in absent
            else self._figure(side, samples, load)
            for side in everything
        ]

    def _figure(self, side: Side, samples: dict[str, tuple[float, ...]], load: float) -> Figure:
        own, baseline = samples[side.name], samples.get(self.baseline.name)
        if side is self.baseline:
            return Figure(self.name, side.name, self.unit, own, load=load)
        rival = samples.get(side.limit.beside) if side.limit and side.limit.beside else baseline
        return Figure(self.name, side.name, self.unit, own, baseline, side.limit, load, rival)
