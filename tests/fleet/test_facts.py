"""What our own code says of a project."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from acp_agent.fleet.facts import Facts, gather
from acp_agent.testing.repos import make_repo

FILES = {
    "README.md": "# api\n\n[![build](x)](y)\n<p>logo</p>\n\nAn API for\neverything.\n\nMore.\n",
    "LICENSE": "MIT License\n\nCopyright\n",
    "api/__init__.py": "",
    "api/main.py": "x = 1\n" * 7,
    "tests/test_main.py": "y = 1\n" * 2,
    "web/app.ts": "let a = 1;\n",
    ".gitignore": "build/\n",
}


async def test_a_repository_is_told_by_its_files_and_its_history(tmp_path: Path) -> None:
    repo = make_repo(
        tmp_path / "api", FILES, dirty={"new.py": "z = 1\n", "build/out.py": "z = 1\n", "web/app.ts": None}
    )
    assert await gather("api", repo) == Facts(
        project="api",
        files=7,
        paths=("LICENSE", "README.md", "new.py", "api/__init__.py", "api/main.py", "tests/test_main.py"),
        languages=(("Python", 4, 10), ("Markdown", 1, 9)),
        lines=19,
        test_files=1,
        licence="MIT",
        last_commit="2026-01-01",
        readme="An API for everything.",
    )


async def test_a_project_in_a_folder_of_its_repository_is_told_alone(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "all", {**FILES, "docs/README.rst": "Guide\n=====\n\nHow to.\n", "docs/a.md": "a\n"})
    facts = await gather("docs", repo, "docs")
    assert (facts.files, facts.main_language, facts.readme, facts.last_commit) == (2, "Markdown", "Guide", "2026-01-01")


async def test_a_plain_folder_has_no_history_and_its_dependencies_do_not_count(tmp_path: Path) -> None:
    for name in ("a.sh", "node_modules/b.js", ".hidden/c.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("line\n", encoding="utf-8")
    facts = await gather("plain", tmp_path)
    assert (facts.paths, facts.main_language, facts.last_commit, facts.licence) == (("a.sh",), "Shell", "", "")


async def test_an_empty_repository_has_facts_too(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "empty", {})
    facts = await gather("empty", repo)
    assert facts == Facts(
        project="empty",
        files=0,
        paths=(),
        languages=(),
        lines=0,
        test_files=0,
        licence="",
        last_commit="",
        readme="",
    )
    assert facts.main_language == ""


@pytest.mark.parametrize(
    ("files", "tests"),
    [
        ({"test_a.py": ""}, 1),
        ({"a_test.go": "", "a.spec.ts": "", "a.test.tsx": "", "ATests.cs": ""}, 4),
        ({"tests/helper.py": "", "spec/a.rb": ""}, 2),
        ({"tests/README.md": "", "testing.py": "", "contest.py": "", "latest.js": ""}, 0),
    ],
)
async def test_tests_are_known_by_their_names_and_folders(tmp_path: Path, files: Mapping[str, str], tests: int) -> None:
    assert (await gather("a", make_repo(tmp_path / "a", files))).test_files == tests


@pytest.mark.parametrize(
    ("text", "licence"),
    [
        ("   Apache License\n   Version 2.0", "Apache-2.0"),
        ("GNU GENERAL PUBLIC LICENSE", "GPL"),
        ("All rights reserved.", "other"),
    ],
)
async def test_a_licence_is_known_by_its_first_words(tmp_path: Path, text: str, licence: str) -> None:
    assert (await gather("a", make_repo(tmp_path / "a", {"COPYING.txt": text}))).licence == licence


async def test_a_link_out_of_the_project_is_not_read(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "a", {"a.py": "x = 1\n"})
    (tmp_path / "secret.md").write_text("A secret.\n", encoding="utf-8")
    (repo / "README.md").symlink_to(tmp_path / "secret.md")
    assert (await gather("a", repo)).readme == ""
