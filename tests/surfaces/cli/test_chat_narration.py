"""What a person is told of a run: in a pipe, in plain lines, what a model said on stdout and all the rest on stderr."""

import json
import sys
from pathlib import Path

import pytest

from acp_agent.domain.errors import ModelFault
from acp_agent.domain.events import (
    ApprovalAsked,
    CancelAsked,
    EndReason,
    Event,
    Fact,
    ModelCalled,
    ModelFailed,
    ModelReplied,
    Parked,
    RunEnded,
    RunStarted,
    ToolFinished,
    ToolRefused,
    ToolStarted,
)
from acp_agent.domain.events_person import QuestionAsked
from acp_agent.domain.message import AssistantMessage, Reply, ToolCall, Word
from acp_agent.domain.request import RunRequest, Workplace
from acp_agent.domain.tool import Intent, PlanStep, Risk, ToolResult
from acp_agent.domain.work_plan import WorkPlan, WorkStep
from acp_agent.runs.people import PlanVerdict
from acp_agent.surfaces.cli.chat.consent import Cancelled, Consent
from acp_agent.surfaces.cli.chat.narration import Narration
from acp_agent.surfaces.cli.chat.screen import PlainScreen

DIFF = "--- a/app.py\n+++ b/app.py\n@@ -1 +1 @@\n-x = 1\n+x = 2\n"
CALLED = ModelCalled(call_id="m_1", model="openai/small")
Capture = pytest.CaptureFixture[str]


def call(tool: str, **arguments: object) -> ToolCall:
    return ToolCall(call_id="c_1", name=tool, arguments=json.dumps(arguments))


def replied(text: str, *calls: ToolCall, reasoning: str = "") -> ModelReplied:
    message = AssistantMessage(text=text, calls=calls, reasoning=reasoning)
    return ModelReplied(call_id="m_1", reply=Reply(message=message, stop="end_turn", model="openai/small"))


def started(tool: str, title: str) -> ToolStarted:
    return ToolStarted(call_id="c_1", tool=tool, risk=Risk.LOCAL, intent=Intent(title=title))


def finished(tool: str, **result: object) -> ToolFinished:
    return ToolFinished(call_id="c_1", tool=tool, result=ToolResult.model_validate({"output": "", **result}))


def told(narration: Narration, *items: Fact | Word) -> None:
    for number, item in enumerate(items, 1):
        if isinstance(item, Word):
            narration.word(item)
        else:
            narration.fact(Event(stream_id="r_1", seq=number, ts=0.0, data=item))


def test_an_answer_goes_to_stdout_and_thoughts_to_stderr(capsys: Capture) -> None:
    thought, first, second = Word(kind="reasoning", text="Well,\nthen"), "One line\nand", " the \x1b[31mlast"
    words = [thought, Word(kind="text", text=first), Word(kind="text", text=second)]
    told(Narration(PlainScreen()), CALLED, *words, replied(first + second, reasoning="Well,\nthen"))
    assert capsys.readouterr() == ("One line\nand the \\x1b[31mlast\n", "thought: Well, then\n")


def test_words_that_were_lost_are_told_from_the_record(capsys: Capture) -> None:
    told(Narration(PlainScreen()), CALLED, Word(kind="text", text="One"), replied("One two"))
    told(Narration(PlainScreen()), CALLED, Word(kind="text", text="One four"), replied("One two three four"))
    assert capsys.readouterr().out == "One two\nOne four\nOne two three four\n"


