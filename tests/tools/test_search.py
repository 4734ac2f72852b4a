"""Listing and searching agree inside and outside git, honour .gitignore, and end in time."""

import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from acp_agent.domain.tool import ToolResult
from acp_agent.tools import search as search_module
from acp_agent.tools.repository import Repository

pytestmark = pytest.mark.anyio
Use = Callable[..., Awaitable[ToolResult]]

FILES = {
    ".gitignore": "ignored/\n*.log\n!kept.log\n",
    "app.py": "needle = 1\n",
    "kept.log": "needle\n",
    "lost.log": "needle\n",
    "ignored/x.py": "needle\n",
    "src/a.ts": "const x = 'Needle'\n",
    "src/b.tsx": "needle.call()\n",
    "src/.gitignore": "secret.txt\n/top.txt\n",
    "src/secret.txt": "needle\n",
    "src/top.txt": "needle\n",
    "src/deep/top.txt": "needle\n",
    "src/od[d]*/n é:1.py": "needle\n",
    "binary.bin": "needle\0\n",
}


@pytest.fixture(params=["git", "no git"])
def tree(root: Path, request: pytest.FixtureRequest) -> Path:
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "link.py").symlink_to("app.py")
    (root / "out.py").symlink_to("/etc/passwd")
    if request.param == "git":
        subprocess.run(["git", "init", "-q"], cwd=root, check=True)
        (root / "removed.py").touch()
        subprocess.run(["git", "add", "app.py", "removed.py"], cwd=root, check=True)
        (root / "removed.py").unlink()
    return root


ALL = [
    ".gitignore", "app.py", "binary.bin", "kept.log", "link.py", "out.py", "src/.gitignore", "src/a.ts", "src/b.tsx",
    "src/deep/top.txt", "src/od[d]*/n é:1.py",
]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "glob", "names"),
    [
        (".", None, ALL),
        ("src", None, [name for name in ALL if name.startswith("src/")]),
        ("src/od[d]*", None, ["src/od[d]*/n é:1.py"]),
        (".", "*.py", ["app.py", "link.py", "out.py", "src/od[d]*/n é:1.py"]),
        (".", "src/*.{ts,tsx}", ["src/a.ts", "src/b.tsx"]),
        ("src", "/*.ts", ["src/a.ts"]),
        (".", "deep", ["src/deep/top.txt"]),
        (".", "deep/", ["src/deep/top.txt"]),
        (".", "**/top.txt", ["src/deep/top.txt"]),
    ],
)
async def test_files_are_listed(tree: Path, use: Use, path: str, glob: str | None, names: list[str]) -> None:
    result = await use("list_files", path=path, glob=glob)
    assert result == ToolResult(status="ok", output="\n".join(names))


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        ({"pattern": "needle"}, [
            "app.py:1: needle = 1", "kept.log:1: needle", "src/b.tsx:1: needle.call()", "src/deep/top.txt:1: needle",
            "src/od[d]*/n é:1.py:1: needle",
        ]),
        ({"pattern": "NEEDLE\\b", "ignore_case": True, "glob": "*.{ts,tsx}"}, [
            "src/a.ts:1: const x = 'Needle'", "src/b.tsx:1: needle.call()",
        ]),
        ({"pattern": "needle", "path": "src/od[d]*", "glob": "*.py"}, ["src/od[d]*/n é:1.py:1: needle"]),
        ({"pattern": "needle", "path": "app.py"}, ["app.py:1: needle = 1"]),
        ({"pattern": "needle", "path": "src", "glob": "deep"}, ["src/deep/top.txt:1: needle"]),
        ({"pattern": "needle", "glob": "src/*.tsx"}, ["src/b.tsx:1: needle.call()"]),
        ({"pattern": "-e"}, ["No line matches '-e'."]),
        ({"pattern": "(?<=needle )= \\d"}, ["app.py:1: needle = 1"]),
    ],
)  # fmt: skip
async def test_lines_are_found(tree: Path, use: Use, arguments: dict[str, object], lines: list[str]) -> None:
    result = await use("search", **arguments)
    assert result == ToolResult(status="ok", output="\n".join(lines))


@pytest.mark.parametrize(
    ("tool", "arguments", "kind"),
    [
        ("search", {"pattern": "("}, "invalid_regex"),
        ("search", {"pattern": "x", "path": "nowhere"}, "not_found"),
        ("search", {"pattern": "x", "path": "out.py"}, "outside"),
        ("search", {"pattern": "x", "path": ".git"}, "protected"),
        ("list_files", {"path": "nowhere"}, "not_found"),
        ("list_files", {"path": "app.py"}, "not_a_directory"),
        ("list_files", {"path": ".."}, "outside"),
    ],
)
async def test_wrong_questions_are_errors(
    tree: Path, use: Use, tool: str, arguments: dict[str, object], kind: str
) -> None:
    result = await use(tool, **arguments)
    assert (result.status, result.kind) == ("error", kind)


