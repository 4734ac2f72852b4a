"""Fast commands stay fast: what they must not import."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FORBIDDEN = (
    "acp",
    "alembic",
    "anyio",
    "asyncio",
    "httpx",
    "litellm",
    "mcp",
    "platformdirs",
    "pydantic",
    "rich",
    "sqlalchemy",
    "sqlmodel",
    "starlette",
    "yaml",
)
PROBE = f"""
import sys
sys.argv = ["acp", *sys.argv[1:]]
from acp_agent.main import main
try:
    main()
except SystemExit as end:
    print([name for name in {FORBIDDEN!r} if name in sys.modules], end.code, file=sys.stderr)
"""


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["ps"], ["projects", "ls"], ["show", "b_aaaaaaaa"]])
def test_a_fast_command_imports_no_heavy_library(words: list[str], on_record: str, tmp_path: Path) -> None:
    (tmp_path / "projects.toml").write_text('version = 1\n[projects.api]\npath = "api"\ntags = ["python"]\n')
    ended = subprocess.run(
        [sys.executable, "-c", PROBE, *words],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stderr.splitlines()[-1] == "[] 0"
