"""The tool by which the model asks a person. The call is answered by them, so nothing here ever runs."""

from dataclasses import replace

from pydantic import Field

from acp_agent.domain.errors import ToolError
from acp_agent.domain.tool import Intent, Risk, ToolResult
from acp_agent.tools.registry import Arguments, Ready, Seen, other_names, prepared_tool
from acp_agent.tools.workspace import Workspace

LONGEST_DEADLINE = 7 * 24 * 3600.0


class AskUser(Arguments):
    OTHER_NAMES = other_names(question="prompt text message", choices="options", default="default_answer")

    question: str = Field(min_length=1, max_length=4000, description="The question, complete in itself.")
    choices: tuple[str, ...] = Field((), max_length=12, description="Answers to choose from; others stay possible.")
    default: str | None = Field(None, max_length=1000, description="The answer that holds when nobody answers.")
    deadline: float | None = Field(
        None, gt=0, le=LONGEST_DEADLINE, description="Seconds to wait for somebody who watches; then the default holds."
    )

    def title(self) -> str:
        return f"Ask: {self.question}"


@prepared_tool(Risk.READ, kind="other", timeout=None)
def _ask_user(arguments: AskUser, workspace: Workspace, seen: Seen) -> Ready:
    """Ask a person, where guessing wrong would do harm or cost much and the project does not tell.

    The run waits for the answer. Give a default wherever one makes sense: where nobody watches it is taken at once.
    """

    async def run(key: str) -> ToolResult:
        raise ToolError("A question is answered by a person.", kind="internal")

    return Ready(Intent(title=arguments.title()), run)


ask_user = replace(_ask_user, name="ask_user", instant=True, asks="question")
