"""The architecture holds: layers, doors, sizes, and a page of documentation for each package."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LINT_IMPORTS = Path(sys.executable).parent / "lint-imports"
PACKAGES = sorted((ROOT / "acp_agent").rglob("__init__.py"))


def lint_imports(checkout: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    command = [str(LINT_IMPORTS), "--no-cache", "--no-logo"]
    return subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def checkout_copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = tmp_path_factory.mktemp("checkout")
    shutil.copy(ROOT / "pyproject.toml", copy)
    for folder in ("acp_agent", "scripts"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


def test_every_import_contract_is_kept() -> None:
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("module", "imported", "contract"),
    [
        ("domain/planted.py", "acp_agent.runs", "Imports point down only"),
        ("tools/planted.py", "acp_agent.store", "Imports point down only"),
        ("planted/__init__.py", "acp_agent.domain", "Imports point down only"),
        ("surfaces/rest/planted.py", "acp_agent.surfaces.cli", "Surfaces are independent"),
        ("agent/planted.py", "time", "domain and agent decide"),
        ("domain/planted.py", "os.path", "domain and agent decide"),
        ("runs/planted.py", "litellm", "litellm is imported by llm only"),
        ("fleet/planted.py", "rich.table", "click, rich and textual"),
        ("runs/planted.py", "sqlite3", "Databases and their mappers"),
        ("surfaces/cli/planted.py", "sqlmodel", "Databases and their mappers"),
        ("surfaces/cli/planted.py", "tomlkit", "tomlkit is imported by config only"),
        ("runs/planted.py", "httpx", "httpx is imported by llm, tools and testing only"),
        ("surfaces/acp/planted.py", "starlette.routing", "starlette and uvicorn"),
        ("runs/planted.py", "mcp", "mcp is imported by tools"),
        ("tools/planted.py", "httpx2", "httpx2, the HTTP client that mcp takes"),
        ("surfaces/acp/planted.py", "acp", "The ACP SDK"),
        ("store/planted.py", "pgqueuer", "pgqueuer is imported by engines only"),
    ],
)
def test_a_planted_violation_is_caught(checkout_copy: Path, module: str, imported: str, contract: str) -> None:
    planted = checkout_copy / "acp_agent" / module
    folder_is_new = not planted.parent.exists()
    planted.parent.mkdir(exist_ok=True)
    try:
        # Inside a function, because that is where a forbidden import would hide.
        planted.write_text(f'"""Planted."""\n\ndef hide():\n    import {imported}\n', encoding="utf-8")
        result = lint_imports(checkout_copy)
    finally:
        shutil.rmtree(planted.parent) if folder_is_new else planted.unlink()
    broken = [line for line in result.stdout.splitlines() if " BROKEN" in line]
    assert result.returncode == 1, result.stdout + result.stderr
    assert [line for line in broken if line.startswith(contract)] == broken != [], result.stdout


def test_sizes_hold() -> None:
    result = subprocess.run(
        [sys.executable, "scripts/limits.py"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stdout) == (0, "")


@pytest.mark.parametrize(
    ("module", "text", "breach"),
    [
        ("runs/planted.py", "x = 1\n" * 401, "401 lines, at most 400"),
        (
            "runs/planted.py",
            "class Wide:\n    def __init__(self, a, b, c, d, *, e, f, g, h): ...\n",
            "Wide has 8 constructor parameters",
        ),
        (
            "runs/planted.py",
            "@dataclass(slots=True)\nclass Bag:\n" + "".join(f"    part{n}: int\n" for n in range(8)),
            "Bag has 8 constructor parameters",
        ),
        ("agent/decide.py", "def next_action():\n" + "    x = 1\n" * 80, "next_action has 81 lines"),
        ("agent/decide.py", "def other(): ...\n", "next_action is missing"),
        ("planted/__init__.py", "import os\n", "code in a package's __init__"),
    ],
)
def test_a_broken_limit_is_named(tmp_path: Path, module: str, text: str, breach: str) -> None:
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "limits.py", tmp_path / "scripts")
    planted = tmp_path / "acp_agent" / module
    planted.parent.mkdir(parents=True)
    planted.write_text(text, encoding="utf-8")
    command = [sys.executable, str(tmp_path / "scripts" / "limits.py")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert len(result.stdout.splitlines()) == 1
    assert breach in result.stdout


@pytest.mark.parametrize("path", PACKAGES, ids=lambda path: path.parent.relative_to(ROOT).as_posix())
def test_a_package_says_what_it_is_for_what_it_promises_and_what_it_must_never_do(path: Path) -> None:
    page = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    is_page_of_the_architecture = path.parent.parent.name in ("acp_agent", "surfaces")
    assert page
    if is_page_of_the_architecture:
        assert "\nPromises\n- " in page
        assert "\nNever\n- " in page
