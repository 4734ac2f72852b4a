"""Approvals in the terminal: what is about to happen, in full, and the four answers to it."""

import shutil
from collections.abc import Callable
from typing import Literal

from acp_agent.domain.errors import UsageError
from acp_agent.domain.events import ApprovalAsked
from acp_agent.domain.events_person import QuestionAsked
from acp_agent.domain.tool import Risk
from acp_agent.domain.work_plan import WorkPlan, plan_text
from acp_agent.runs.people import PlanVerdict, Verdict, label_of
from acp_agent.surfaces.cli.chat import diffs
from acp_agent.surfaces.cli.chat.diffs import Line
from acp_agent.surfaces.cli.chat.narration import Narration, titled
from acp_agent.surfaces.cli.chat.screen import Act, Screen
from acp_agent.surfaces.cli.plan_text import edited_plan
from acp_agent.surfaces.cli.text import cells, cut, one_line

Read = Callable[[str], str | None]
"""Asks with a prompt and gives the line back, None at the end of the input. Raises KeyboardInterrupt for Ctrl-C."""

ANSWERS: dict[str, Verdict | Literal["cancel"]] = {
    "y": "allow",
    "yes": "allow",
    "a": "always",
    "always": "always",
    "n": "deny",
    "no": "deny",
    "c": "cancel",
    "cancel": "cancel",
}
CUT = " [...]"
"""The end of a title that the record holds only the beginning of."""
PLAN_PROMPT = "[y]es, yes and [e]dit freely, change the [t]ext, [n]o, or say what to change: "
LONGEST_NAME = 40
ROOM = 8
"""Columns that mark and prompt take of a line."""


class Cancelled(Exception):
    """The person cancels the turn instead of answering."""


class Consent:
    """Asks a person one thing at a time; without a `read` nobody can be asked, and no call is allowed."""

    def __init__(self, screen: Screen, narration: Narration, read: Read | None) -> None:
        self._screen = screen
        self._narration = narration
        self._read = read

    def reply(self, asked: QuestionAsked) -> str | None:
        """What they answer to a question of the agent; None where nobody is there and there is no default.

        Raises Cancelled.
        """
        if self._read is None and asked.default is None:
            self._screen.note(f"waits for an answer, since nobody is here: {asked.question}", "waiting")
            return None
        if self._read is None:
            return ""
        self._screen.question(Act("waiting", one_line(asked.question), ""), _told(asked))
        self._screen.pause()
        default = "" if asked.default is None else f" [{cut(one_line(asked.default), LONGEST_NAME)}]"
        return self._line(f"answer{default}: ")

    def judge(self, plan: WorkPlan) -> PlanVerdict | None:
        """What they say of a plan, which they may change in their text editor; None where nobody is there.

        Raises Cancelled.
        """
        if self._read is None:
            self._screen.note(f"a plan waits for you, since nobody is here: {plan.goal}", "waiting")
            return None
        mine = plan
        while True:
            lines = [Line("same", line) for line in plan_text(mine).rstrip().split("\n")]
            self._screen.question(Act("waiting", f"Plan: {one_line(mine.goal)}", ""), lines)
            self._screen.pause()
            line = self._line(PLAN_PROMPT)
            match line.strip().lower():
                case "y" | "yes":
                    return PlanVerdict("ask", mine)
                case "e" | "edit":
                    return PlanVerdict("edit", mine)
                case "t" | "text":
                    mine = self._edited(mine)
                case "c" | "cancel":
                    raise Cancelled
                case "":
                    continue
                case "n" | "no":
                    return PlanVerdict("reject")
                case _:
                    return PlanVerdict("reject", note=line.strip())

    def _edited(self, plan: WorkPlan) -> WorkPlan:
        try:
            return edited_plan(plan)
        except UsageError as error:
            self._screen.note(error.what, "failed")
            return plan

    def _line(self, prompt: str) -> str:
        """What is typed. Raises Cancelled at the end of the input and for Ctrl-C."""
        assert self._read is not None
        try:
            line = self._read(prompt)
        except KeyboardInterrupt:
            line = None
        if line is None:
            raise Cancelled
        return line

    def decide(self, asked: ApprovalAsked) -> Verdict:
        """The answer. Raises Cancelled, also at the end of the input and for Ctrl-C."""
        if self._read is None:
            self._screen.note(_nobody(asked), "waiting")
            return "deny"
        self._show(asked)
        self._screen.pause()
        offered = bool(asked.name)
        prompt, short = _choices(asked, offered) + ": ", "y, a, n or c: " if offered else "y, n or c: "
        if cells(prompt) >= shutil.get_terminal_size().columns:
            self._screen.note(prompt)
            self._screen.pause()
            prompt = short
        while True:
            answer = ANSWERS.get(self._line(prompt).strip().lower())
            if answer == "cancel":
                raise Cancelled
            if answer is not None and (offered or answer != "always"):
                return answer
            prompt = short

    def _show(self, asked: ApprovalAsked) -> None:
        arguments = self._narration.arguments(asked.call_id)
        folder = arguments.get("cwd")
        detail = f"in {folder}" if asked.tool == "shell" and isinstance(folder, str) and folder != "." else ""
        if asked.preview:
            detail = diffs.counts(asked.preview)
        act = Act("waiting", titled(asked.tool, asked.title), detail)
        self._screen.question(act, self._below(asked, arguments.get("command")))

    def _below(self, asked: ApprovalAsked, command: object) -> list[Line]:
        """Why it is asked beyond the mode, then the diff, what a dry run said, or the whole of a long command."""
        return [*(Line("same", f"! {one_line(reason)}") for reason in asked.reasons), *self._shown(asked, command)]

    def _shown(self, asked: ApprovalAsked, command: object) -> list[Line]:
        if asked.preview:
            return diffs.shown(asked.preview)
        if asked.dry_run:
            return [Line("same", line) for line in ("dry run:", *asked.dry_run.rstrip().split("\n"))]
        whole = command if asked.tool == "shell" and isinstance(command, str) else asked.title
        if one_line(whole) == whole and cells(whole) <= shutil.get_terminal_size().columns - ROOM:
            return []
        return [Line("same", line) for line in whole.rstrip().split("\n")]


def _told(asked: QuestionAsked) -> list[Line]:
    """The whole of a question that is longer than its line, then its choices."""
    whole = asked.question.rstrip().split("\n")
    lines = whole if len(whole) > 1 or cells(whole[0]) > shutil.get_terminal_size().columns - ROOM else []
    return [
        Line("same", line) for line in (*lines, *(f"{at}. {one_line(one)}" for at, one in enumerate(asked.choices, 1)))
    ]


def _choices(asked: ApprovalAsked, always: bool) -> str:
    name = cut(one_line(label_of(asked).removeprefix("shell: ")), LONGEST_NAME)
    return f"[y]es once, {f'[a]lways {name}, ' if always else ''}[n]o, [c]ancel turn"


def _nobody(asked: ApprovalAsked) -> str:
    """Why a call is denied where nobody can be asked, and what allows it."""
    way = {Risk.LOCAL: "; --mode edit allows it", Risk.DRAFT: "; --mode auto allows it"}.get(asked.risk, "")
    return f"not allowed, since nobody can be asked without a terminal: {titled(asked.tool, asked.title)}{way}"
