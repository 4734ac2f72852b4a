"""Commands: what they can reach, how they end, and that nothing of them stays behind."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import anyio
import pytest

from acp_agent.domain.confinement import Confinement
from acp_agent.domain.errors import ToolError
from acp_agent.domain.message import ToolCall
from acp_agent.domain.tool import ToolResult
from acp_agent.tools.guard import Guard
from acp_agent.tools.sandbox.model import Egress, Sandbox
from acp_agent.tools.shell import run_command

pytestmark = [pytest.mark.anyio, pytest.mark.bwrap]
Use = Callable[..., Awaitable[ToolResult]]
BARE = Sandbox(level="off")
HELD = Confinement(
    level="bwrap",
    fs_write="workspace",
    fs_read="allow-list",
    network="closed",
    processes="namespace",
    syscalls="filtered",
)


async def output_of(root: Path, command: str, sandbox: Sandbox | None = None) -> str:
    return (await run_command(command, workspace=root, timeout=60, sandbox=sandbox)).output


async def test_a_command_tells_its_output_and_status(use: Use, root: Path) -> None:
    (root / "sub").mkdir()
    good = await use("shell", command="pwd; echo out; echo err >&2", cwd="sub")
    bad = await use("shell", command="echo why; exit 3")
    killed = await use("shell", command="kill -9 $$")
    told = {"sandbox": "bwrap", "confinement": HELD, "origin": "command"}
    fine = {"status": "ok", "output": f"{root}/sub\nout\nerr\n", "exit_status": 0}
    assert good.model_copy(update={"seconds": None}) == ToolResult.model_validate(told | fine)
    wrong = {"status": "error", "output": "exit status 3\nwhy\n", "kind": "exit_status", "exit_status": 3}
    assert bad.model_copy(update={"seconds": None}) == ToolResult.model_validate(told | wrong)
    assert (killed.kind, killed.exit_status) == ("exit_status", 137)


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        ({"command": "true", "cwd": ".."}, "outside"),
        ({"command": "true", "cwd": "missing"}, "not_found"),
        ({"command": "true", "cwd": "file"}, "not_a_directory"),
        ({"command": "true", "cwd": ".git"}, "protected"),
        ({"command": ""}, "invalid_arguments"),
        ({"command": "true", "timeout": 601}, "invalid_arguments"),
        ({"command": "true", "timeout": 0}, "invalid_arguments"),
        ({"command": "a\0b"}, "not_started"),
    ],
)
async def test_a_command_that_cannot_be_run_is_an_error(
    use: Use, root: Path, arguments: dict[str, object], kind: str
) -> None:
    (root / "file").touch()
    assert (await use("shell", **arguments)).kind == kind


@pytest.fixture
def home(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home directory with secrets and a toolchain in it, beside the workspace."""
    folder = root.parent / "home"
    for name in (".ssh/id_rsa", ".netrc", ".local/bin/mytool", ".cargo/registry/index", "tools/bin/other"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("#!/bin/sh\necho it runs\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("PATH", f"{folder}/tools/bin:{folder}/.local/bin:{os.environ['PATH']}")
    return folder


async def test_the_home_directory_is_hidden_but_for_toolchains(root: Path, home: Path) -> None:
    assert await output_of(root, "cd; ls -A; ls -A .ssh 2>/dev/null; cat .netrc 2>/dev/null; echo $HOME") == (
        f".cargo\n.local\ntools\n{home}\n"
    )
    assert await output_of(root, "mytool; other; echo x 2>/dev/null > ~/.local/bin/mytool || echo held") == (
        "it runs\nit runs\nheld\n"
    )
    await output_of(root, "echo x > ~/new; rm -rf ~/.ssh ~/.netrc ~")
    assert sorted(entry.name for entry in home.iterdir()) == [".cargo", ".local", ".netrc", ".ssh", "tools"]


async def test_a_private_home_survives_the_command(root: Path, home: Path) -> None:
    private = root.parent / "private"
    private.mkdir()
    sandbox = Sandbox(home=private)
    await output_of(root, "echo kept > ~/cache", sandbox)
    assert await output_of(root, "cat ~/cache; ls -A ~/.cargo 2>/dev/null; mytool", sandbox) == "kept\nit runs\n"
    assert not (home / "cache").exists()


async def test_a_workspace_in_the_home_directory_works(home: Path) -> None:
    project = home / "code/project"
    project.mkdir(parents=True)
    assert await output_of(project, "echo x > file; ls -A ~") == ".cargo\n.local\ncode\ntools\n"
    assert (project / "file").read_text() == "x\n"


async def test_no_secret_is_in_the_environment(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "AWS_SECRET_ACCESS_KEY", "MY_SETTING", "SSH_AUTH_SOCK", "HTTP_PROXY", "BASH_ENV"):
        monkeypatch.setenv(name, "hunter2-hunter2")
    seen = await output_of(root, "env; cat /proc/1/environ /proc/self/environ /proc/$PPID/environ | tr '\\0' '\\n'")
    assert "hunter2" not in seen
    assert "ACP" not in seen
    given = Sandbox(environment={"MY_SETTING": "given"})
    assert await output_of(root, "echo $MY_SETTING", given) == "given\n"


@pytest.fixture
def port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


async def test_the_network_is_closed_unless_it_is_opened(root: Path, port: int) -> None:
    command = f"(exec 3<>/dev/tcp/127.0.0.1/{port}) 2>/dev/null && echo open || echo closed"
    assert await output_of(root, command) == "closed\n"
    opened = await run_command(command, workspace=root, timeout=60, network=True)
    assert opened.output == "open\n"


async def test_nothing_outside_the_workspace_can_be_written(root: Path) -> None:
    outside = root.parent / "outside"
    outside.mkdir()
    (outside / "file").write_text("untouched")
    (root / "link").symlink_to("../outside")
    panic = Path("/proc/sys/kernel/panic").read_text()
    targets = f"{outside}/file {outside}/new link/file ../new /etc/new /usr/new /proc/sys/kernel/panic /dev/sda"
    await output_of(root, f"for target in {targets}; do echo 7 > $target; done; rm -rf {outside} ..")
    assert Path("/proc/sys/kernel/panic").read_text() == panic
    assert [(entry.name, entry.read_text()) for entry in outside.iterdir()] == [("file", "untouched")]
    assert sorted(entry.name for entry in root.parent.iterdir()) == ["outside", "project"]


async def test_what_is_outside_is_not_even_there(root: Path) -> None:
    (root.parent / "secret").write_text("secret")
    command = "cat ../secret /etc/shadow /etc/ssh/*_key; echo x > /lost || ls -A /run /var/tmp"
    assert await output_of(root, f"({command}) 2>/dev/null") == "/run:\n\n/var/tmp:\n"


async def test_further_paths_can_be_opened(root: Path) -> None:
    for name in ("readable", "writable"):
        (root.parent / name).mkdir()
        (root.parent / name / "file").write_text("old")
    sandbox = Sandbox(readable=(root.parent / "readable",), writable=(root.parent / "writable",))
    command = "for name in readable writable; do cat ../$name/file; echo new > ../$name/file; done 2>/dev/null; true"
    assert await output_of(root, command, sandbox) == "oldold"
    assert [(root.parent / name / "file").read_text() for name in ("readable", "writable")] == ["old", "new\n"]


@pytest.fixture
def worktree(repository: Path) -> Path:
    """A linked worktree of `repository` on a branch of its own, beside another branch."""
    subprocess.run(["git", "branch", "other"], cwd=repository, check=True)
    place = repository.parent / "worktree"
    subprocess.run(["git", "worktree", "add", "-q", "-b", "acp/b/p", str(place)], cwd=repository, check=True)
    return place


FORBIDDEN_TO_GIT = (
    "git config core.fsmonitor evil",
    "mv .git away",
    "echo x >> $GIT/config",
    "rm -rf $GIT/hooks",
    "touch $GIT/hooks/post-checkout",
    "echo x > $GIT/info/attributes",
    "rm -rf $GIT/objects/pack",
)


@pytest.mark.parametrize("place", ["checkout", "worktree"])
async def test_git_commits_but_its_configuration_and_hooks_stay(repository: Path, worktree: Path, place: str) -> None:
    subprocess.run(["git", "repack", "-qad"], cwd=repository, check=True)
    checkout = repository if place == "checkout" else worktree
    config = (repository / ".git/config").read_bytes()
    for attempt in FORBIDDEN_TO_GIT:
        ended = await run_command(f"GIT=$(git rev-parse --git-common-dir); {attempt}", workspace=checkout, timeout=60)
        assert (ended.exit_status != 0, ended.confinement.tampered) == (True, ()), (attempt, ended.output)
    done = "echo x > new && git add new && git commit -qm second && git commit -q --amend -m 'second again' && "
    looked = "git log --format='%s by %an <%ae>' -1 && git status --short && git stash list && git gc --auto -q"
    assert await output_of(checkout, done + looked) == "second again by Test <test@example.org>\n"
    outside = subprocess.run(["git", "log", "--format=%s"], cwd=checkout, capture_output=True, text=True, check=True)
    assert outside.stdout == "second again\nfirst\n"
    assert not (repository / ".git/hooks/post-checkout").exists()
    assert (repository / ".git/config").read_bytes() == config
    subprocess.run(["git", "fsck", "--strict"], cwd=repository, check=True, capture_output=True)


async def test_a_worktree_cannot_touch_the_branches_of_others(repository: Path, worktree: Path) -> None:
    before = subprocess.run(["git", "for-each-ref"], cwd=repository, capture_output=True, text=True, check=True).stdout
    for attempt in (
        "git branch -D other",
        "git update-ref refs/heads/main HEAD~0 && git branch -f other HEAD",
        "git tag x",
        "echo y >> kept.py; git stash",
        "rm -rf $(git rev-parse --git-common-dir)/refs/heads/other",
        "rm $(git rev-parse --git-dir)/commondir",
    ):
        ended = await run_command(attempt, workspace=worktree, timeout=60)
        assert ended.exit_status != 0, (attempt, ended.output)
    after = subprocess.run(["git", "for-each-ref"], cwd=repository, capture_output=True, text=True, check=True).stdout
    assert after == before


async def test_a_sub_directory_sees_the_rest_of_its_repository(repository: Path) -> None:
    sub = repository / "sub"
    sub.mkdir()
    (repository.parent / "neighbour").touch()
    attempt = "touch ../x ../.git/config 2>/dev/null || echo held"
    command = f"cat ../kept.py | head -1; {attempt}; touch y; git add y; git commit -qm y; ls ../.."
    assert await output_of(sub, command) == "def kept():\nheld\nproject\n"
    assert (sub / "y").exists()


def alive(marker: str) -> list[int]:
    """Processes whose command line holds `marker`, zombies left out."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if marker.encode() in Path(f"/proc/{name}/cmdline").read_bytes():
                    found.append(int(name))
            except OSError:
                continue
    return found


async def all_gone(marker: str) -> bool:
    with anyio.move_on_after(60):
        while alive(marker):
            await anyio.sleep(0.01)
        return True
    return False


# Its own session, its own group, deaf to signals, and with the output still open.
DAEMON = "(trap '' TERM HUP INT; exec setsid sleep {0}) & sleep {0} & sleep {0}"


@pytest.mark.parametrize("sandbox", [Sandbox(), BARE], ids=["bwrap", "none"])
async def test_a_timeout_kills_the_whole_tree(root: Path, sandbox: Sandbox) -> None:
    marker = f"98{os.getpid()}.1{len(sandbox.level)}"
    command = f"echo begun; {DAEMON.format(marker)}"
    for timeout in (0.5, 2.0, 8.0, 32.0):
        ended = await run_command(command, workspace=root, timeout=timeout, sandbox=sandbox)
        assert (ended.timed_out, ended.exit_status) == (True, None)
        if ended.output:
            break  # on a slow machine it had not begun before
    assert ended.output == "begun\n"
    assert await all_gone(marker), alive(marker)


@pytest.mark.parametrize("sandbox", [Sandbox(), BARE], ids=["bwrap", "none"])
async def test_a_daemon_neither_holds_the_result_up_nor_outlives_it(root: Path, sandbox: Sandbox) -> None:
    marker = f"97{os.getpid()}.1{len(sandbox.level)}"
    ended = await run_command(
        f"setsid sleep {marker} & sleep {marker} & echo done", workspace=root, timeout=60, sandbox=sandbox
    )
    assert (ended.timed_out, ended.exit_status, ended.output) == (False, 0, "done\n")
    assert await all_gone(marker), alive(marker)


@pytest.mark.parametrize("sandbox", [Sandbox(), BARE], ids=["bwrap", "none"])
async def test_cancellation_kills_the_whole_tree(root: Path, sandbox: Sandbox) -> None:
    marker = f"96{os.getpid()}.1{len(sandbox.level)}"
    async with anyio.create_task_group() as tasks:

        async def run() -> None:
            command = f"touch begun; {DAEMON.format(marker)}"
            await run_command(command, workspace=root, timeout=60, sandbox=sandbox)

        tasks.start_soon(run)
        with anyio.fail_after(60):
            while not (root / "begun").exists() or len(alive(marker)) < 3:
                await anyio.sleep(0.01)
        tasks.cancel_scope.cancel()
    assert await all_gone(marker), alive(marker)


@pytest.mark.parametrize("level", ["bwrap", "landlock"])
async def test_a_command_dies_with_us(root: Path, level: str) -> None:
    marker = f"95{os.getpid()}.{len(level)}"
    program = (
        "import anyio, sys\nfrom pathlib import Path\nfrom acp_agent.tools.shell import run_command\n"
        f"async def main():\n    await run_command({DAEMON.format(marker)!r}, workspace=Path({str(root)!r}), "
        "timeout=60)\n"
        "anyio.run(main)\n"
    )
    checkout = Path(__file__).resolve().parents[2]
    tools = root.parent / "tools"
    tools.mkdir()
    for name in ("bash", "cat", "git", "grep", "readlink", "setsid", "sh", "sleep"):
        (tools / name).symlink_to(shutil.which(name) or name)
    environment = os.environ if level == "bwrap" else {**os.environ, "PATH": str(tools)}
    process = subprocess.Popen([sys.executable, "-c", program], cwd=checkout, env=environment)
    with anyio.fail_after(60):
        while len(alive(f"sleep\0{marker}")) < 3:
            await anyio.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert await all_gone(f"sleep\0{marker}")


async def test_a_flood_is_counted_and_its_ends_kept(root: Path) -> None:
    ended = await run_command(
        "echo first; head -c 200000000 /dev/zero | tr '\\0' x; echo; echo last", workspace=root, timeout=60
    )
    assert ended.output.startswith("first\nxxx")
    assert ended.output.endswith("xxx\nlast\n")
    assert len(ended.output) < 33_000
    assert ended.omitted == 200_000_012 - 32_000
    assert f"[... {ended.omitted:,} bytes cut here" in ended.output


async def test_bytes_that_are_no_text_are_replaced(use: Use) -> None:
    assert (await use("shell", command="printf 'a\\377\\0b'")).output == "a�␀b"


async def test_without_bubblewrap_landlock_confines_and_says_so(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = root.parent / "tools"
    tools.mkdir()
    for name in ("bash", "cat", "grep", "readlink"):
        (tools / name).symlink_to(shutil.which(name) or name)
    monkeypatch.setenv("PATH", str(tools))
    (root.parent / "secret").write_text("secret")
    ended = await run_command("echo x > file; cat ../secret 2>&1", workspace=root, timeout=60)
    assert (ended.sandbox, ended.output) == ("landlock", "cat: ../secret: Permission denied\n")


async def test_a_home_directory_is_no_workspace(root: Path, home: Path) -> None:
    for place in (home, home.parent):
        with pytest.raises(ToolError) as caught:
            await run_command("true", workspace=place, timeout=5)
        assert caught.value.kind == "no_sandbox"


async def test_a_command_reads_what_it_is_given_and_no_more(root: Path) -> None:
    ended = await run_command("cat; cat", workspace=root, timeout=60, stdin=b'{"tool": "x"}\n')
    assert (ended.output, ended.exit_status) == ('{"tool": "x"}\n', 0)
    assert await output_of(root, "cat") == ""


async def test_a_way_out_is_a_socket_and_a_bridge_before_the_program(root: Path, tmp_path: Path) -> None:
    tool = tmp_path / "bridge"
    tool.write_text('#!/bin/sh\necho "bridge for $MARK"\nexec "$@"\n')
    tool.chmod(0o755)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        server.listen()
        egress = Egress(tmp_path / "s", bridge=(str(tool),), environment={"MARK": "x"})
        command = "python3 -c 'import socket; socket.socket(socket.AF_UNIX).connect(\"/run/acp/egress.sock\")'; echo $?"
        assert await output_of(root, command, Sandbox(egress=egress, readable=(tool,))) == "bridge for x\n0\n"
        assert await output_of(root, "ls -A /run") == ""


async def test_a_command_finds_the_idempotency_key_of_its_call(guard: Guard) -> None:
    call = ToolCall(call_id="c1", name="shell", arguments='{"command": "echo key $ACP_CALL_KEY"}')
    prepared = await guard.prepare(call, {}, "0123abcd")
    assert not isinstance(prepared, ToolResult)
    assert (await prepared.run()).output == "key 0123abcd\n"
