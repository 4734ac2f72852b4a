"""Asking a model: money set aside, the intent on record, the reply or the fault, the settlement."""

import time
from typing import TYPE_CHECKING

import anyio

from acp_agent.agent.actions import Forget, Think
from acp_agent.agent.context import assemble
from acp_agent.domain.budget import CALL, Settlement
from acp_agent.domain.errors import ModelError, ModelFault, OverBudget
from acp_agent.domain.events import LimitReached, ModelCalled, ModelFailed, ModelReplied, Parked
from acp_agent.domain.message import Reply
from acp_agent.domain.ports import ModelRequest
from acp_agent.runs.booking import is_believable, is_shared, reservations, scopes_of, settlements
from acp_agent.runs.hearing import Hearing
from acp_agent.runs.idling import ended_when_idle, stalled
from acp_agent.runs.ids import new_id

if TYPE_CHECKING:
    from acp_agent.runs.driver import Driver

FINAL_TIMEOUT = 60.0
LOOK_AGAIN = 0.1
LONGEST_WAIT = 120.0
"""Seconds to wait for money that other calls have set aside; then the budget counts as used up."""


class Thinking:
    """The model side of one driver. Remembers how many tokens the conversation had, for a tighter quote."""

    def __init__(self, driver: "Driver") -> None:
        self._driver = driver
        self._known = (0, 0)

    async def do(self, action: Think | Forget) -> None:
        """One call of a model, or the booking of one that a crash cut off."""
        if isinstance(action, Forget):
            await self._fail(
                ModelError("The process died before the reply was on record.", fault=ModelFault.LOST), True
            )
            return
        if action.delay and not await self._pause(action.delay):
            return
        request = self._request(action)
        if await self._call(request, action):
            await self._hear(request, action)

    def _request(self, action: Think) -> ModelRequest:
        driver = self._driver
        run = driver.request
        tokens, messages = self._known
        tools = () if action.final or driver.tools is None else driver.tools.offered(driver.state.loaded)
        notes = () if action.final or driver.tools is None else driver.tools.notes()
        return ModelRequest(
            model=action.model,
            messages=assemble(driver.state, final=action.final, history=driver.past.messages, notes=notes),
            tools=tools,
            answer_schema=run.answer_schema,
            max_output=run.limits.max_output,
            effort=run.effort,
            known_tokens=tokens,
            known_messages=messages,
            project=run.project,
            urgency="person" if run.attended else "loop" if run.loop_id else "batch",
        )

    async def _pause(self, delay: float) -> bool:
        """Wait before the next try; False when the run was cancelled meanwhile."""
        left = self._driver.budget_left()
        with anyio.CancelScope() as scope:
            self._driver.begin(scope)
            await anyio.sleep(delay if left is None else min(delay, left))
        self._driver.effect = None
        return not scope.cancelled_caught

    async def _call(self, request: ModelRequest, action: Think) -> bool:
        """Put the intent on record with its money; False when no budget has room for it."""
        driver = self._driver
        worst = driver.parts.model.quote(request).worst
        scopes = scopes_of(driver.request, request.model)
        called = ModelCalled(
            call_id=new_id("m"),
            model=request.model,
            final=action.final,
            reserved=worst,
            messages=len(request.messages),
            scopes=scopes,
        )
        amount = worst or 0.0
        reserve = list(reservations(driver.request, scopes, amount, 0.0 if action.final else amount))
        patience = LONGEST_WAIT
        while True:
            try:
                await driver.record(called, reserve=reserve)
                return True
            except OverBudget as refused:
                if refused.outstanding <= 0 or refused.scope.startswith("run:") or patience <= 0:
                    await self._out_of_money(refused, action)
                    return False
            # Other runs have set money aside and most of it comes back when their calls are settled.
            patience -= LOOK_AGAIN
            if not await self._pause(LOOK_AGAIN) or driver.budget_left() == 0.0:
                return False

    async def _out_of_money(self, refused: OverBudget, action: Think) -> None:
        state = self._driver.state
        waits = refused.scope == CALL or is_shared(refused.scope)
        if waits and not action.final and not self._driver.request.attended:
            await self._driver.record(Parked(waiting="budget", detail=_used_up(refused.scope)))
            return
        affordable = not action.final and refused.scope.startswith("run:")
        detail = f"The budget {refused.scope} has no room for another call."
        await self._driver.record(
            LimitReached(limit=state.limit or "max_cost", detail=state.limit_detail or detail, last_call=affordable)
        )

    async def _hear(self, request: ModelRequest, action: Think) -> None:
        driver = self._driver
        hearing = Hearing(driver.parts.redact, lambda word: driver.parts.bus.publish(driver.claim.stream_id, word))
        began = time.monotonic()
        left = FINAL_TIMEOUT if action.final else driver.budget_left()
        try:
            with anyio.move_on_after(left) as scope, ended_when_idle(driver.request.limits.idle) as quiet:
                driver.begin(scope)
                reply = await driver.parts.model.reply(request, hearing.word)
                driver.effect = None
                hearing.end()
                await self._replied(request, reply, time.monotonic() - began)
                return
            why = "cancelled" if driver.state.cancel_asked else "The time of the run was up."
            if driver.halted:
                await self._fail(ModelError("Everything was stopped.", fault=ModelFault.LOST), True)
                return
            hearing.end()
            if quiet.cancelled_caught:
                await self._stalled(request.model)
                return
            partial = hearing.said if driver.state.cancel_asked else ""
            await self._fail(ModelError(why, fault=ModelFault.TIMEOUT), True, partial)
        except ModelError as error:
            hearing.end()
            await self._fail(error, hearing.any)
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                await self._fail(ModelError("Interrupted by its own process.", fault=ModelFault.LOST), True)
            raise
        finally:
            driver.effect = None

    async def _stalled(self, model: str) -> None:
        fact = stalled(model, self._driver.request.limits.idle)
        await self._fail(ModelError(fact.detail, fault=ModelFault.TIMEOUT), True)
        await self._driver.record(fact)

    async def _replied(self, request: ModelRequest, reply: Reply, seconds: float) -> None:
        driver = self._driver
        called = driver.state.model_call
        if called is None:
            raise ValueError("a reply without a call")
        cost = driver.parts.model.cost(reply.model, reply.usage) if reply.usage else called.reserved
        believed = is_believable(request, reply)
        if self._capped and called.reserved is not None and (not believed or (cost or 0.0) > called.reserved):
            # More than the most it can be, or far too little for what was said: a cap holds whatever is claimed.
            cost = called.reserved
        if reply.usage and believed:
            self._known = (reply.usage.input_tokens + reply.usage.output_tokens, len(request.messages) + 1)
        replied = ModelReplied(call_id=called.call_id, reply=reply, cost=cost, seconds=round(seconds, 3))
        await driver.record(replied, settle=self._settle(called, cost))

    async def _fail(self, error: ModelError, spent: bool, partial: str = "") -> None:
        """Book the call as failed; under a money cap, one that may have been answered stays booked at its reservation.

        Without a cap nobody bounded its reply, so its cost is unknown rather than the price of the longest one.
        """
        driver = self._driver
        called = driver.state.model_call
        if called is None:
            raise error
        free = not spent or called.reserved == 0.0
        cost = 0.0 if free else called.reserved if self._capped else None
        failed = ModelFailed(
            call_id=called.call_id,
            model=called.model,
            fault=error.fault,
            message=error.message,
            retry_after=error.retry_after,
            cost=cost,
            partial=partial,
        )
        await driver.record(failed, settle=self._settle(called, cost))

    async def give_up(self, error: Exception) -> None:
        """A bug of ours ended the call in flight: book it before the run ends."""
        if self._driver.state.model_call is not None:
            await self._fail(ModelError(f"{type(error).__name__}: {error}", fault=ModelFault.LOST), True)

    @property
    def _capped(self) -> bool:
        limits = self._driver.request.limits
        return limits.max_output is not None or limits.max_cost is not None

    def _settle(self, called: ModelCalled, cost: float | None) -> list[Settlement]:
        return settlements(called.scopes or self._driver.request.scopes, called.reserved, cost)


def _used_up(scope: str) -> str:
    """What a person reads about a budget that others share, and may yet have room."""
    name = scope.partition(":")[0] if scope.startswith(("day:", "month:")) else scope
    later = " or wait for the next one," if name != scope else ""
    return f"the budget {scope} has no room for another call: acp budget set {name} AMOUNT,{later} then acp resume"
