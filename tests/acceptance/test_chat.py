"""`acp chat` as a person meets it: a real process on a real terminal, and a model server that follows a script."""

import contextlib
import fcntl
import json
import os
import pty
import re
import signal
import sqlite3
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from acp_agent.config.paths import database_path
from acp_agent.testing import warm
from acp_agent.testing.model_server import ModelServer
from acp_agent.testing.script import Rule, Step

ROOT = Path(__file__).parents[2]
BEFORE = "def main() -> int:\n    return 0\n"
AFTER = 'def main() -> int:\n    """Begin."""\n    return 0\n'
QUESTION = "[n]o, [c]ancel turn: "
PROMPT = "ask> "
# A process group leader has to take its terminal itself, before it becomes the program under test.
ON_ITS_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)

READ = Step(tools=[("read_file", {"path": "main.py"})], text="I look **first**.")
EDIT = Step(tools=[("edit_file", {"path": "main.py", "edits": [{"old": "int:\n", "new": 'int:\n    """Begin."""\n'}]})])
SCRIPT = [
    Rule(contains="docstring", turns=[READ, EDIT, Step(text="# Done\n\nIt is there.")], since="prompt"),
    Rule(
        contains="two files",
        turns=[
            Step(tools=[("write_file", {"path": "one.txt", "content": "1\n"})]),
            Step(tools=[("write_file", {"path": "two.txt", "content": "2\n"})]),
            Step(text="Both are written."),
        ],
        since="prompt",
    ),
    Rule(contains="count", reply=Step(text="one two three four", chunk=4, stall_at=3)),
    Rule(contains="hello", reply=Step(text="Hello *you*.")),
    Rule(contains="no end", reply=Step(tools=[("list_files", {"path": "."})])),
    Rule(contains="broken", reply=Step(status=400, error={"message": "no such thing", "type": "invalid"})),
]


class Terminal:
    """A process on a pseudo-terminal; `text` is what it wrote, without the sequences that paint."""

    def __init__(self, words: list[str], environment: dict[str, str], cwd: Path) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
        command = [sys.executable, "-c", ON_ITS_TERMINAL, sys.executable, "-m", "acp_agent.main", *words]
        self.process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=cwd, env=environment, start_new_session=True
        )
        os.close(theirs)
        self._raw = b""
        self._read_to = 0
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def text(self) -> str:
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|[\r\x01\x02]", "", self._raw.decode(errors="replace"))

    def wait_for(self, expected: str, timeout: float = 60.0) -> str:
        """Wait until `expected` stands behind what was waited for before; returns what stands between them."""

        def found() -> bool:
            return self.text.find(expected, self._read_to) >= 0

        with self._changed:
            came = self._changed.wait_for(found, timeout)
        if not came:
            unread = self.text[self._read_to :]
            raise AssertionError(f"{expected!r} did not come; after what was read:\n{unread}\n{self._where_it_is()}")
        with self._changed:
            text, start = self.text, self._read_to
            position = text.find(expected, start)
            self._read_to = position + len(expected)
            return text[start:position]

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def say(self, line: str) -> str:
        """Wait for the prompt, then type a line."""
        before = self.wait_for("> ")
        self.type(line + "\r")
        return before

    def answer(self, key: str) -> str:
        """Wait for an approval, then answer it."""
        before = self.wait_for(QUESTION)
        self.type(key + "\r")
        return before

    def give_up(self, text: str) -> None:
        """Type `text` and then Ctrl-C instead of Enter; the echo says that the line is being edited."""
        self.type(text)
        self.wait_for(text)
        # Between the echo and its wait for the next key, Python's readline does not notice a signal until that key.
        while not self._waits():
            time.sleep(0.001)
        self.type("\x03")

    def _waits(self) -> bool:
        main_thread = Path(f"/proc/{self.process.pid}/stat").read_text("utf-8")
        return main_thread.rpartition(")")[2].split()[0] == "S"

    def _where_it_is(self) -> str:
        """The process is ended and tells the stack of each of its threads, besides what the kernel says of them."""
        known = len(self.text)
        threads = sorted(Path(f"/proc/{self.process.pid}/task").glob("*/status"))
        said = "\n".join(thread.read_text("utf-8") for thread in threads)
        self.process.send_signal(signal.SIGABRT)
        self.end()
        return f"{self.text[known:]}\n{said}"

    def end(self, timeout: float = 60.0) -> int:
        code = self.process.wait(timeout)
        self._reader.join(60.0)
        return code

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.end()
        os.close(self._ours)

    def _read(self) -> None:
        # At the end of the process Linux says EIO instead of an empty read.
        with contextlib.suppress(OSError):
            while data := os.read(self._ours, 65536):
                with self._changed:
                    self._raw += data
                    self._changed.notify_all()


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer(SCRIPT, strict=False) as running:
        yield running


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "main.py").write_text(BEFORE)
    return folder