@pytest.mark.parametrize(
    ("facts", "line"),
    [
        ([started("edit_file", "Edit app.py"), finished("edit_file", status="ok", diff=DIFF)], "● Edit app.py  +1 -1"),
        (
            [started("shell", "pytest -q"), finished("shell", status="ok", exit_status=0, seconds=1.2)],
            "● $ pytest -q  exit 0, 1.2s",
        ),
        (
            [started("shell", "ls"), finished("shell", status="ok", exit_status=0, seconds=0.1, sandbox="none")],
            "● $ ls  exit 0, 0.1s, not confined",
        ),
        (
            [
                started("shell", "false"),
                finished("shell", status="error", exit_status=1, seconds=0.0, output="exit status 1\nno\x07\n"),
            ],
            "✗ $ false  exit 1, 0.0s\n  no\\x07",
        ),
        (
            [
                replied("", call("edit_file", path="no.py")),
                ToolRefused(
                    call_id="c_1",
                    tool="edit_file",
                    result=ToolResult(status="error", kind="not_found", output="no.py does not exist.\nmore"),
                ),
            ],
            "✗ edit_file no.py  not_found: no.py does not exist.",
        ),
        (
            [
                replied("", call("shell", command="rm -rf /")),
                ToolRefused(
                    call_id="c_1", tool="shell", result=ToolResult(status="refused", kind="denied", output="No.")
                ),
            ],
            "○ $ rm -rf /  denied",
        ),
        (
            [
                started("plan", "Plan: 1 of 2 done"),
                finished("plan", status="ok", plan=[PlanStep(text="look", status="completed"), PlanStep(text="do")]),
            ],
            "● Plan: 1 of 2 done\n  ✓ look\n  · do",
        ),
        ([started("read_file", "Read \x1b]0;x\x07\n.py")], ""),
        (
            [ModelFailed(call_id="m", model="openai/small", fault=ModelFault.CUT, message="the stream broke")] * 3,
            "openai/small failed (cut): the stream broke",
        ),
        ([CancelAsked(), ModelFailed(call_id="m", model="m", fault=ModelFault.TIMEOUT, message="cancelled")], ""),
        ([Parked(waiting="budget", detail="no money left today")], "◆ waits (budget): no money left today"),
        ([Parked(waiting="approval", detail="Edit app.py")], ""),
    ],
)
def test_what_was_done_is_one_line(facts: list[Fact], line: str, capsys: Capture) -> None:
    told(Narration(PlainScreen()), *facts)
    assert capsys.readouterr() == ("", line + "\n" if line else "")


@pytest.mark.parametrize(
    ("reason", "message", "line"),
    [
        ("end_turn", "", ""),
        ("cancelled", "", "○ cancelled; what was done until then stays\n"),
        (
            "max_steps",
            "",
            "▲ stopped: the limit of steps is used up; what was done stays, another message goes on\n",
        ),
        ("error", "no model answered", "✗ no model answered\n"),
        ("refusal", "", "✗ the model refused to go on\n"),
    ],
)
def test_an_end_the_model_did_not_choose_is_explained(
    reason: EndReason, message: str, line: str, capsys: Capture
) -> None:
    told(Narration(PlainScreen()), RunEnded(reason=reason, message=message))
    assert capsys.readouterr().err == line


def test_a_replay_tells_the_prompt_too(capsys: Capture) -> None:
    place = Workplace(kind="inplace", root="/code")
    begun = RunStarted(request=RunRequest(prompt="do\nit", workplace=place, models=("openai/small",)))
    told(Narration(PlainScreen(), replay=True), begun, CALLED, replied("Done."), RunEnded(reason="end_turn"))
    assert capsys.readouterr() == ("Done.\n", "> do\n  it\n")


def asked(tool: str, title: str, preview: str | None = None) -> ApprovalAsked:
    name = "" if title.endswith("[...]") else tool
    return ApprovalAsked(call_id="c_1", tool=tool, risk=Risk.LOCAL, title=title, preview=preview, name=name)


PLAN = WorkPlan(goal="Raise it", steps=(WorkStep(text="Change LIMIT"),))


class Person:
    """Types lines, and remembers what it was asked."""

    def __init__(self, *lines: str | None) -> None:
        self.lines = list(lines)
        self.prompts: list[str] = []

    def read(self, prompt: str) -> str | None:
        self.prompts.append(prompt)
        line = self.lines.pop(0)
        if line == "^C":
            raise KeyboardInterrupt
        return line


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        (["y"], "allow"),
        ([" YES "], "allow"),
        (["a"], "always"),
        (["n"], "deny"),
        (["c"], "cancel"),
        ([None], "cancel"),
        (["^C"], "cancel"),
        (["", "what?", "n"], "deny"),
    ],
)
def test_an_approval_has_four_answers(typed: list[str | None], answer: str, capsys: Capture) -> None:
    person = Person(*typed)
    screen = PlainScreen()
    consent = Consent(screen, Narration(screen), person.read)
    try:
        assert consent.decide(asked("edit_file", "Edit app.py", DIFF)) == answer
    except Cancelled:
        assert answer == "cancel"
    assert capsys.readouterr().err == "◆ Edit app.py  +1 -1\n  @@ -1 +1 @@\n  -x = 1\n  +x = 2\n"
    assert person.prompts[0] == "[y]es once, [a]lways edit_file, [n]o, [c]ancel turn: "
    assert person.prompts[1:] == ["y, a, n or c: "] * (len(typed) - 1)


