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


@pytest.fixture
def checkout_copy(tmp_path: Path) -> Path:
    copy = tmp_path / "checkout"
    copy.mkdir()
    shutil.copy(ROOT / "pyproject.toml", copy)
    for folder in ("acp_agent", "scripts"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


def test_every_import_contract_is_kept() -> None:
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


PLANTED = [
    ("domain", "acp_agent.runs", "Imports point down only"),
    ("tools", "acp_agent.store", "Imports point down only"),
    ("surfaces/rest", "acp_agent.surfaces.cli", "Surfaces are independent"),
    ("agent", "time", "domain and agent decide"),
    ("domain", "os.path", "domain and agent decide"),
    ("runs", "litellm", "litellm is imported by llm only"),
    ("fleet", "rich.table", "click, rich and textual"),
    ("runs", "sqlite3", "Databases and their mappers"),
    ("surfaces/cli", "sqlmodel", "Databases and their mappers"),
    ("surfaces/cli", "tomlkit", "tomlkit is imported by config only"),
    ("runs", "httpx", "httpx is imported by llm, tools and testing only"),
    ("surfaces/acp", "starlette.routing", "starlette and uvicorn"),
    ("runs", "mcp", "mcp is imported by tools"),
    ("tools", "httpx2", "httpx2, the HTTP client that mcp takes"),
    ("surfaces/acp", "acp", "The ACP SDK"),
]


def plant(folder: Path, name: str, imported: str) -> None:
    folder.mkdir(exist_ok=True)
    # Inside a function, because that is where a forbidden import would hide.
    (folder / f"{name}.py").write_text(f'"""Planted."""\n\ndef hide():\n    import {imported}\n', encoding="utf-8")


def broken_contracts(output: str) -> dict[str, str]:
    """What the report says about each broken contract, by its name."""
    names = [line.partition(" BROKEN")[0] for line in output.splitlines() if " BROKEN" in line]
    details = output.partition("Broken contracts\n")[2]
    places = sorted((details.index(f"\n{name}\n---"), name) for name in names)
    ends = [*(start for start, _ in places[1:]), len(details)]
    return {name: details[start:end] for (start, name), end in zip(places, ends, strict=True)}


def test_every_planted_violation_is_caught_by_its_contract_and_no_other(checkout_copy: Path) -> None:
    for number, (package, imported, _) in enumerate(PLANTED):
        plant(checkout_copy / "acp_agent" / package, f"planted_{number}", imported)
    result = lint_imports(checkout_copy)
    assert result.returncode == 1, result.stdout + result.stderr
    broken = broken_contracts(result.stdout)
    for number, (package, _, contract) in enumerate(PLANTED):
        planted = f"acp_agent.{package.replace('/', '.')}.planted_{number} ->"
        named = [name for name, said in broken.items() if planted in said]
        assert len(named) == 1, (planted, named)
        assert named[0].startswith(contract)


def test_a_package_that_is_in_no_layer_is_caught(checkout_copy: Path) -> None:
    plant(checkout_copy / "acp_agent" / "planted", "__init__", "acp_agent.domain")
    result = lint_imports(checkout_copy)
    (name,) = broken_contracts(result.stdout)
    assert (result.returncode, name.partition(";")[0]) == (1, "Imports point down only"), result.stdout


def test_limits_hold() -> None:
    result = subprocess.run(
        [sys.executable, "scripts/limits.py"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stdout) == (0, "")


@pytest.mark.parametrize(
    ("module", "text", "breach"),
    [
        ("runs/planted.py", "print()\n" * 401, "401 lines, at most 400"),
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
        ("store/planted.py", 'A = B = "x"\n\n\nB: str = "y"\n', "planted.py:4: B is bound again, first in line 1"),
        ("store/planted.py", "def _one(): ...\n\n\n_one, two = 1, 2\n", "_one is bound again, first in line 1"),
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
