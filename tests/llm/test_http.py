"""What is imported with the HTTP client."""

import subprocess
import sys


def test_the_client_comes_without_a_command_line() -> None:
    code = "import acp_agent.llm.client, sys; print(*sorted({'click', 'pygments', 'rich'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"


def test_httpx_itself_stays_as_it_is() -> None:
    code = "import acp_agent.llm.client, httpx._main, sys; print(httpx._main.main.name)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "main\n"