def test_the_whole_of_a_long_command_is_shown_and_cannot_be_allowed_always(capsys: Capture) -> None:
    command = "echo start\n" + "x" * 600 + "; rm -rf build"
    person = Person("a", "y")
    screen = PlainScreen()
    narration = Narration(screen)
    told(narration, replied("", call("shell", command=command, cwd="sub")))
    title = command[:500] + " [...]"
    assert Consent(screen, narration, person.read).decide(asked("shell", title)) == "allow"
    head, *whole = capsys.readouterr().err.splitlines()
    assert head.endswith("[...]  in sub")
    assert whole == ["  echo start", "  " + "x" * 600 + "; rm -rf build"]
    assert person.prompts == ["[y]es once, [n]o, [c]ancel turn: ", "y, n or c: "]


def test_where_nobody_can_be_asked_the_answer_is_no(capsys: Capture) -> None:
    screen = PlainScreen()
    assert Consent(screen, Narration(screen), None).decide(asked("shell", "make")) == "deny"
    assert capsys.readouterr().err == (
        "◆ not allowed, since nobody can be asked without a terminal: $ make; --mode edit allows it\n"
    )


@pytest.mark.parametrize(("typed", "answer"), [("2", "2"), ("violet", "violet"), ("", ""), (None, None), ("^C", None)])
def test_a_question_shows_its_choices_and_its_default(typed: str | None, answer: str | None, capsys: Capture) -> None:
    question = QuestionAsked(call_id="c1", question="Which colour?", choices=("red", "blue"), default="blue")
    person, screen = Person(typed), PlainScreen()
    consent = Consent(screen, Narration(screen), person.read)
    if answer is None:
        with pytest.raises(Cancelled):
            consent.reply(question)
    else:
        assert consent.reply(question) == answer
    assert capsys.readouterr().err == "◆ Which colour?\n  1. red\n  2. blue\n"
    assert person.prompts == ["answer [blue]: "]


def test_where_nobody_is_there_a_question_takes_its_default_or_waits(capsys: Capture) -> None:
    screen = PlainScreen()
    consent = Consent(screen, Narration(screen), None)
    assert consent.reply(QuestionAsked(call_id="c1", question="Which colour?", default="blue")) == ""
    assert consent.reply(QuestionAsked(call_id="c1", question="Which colour?")) is None
    assert capsys.readouterr().err == "◆ waits for an answer, since nobody is here: Which colour?\n"


@pytest.mark.parametrize(
    ("typed", "verdict"),
    [
        ("y", PlanVerdict("ask", PLAN)),
        ("e", PlanVerdict("edit", PLAN)),
        ("n", PlanVerdict("reject")),
        ("smaller steps", PlanVerdict("reject", note="smaller steps")),
    ],
)
def test_a_plan_is_shown_whole_and_approved_or_talked_about(typed: str, verdict: PlanVerdict, capsys: Capture) -> None:
    person, screen = Person(typed), PlainScreen()
    assert Consent(screen, Narration(screen), person.read).judge(PLAN) == verdict
    assert capsys.readouterr().err == "◆ Plan: Raise it\n  # Raise it\n  \n  1. Change LIMIT\n"


def test_a_plan_is_changed_in_the_text_editor(capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "editor.py"
    script.write_text("import sys\nopen(sys.argv[1], 'w').write('# Mine\\n1. Only this\\n')\n")
    monkeypatch.setenv("EDITOR", f"{sys.executable} {script}")
    monkeypatch.delenv("VISUAL", raising=False)
    person, screen = Person("t", "y"), PlainScreen()
    said = Consent(screen, Narration(screen), person.read).judge(PLAN)
    assert said == PlanVerdict("ask", WorkPlan(goal="Mine", steps=(WorkStep(text="Only this"),)))
    assert "1. Only this" in capsys.readouterr().err