async def test_many_matches_and_long_lines_are_cut_and_counted(tree: Path, use: Use) -> None:
    (tree / "many").write_text("hit\n" * 500)
    (tree / "wide").write_text("wide " + "x" * 5000)
    many = await use("search", pattern="hit", max=3)
    assert many.output == (
        "many:1: hit\nmany:2: hit\nmany:3: hit\n[3 of 500 matching lines; narrow with path, glob or pattern]"
    )
    assert (await use("search", pattern="^wide")).output == f"wide:1: wide {'x' * 295} [...]"


async def test_many_files_are_summed_up_by_directory(root: Path, use: Use) -> None:
    for folder, count in {"a": 700, "b": 400}.items():
        (root / folder).mkdir()
        for number in range(count):
            (root / folder / f"{number:04}").touch()
    output = (await use("list_files")).output
    assert output.count("\n") == 1000
    assert output.endswith("[1,000 of 1,100 files; narrow with path or glob. Files by directory: a/ 700, b/ 400]")


async def test_an_endless_pattern_is_stopped(tree: Path, use: Use, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_module, "_SECONDS", 0.5)
    (tree / "trap").write_text("a" * 5000 + "!")
    result = await use("search", pattern="(a|aa)+$")
    assert (result.status, result.kind) == ("error", "timeout")


async def test_a_sub_directory_that_the_repository_ignores_is_searched_all_the_same(root: Path, use: Use) -> None:
    subprocess.run(["git", "init", "-q"], cwd=root.parent, check=True)
    (root.parent / ".gitignore").write_text("project/\n")
    (root / "a.py").write_text("needle\n")
    assert (await use("list_files")).output == "a.py"
    assert (await use("search", pattern="needle")).output == "a.py:1: needle"


async def test_a_repository_cannot_run_programs_when_it_is_looked_at(repository: Path, use: Use) -> None:
    trap = repository.parent / "trap"
    trap.write_text(f"#!/bin/sh\ntouch {repository.parent}/sprung\n")
    trap.chmod(0o755)
    for key in ("core.fsmonitor", "core.pager", "pager.grep", "diff.external", "core.sshCommand"):
        subprocess.run(["git", "config", key, str(trap)], cwd=repository, check=True)
    assert (await use("list_files")).output == ".gitignore\nkept.py"
    assert (await use("search", pattern="needle")).output == "kept.py:2:     return 'needle'"
    assert not (repository.parent / "sprung").exists()


def git(cwd: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=cwd, check=True, capture_output=True)


def test_a_worktree_knows_the_directory_it_shares(repository: Path) -> None:
    worktree = repository.parent / "worktree"
    git(repository, "worktree", "add", str(worktree))
    (worktree / "sub").mkdir()
    assert Repository.of(worktree / "sub") == Repository(
        worktree, worktree / ".git", repository / ".git", repository / ".git/worktrees/worktree"
    )
    git_directory = repository / ".git"
    assert Repository.of(repository) == Repository(repository, git_directory, git_directory, git_directory)


def test_a_submodule_knows_its_directory(repository: Path) -> None:
    other = repository.parent / "other"
    git(repository.parent, "clone", "-q", str(repository), str(other))
    git(other, "-c", "protocol.file.allow=always", "submodule", "add", str(repository), "inner")
    assert Repository.of(other / "inner") == Repository(
        other / "inner", other / "inner/.git", other / ".git/modules/inner", other / ".git/modules/inner"
    )


@pytest.mark.parametrize("planted", ["keys", "private/.git", "private/.git via commondir", "link", "garbage"])
def test_a_planted_git_file_points_nowhere(root: Path, tmp_path: Path, planted: str) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys/id").write_text("secret")
    git(tmp_path, "init", "-q", "private")
    if planted == "link":
        (root / ".git").symlink_to(tmp_path / "private/.git")
    elif planted == "garbage":
        (root / ".git").write_bytes(b"\xff\0")
    elif "commondir" in planted:
        (root / "own").mkdir()
        (root / "own/commondir").write_text(str(tmp_path / "private/.git"))
        (root / "own/gitdir").write_text(str(root / ".git"))
        (root / ".git").write_text("gitdir: own")
    else:
        (root / ".git").write_text(f"gitdir: {tmp_path / planted}")
    assert Repository.of(root) is None