def surroundings(server: ModelServer) -> dict[str, str]:
    model = {"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "sk-of-the-script"}
    told = {"PYTHONFAULTHANDLER": "1", "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}
    return {**os.environ, **model, **told, "PYTHONPATH": str(ROOT)}


@contextlib.contextmanager
def chat(server: ModelServer, project: Path, *words: str) -> Iterator[Terminal]:
    terminal = Terminal(["chat", *words], surroundings(server), project)
    try:
        yield terminal
    finally:
        terminal.close()


def scripted(server: ModelServer, project: Path, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return warm.run("chat", *words, cwd=project, environment=surroundings(server), stdin=stdin)


def session_in(text: str) -> str:
    found = re.findall(r"session (s_\w+); go on with: acp chat --resume", text)
    assert found, text
    return str(found[-1])


def heard(server: ModelServer) -> str:
    """What the model was sent last."""
    return json.dumps(server.requests[-1].body["messages"])


def test_an_approved_edit_changes_the_file(server: ModelServer, project: Path) -> None:
    with chat(server, project) as terminal:
        terminal.wait_for("acp chat: openai/test-model (OPENAI_BASE_URL), mode ask, ")
        terminal.say("add a docstring")
        shown = terminal.answer("y")
        assert "I look first." in shown
        assert "● Read main.py" in shown
        assert "◆ Edit main.py  +1 -0" in shown
        assert '+    """Begin."""' in shown
        assert (project / "main.py").read_text() == BEFORE
        terminal.wait_for("● Edit main.py  +1 -0")
        terminal.wait_for("It is there.")
        terminal.wait_for(PROMPT)
        assert (project / "main.py").read_text() == AFTER
        terminal.type("\x04")
        assert terminal.end() == 0
        assert session_in(terminal.text)


def test_a_denied_edit_changes_nothing_and_the_model_is_told(server: ModelServer, project: Path) -> None:
    with chat(server, project) as terminal:
        terminal.say("add a docstring")
        terminal.answer("n")
        terminal.wait_for("○ Edit main.py  denied")
        terminal.say("/quit")
        assert terminal.end() == 0
    assert (project / "main.py").read_text() == BEFORE
    assert "A person denied this call." in heard(server)


def test_always_holds_for_the_session_also_when_it_is_resumed(server: ModelServer, project: Path) -> None:
    with chat(server, project) as terminal:
        terminal.say("write two files")
        assert "[a]lways write_file" in terminal.answer("a")
        terminal.wait_for("● Write two.txt  +1 -0")
        terminal.wait_for("Both are written.")
        terminal.say("/quit")
        assert terminal.end() == 0
        assert terminal.text.count(QUESTION) == 1
    (project / "one.txt").unlink()
    with chat(server, project, "--resume") as terminal:
        terminal.wait_for("> write two files")
        terminal.wait_for("Both are written.")
        terminal.say("write two files again")
        terminal.wait_for("Both are written.")
        assert (project / "one.txt").read_text() == "1\n"


def test_ctrl_c_cancels_the_turn_and_the_session_goes_on(server: ModelServer, project: Path) -> None:
    with chat(server, project) as terminal:
        terminal.say("count slowly")
        terminal.wait_for("two ")
        terminal.type("\x03")
        terminal.wait_for("cancelling; Ctrl-C once more leaves")
        terminal.wait_for("○ cancelled; what was done until then stays")
        server.wait_for_hang_ups(1)
        terminal.say("hello")
        terminal.wait_for("Hello you.")
        terminal.wait_for(PROMPT)
        terminal.give_up("half a line")
        terminal.wait_for("Ctrl-C once more, or Ctrl-D, leaves")
        terminal.wait_for(PROMPT)
        terminal.give_up("another")
        assert terminal.end() == 0
    assert "half a line" not in heard(server)


def test_cancelling_at_an_approval_ends_the_turn(server: ModelServer, project: Path) -> None:
    with chat(server, project) as terminal:
        terminal.say("write two files")
        terminal.answer("c")
        terminal.wait_for("○ cancelled; what was done until then stays")
        terminal.say("write two files")
        terminal.wait_for(QUESTION)
        terminal.give_up("ye")
        terminal.wait_for("○ cancelled; what was done until then stays")
        terminal.say("/quit")
        assert terminal.end() == 0
    assert not (project / "one.txt").exists()


def test_a_second_ctrl_c_in_a_turn_leaves_with_130(server: ModelServer, project: Path) -> None:
    with chat(server, project) as terminal:
        terminal.say("count slowly")
        terminal.wait_for("two ")
        # Nothing can be put on record meanwhile, so the cancellation cannot be over before the second press.
        with contextlib.closing(sqlite3.connect(database_path(os.environ), isolation_level=None)) as lock:
            lock.execute("BEGIN IMMEDIATE")
            terminal.type("\x03")
            terminal.wait_for("cancelling; Ctrl-C once more leaves")
            terminal.type("\x03")
            lock.execute("ROLLBACK")
        assert terminal.end() == 130
        session = session_in(terminal.text)
    with chat(server, project, "--resume", session) as terminal:
        terminal.say("hello")
        terminal.wait_for("Hello you.")


def test_a_killed_chat_is_resumed_where_it_stood(server: ModelServer, project: Path) -> None:
    with chat(server, project) as terminal:
        terminal.say("add a docstring")
        terminal.wait_for(QUESTION)
        terminal.process.send_signal(signal.SIGKILL)
        assert terminal.end() == -signal.SIGKILL
    with chat(server, project, "--resume", "last") as terminal:
        told = terminal.wait_for("the last turn has not ended")
        assert "> add a docstring" in told
        assert "I look first." in told
        assert "● Read main.py" in told
        terminal.say("hello")
        terminal.wait_for("Hello you.")
        terminal.say("/quit")
        assert terminal.end() == 0
    assert (project / "main.py").read_text() == BEFORE
    assert "add a docstring" in heard(server)


def test_model_mode_and_cost_are_commands(server: ModelServer, project: Path) -> None:
    Path(os.environ["ACP_CONFIG"]).write_text('[models.fast]\nchain = ["openai/quick", "openai/test-model"]\n')
    with chat(server, project, "--mode", "plan") as terminal:
        terminal.wait_for("plan> ")
        terminal.type("/model\r")
        assert re.search(r"fast +alias: openai/quick, then openai/test-model\n", terminal.wait_for("plan> "))
        terminal.type("/mode edit\r")
        terminal.wait_for("mode edit from the next message on")
        terminal.say("/model fast")
        terminal.wait_for("openai/quick, then openai/test-model (alias fast)")
        terminal.say("/model nothing")
        terminal.wait_for("✗ no model alias named 'nothing'")
        terminal.say("/hepl")
        terminal.wait_for("there is no command /hepl; did you mean /help?")
        terminal.say("/help")
        terminal.wait_for("/quit ")
        terminal.say("write two files")
        terminal.wait_for("Both are written.")
        terminal.say("/cost")
        assert re.search(r"this session: 1 turn, [\d.]+k? tokens in, \d+ out, \?", terminal.wait_for("edit> "))
        terminal.type("\x04")
        assert terminal.end() == 0
    assert (project / "two.txt").read_text() == "2\n"
    assert {request.body["model"] for request in server.requests if request.is_chat} == {"quick"}


def test_pasted_and_continued_lines_are_one_message(server: ModelServer, project: Path) -> None:
    with chat(server, project) as terminal:
        terminal.wait_for(PROMPT)
        terminal.type("\x1b[200~hello\nfrom a paste\x1b[201~")
        terminal.type("\\\r")
        terminal.wait_for("… ")
        terminal.type("and a line\r")
        terminal.wait_for("Hello you.")
    assert server.requests[-1].prompt == "hello\nfrom a paste\nand a line"


def test_a_chat_without_a_terminal_is_a_script(server: ModelServer, project: Path) -> None:
    ended = scripted(server, project, stdin="hello\n\nadd a docstring \\\nto main\n/cost\n")
    assert (ended.returncode, ended.stdout) == (0, "Hello *you*.\nI look **first**.\n# Done\n\nIt is there.\n")
    assert ended.stderr.splitlines()[1:4] == [
        "● Read main.py",
        "◆ not allowed, since nobody can be asked without a terminal: Edit main.py; --mode edit allows it",
        "○ Edit main.py  denied",
    ]
    assert (project / "main.py").read_text() == BEFORE
    again = scripted(server, project, "--resume", session_in(ended.stderr)[:6], "--mode", "edit", "-p", "a docstring")
    assert (again.returncode, again.stdout) == (0, "I look **first**.\n# Done\n\nIt is there.\n")
    assert (project / "main.py").read_text() == AFTER
    assert session_in(again.stderr) == session_in(ended.stderr)


def test_the_exit_code_of_a_script_is_that_of_its_first_failure(server: ModelServer, project: Path) -> None:
    failed = scripted(server, project, stdin="this is broken\nhello\n")
    assert (failed.returncode, failed.stdout) == (1, "")
    assert "no such thing" in failed.stderr
    Path(os.environ["ACP_CONFIG"]).write_text("[roles.coder]\nmax_steps = 2\n")
    assert scripted(server, project, "-p", "no end").returncode == 3


def test_a_terminated_chat_exits_143_and_gives_the_terminal_back(server: ModelServer, project: Path) -> None:
    with chat(server, project) as terminal:
        terminal.say("count slowly")
        terminal.wait_for("two ")
        assert not termios.tcgetattr(terminal._ours)[3] & termios.ECHO
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.end() == 143
        assert termios.tcgetattr(terminal._ours)[3] & termios.ECHO
        assert session_in(terminal.text)
