"""Our part of an iteration: what changed is captured, looked at, checked in the judge's tree, and kept or put aside."""

import time
from typing import TYPE_CHECKING, assert_never

from acp_agent.domain.errors import ToolError
from acp_agent.domain.events import GateStarted
from acp_agent.domain.events_loop import (
    DoneChecked,
    IterationAccepted,
    IterationCaptured,
    IterationRejected,
    IterationSalvaged,
    MetricMeasured,
)
from acp_agent.domain.loop_spec import DoneWhen, Metric
from acp_agent.domain.request import Gate
from acp_agent.fleet.git import GitFailed
from acp_agent.loops import steps
from acp_agent.loops.handover import cut, goal_text, subject
from acp_agent.loops.place import Change
from acp_agent.loops.ratchet import is_met, last_number, last_words, measured
from acp_agent.loops.screen import masked, screen, secrets_in

if TYPE_CHECKING:
    from acp_agent.loops.driver import LoopDriver

BODY = 2_000

Judgement = steps.Measure | steps.CheckDone | steps.Capture | steps.Verify | steps.Accept | steps.Reject | steps.Salvage


class Judging:
    """Runs what decides, and does what was decided."""

    def __init__(self, driver: "LoopDriver") -> None:
        self._driver = driver

    async def do(self, step: Judgement) -> None:
        """One step."""
        match step:
            case steps.Capture():
                await self._driver.record(await self._captured())
            case steps.Verify(gate):
                await self._verify(gate)
            case steps.Measure(metric, iteration):
                await self._driver.record(await self._measured(metric, iteration))
            case steps.CheckDone():
                await self._check_done()
            case steps.Accept():
                await self._accept()
            case steps.Reject():
                await self._reject(step)
            case steps.Salvage():
                await self._salvage(step)
            case _:
                assert_never(step)

    async def _captured(self) -> IterationCaptured:
        driver = self._driver
        state, place = driver.state, driver.place
        message = f"Iteration {state.iteration} of loop {state.name}, not checked\n"
        change = await place.changes(state.base, message)
        if change is None:
            return IterationCaptured(iteration=state.iteration, commit=None)
        about = {
            "iteration": state.iteration,
            "tree": change.tree,
            "files": change.files,
            "added": change.added,
            "removed": change.removed,
        }
        commit, secret = await self._without_secrets(change)
        if secret:
            named = f"adds what looks like a secret to {', '.join(secret[:8])}"
            return IterationCaptured.model_validate(
                {**about, "commit": commit, "why": "secret", "violations": (named,)}
            )
        found = screen(driver.spec, change.paths, place.work.subdir)
        why, violations = found or (None, ())
        return IterationCaptured.model_validate({**about, "commit": commit, "why": why, "violations": violations})

    async def _without_secrets(self, change: Change) -> tuple[str, list[str]]:
        """The change, with the secrets that it adds masked, and the files they stand in."""
        driver = self._driver
        root, base, redact = driver.place.work.root, driver.state.base, driver.parts.redact
        secret = await secrets_in(root, base, change.commit, redact)
        if not secret:
            return change.commit, []
        commit = await masked(root, base, change.commit, secret, redact)
        await driver.place.keep("candidate", "now", commit)
        return commit, secret

    async def _verify(self, gate: Gate) -> None:
        driver = self._driver
        captured = driver.state.captured
        if captured is None or captured.commit is None:
            raise ValueError("a gate without a change")
        await driver.record(GateStarted(gate=gate.name, command=gate.run))
        await driver.place.show(captured.commit)
        await driver.record(await driver.parts.places.check(driver.place.judge, gate))

    async def _measured(self, metric: Metric, iteration: int) -> MetricMeasured:
        driver = self._driver
        captured = driver.state.captured
        if iteration == 0:
            await driver.place.prepare(driver.parts.places, driver.state.setup)
            await driver.place.show(driver.state.base)
        else:
            await driver.place.show(captured.commit if captured and captured.commit else driver.state.base)
        values: list[float] = []
        for _ in range(metric.repeat):
            value, output = await self._number(metric)
            if value is None:
                return MetricMeasured(iteration=iteration, metric=metric.name, value=None, output=last_words(output))
            values.append(value)
        found = measured(tuple(values))
        return MetricMeasured(
            iteration=iteration, metric=metric.name, value=found.value, noise=found.noise, values=tuple(values)
        )

    async def _number(self, metric: Metric) -> tuple[float | None, str]:
        """What the metric's command prints last; None where it failed or printed no number."""
        status, output = await self._run(metric.run, metric.timeout)
        return (last_number(output) if status == 0 else None), output

    async def _run(self, command: str, seconds: float) -> tuple[int | None, str]:
        driver = self._driver
        try:
            ended = await driver.parts.commands(command, str(driver.place.judge_path()), seconds)
        except ToolError as error:
            return None, error.message
        return ended.exit_status, ended.output

    async def _check_done(self) -> None:
        driver = self._driver
        done = driver.spec.done_when
        if done is None:
            raise ValueError("no goal to check")
        if done.confirm > 1 or done.metric is None or not driver.state.current.get(done.metric):
            # A value that is known and need not be confirmed takes no command.
            await driver.place.prepare(driver.parts.places, driver.state.setup)
            await driver.place.show(driver.state.base)
        met, detail = await self._is_done(done)
        await driver.record(DoneChecked(commit=driver.state.base, met=met, detail=detail))

    async def _is_done(self, done: DoneWhen) -> tuple[bool, str]:
        """Whether the goal holds as many times in a row as it must, and what was seen."""
        driver = self._driver
        seen: list[str] = []
        for attempt in range(done.confirm):
            if done.metric is not None:
                metric = next(metric for metric in driver.spec.metrics if metric.name == done.metric)
                known = driver.state.current.get(metric.name)
                value = known.value if attempt == 0 and known else (await self._number(metric))[0]
                seen.append("unknown" if value is None else f"{value:g}")
                if not is_met(done, value):
                    return False, f"{metric.name} is {', '.join(seen)}; wanted: {goal_text(done)}"
            else:
                status, output = await self._run(done.run or "false", done.timeout)
                if status != 0:
                    return False, cut(f"{goal_text(done)}: exit status {status}: {last_words(output)}", 600)
        times = f" ({done.confirm} times)" if done.confirm > 1 else ""
        return True, f"{goal_text(done)}{times}" + (f": {', '.join(seen)}" if seen else "")

    async def _accept(self) -> None:
        driver = self._driver
        state, place, captured = driver.state, driver.place, driver.state.captured
        if captured is None or captured.tree is None or captured.commit is None:
            raise ValueError("nothing to accept")
        line = subject(state)
        try:
            commit = await place.commit(state.base, captured.tree, self._message(line))
        except GitFailed:
            found = await place.accepted(state.base, state.iteration)
            if found is None:
                raise
            commit = found
        metrics = {name: value.value for name, value in state.measured.items() if value is not None}
        await driver.record(IterationAccepted(iteration=state.iteration, commit=commit, subject=line, metrics=metrics))

    def _message(self, line: str) -> str:
        state = self._driver.state
        ran = state.ran
        text = ran.text.strip() if ran else ""
        body = f"\n{cut(text, BODY)}\n" if text and text != line else ""
        cost = "unknown" if ran is None or not ran.cost_known else f"{ran.cost:.6f}"
        trailers = {
            "Acp-Loop": self._driver.claim.stream_id,
            "Acp-Run": state.run_id or "",
            "Acp-Iteration": str(state.iteration),
            "Acp-Cost": cost,
        }
        return f"{line}\n{body}\n" + "".join(f"{name}: {value}\n" for name, value in trailers.items())

    async def _reject(self, step: steps.Reject) -> None:
        driver = self._driver
        state = driver.state
        ref = None
        if state.captured is not None and state.captured.commit is not None:
            ref = await driver.place.keep("rejected", str(state.iteration), state.captured.commit)
        await driver.record(
            IterationRejected(
                iteration=state.iteration,
                why=step.why,
                detail=cut(step.detail, BODY),
                ref=ref,
                fingerprint=step.fingerprint,
            )
        )

    async def _salvage(self, step: steps.Salvage) -> None:
        driver = self._driver
        state, place = driver.state, driver.place
        message = f"Iteration {state.iteration} of loop {state.name}, attempt {state.attempt}: {step.why}\n"
        change = await place.changes(state.base, message)
        ref = None
        if change is not None:
            commit, _ = await self._without_secrets(change)
            number = str(state.iteration) if state.attempt == 1 else f"{state.iteration}.{state.attempt}"
            ref = await place.keep("salvage", number, commit)
        until = None if step.pause is None else time.time() + step.pause
        await driver.record(
            IterationSalvaged(
                iteration=state.iteration, attempt=state.attempt, why=cut(step.why, 300), ref=ref, until=until
            )
        )
