"""What every test gets: a clean environment, asyncio, and an honest account of what could not run here."""

import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Generator
from functools import cache
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from acp_agent.domain.location import ServerLocation
from acp_agent.testing.postgres import PostgresServer

NO_SKIP = os.environ.get("ACP_TEST_NO_SKIP", "") not in ("", "0")
# Settings of the person who runs the suite must not reach it, least of all their keys.
PERSONAL_PREFIXES = ("ACP_", "ANTHROPIC_", "AWS_", "AZURE_", "GEMINI_", "GOOGLE_", "LITELLM_", "OLLAMA_", "OPENAI_")
PERSONAL_NAMES = (
    *("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE"),
    # With it each of the hundreds of processes that tests start compiles everything again.
    "PYTHONDONTWRITEBYTECODE",
)
GIT_CONFIG = """\
[user]
    name = Test
    email = test@example.org
[init]
    defaultBranch = main
[commit]
    gpgSign = false
[gc]
    auto = 0
"""
# The same examples in every run, and as much time for each as a slow machine needs.
settings.register_profile(
    "suite", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("suite")


@cache
def what_is_missing(marker: str) -> str:
    """Why tests with this marker cannot run on this machine; empty when they can."""
    if marker == "bwrap":
        return _bwrap_problem()
    if marker == "postgres":
        found = shutil.which("initdb") or any(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
        return "" if found else "no PostgreSQL server binaries"
    if marker == "node":
        return "" if shutil.which("node") else "no Node.js"
    if marker == "systemd":
        return "" if shutil.which("systemd-analyze") else "no systemd-analyze"
    if marker == "chromium":
        found = any(shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome"))
        return "" if found else "no Chromium"
    return ""


def _bwrap_problem() -> str:
    if not shutil.which("bwrap"):
        return "no bubblewrap"
    # It may be installed on a kernel that forbids what it needs.
    probe = subprocess.run(["bwrap", "--ro-bind", "/", "/", "--unshare-all", "true"], capture_output=True, check=False)
    return "" if probe.returncode == 0 else "bubblewrap cannot make a sandbox here"


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose marker names something this machine lacks."""
    for marker in item.iter_markers():
        if reason := what_is_missing(marker.name):
            pytest.skip(f"{marker.name}: {reason}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure where nothing may be left out."""
    report = yield
    if NO_SKIP and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, and ACP_TEST_NO_SKIP forbids that: {_reason(report)}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a module that is skipped as a whole."""
    report = yield
    if NO_SKIP and report.outcome == "skipped":
        report.outcome = "failed"
        report.longrepr = f"skipped, and ACP_TEST_NO_SKIP forbids that: {_reason(report)}"
    return report


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was left out on this machine, so that a green run does not promise more than it tried."""
    reasons = Counter(_reason(report) for report in terminalreporter.stats.get("skipped", []))
    if reasons:
        terminalreporter.section("left out on this machine")
        for reason, count in sorted(reasons.items()):
            terminalreporter.write_line(f"{count:4} {'test' if count == 1 else 'tests'}: {reason}")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """asyncio only: it is what the agent runs on."""
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def clean_environment(tmp_path_factory: pytest.TempPathFactory) -> Generator[None]:
    """No personal settings, no keys, and a git identity of the tests' own."""
    folder = tmp_path_factory.mktemp("environment")
    git_config = folder / "gitconfig"
    git_config.write_text(GIT_CONFIG, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name in PERSONAL_NAMES or (name.startswith(PERSONAL_PREFIXES) and not name.startswith("ACP_TEST_")):
                patch.delenv(name)
        patch.setenv("GIT_CONFIG_GLOBAL", str(git_config))
        patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
        patch.setenv("GIT_TERMINAL_PROMPT", "0")
        for person in ("AUTHOR", "COMMITTER"):
            patch.setenv(f"GIT_{person}_NAME", "Test")
            patch.setenv(f"GIT_{person}_EMAIL", "test@example.org")
        for kind in ("CONFIG", "DATA", "STATE", "CACHE"):
            patch.setenv(f"XDG_{kind}_HOME", str(folder / kind.lower()))
        yield


@pytest.fixture(autouse=True)
def own_state(
    clean_environment: None, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """State and user configuration of this test alone, wherever the home directory is."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "config.toml").touch()
    monkeypatch.setenv("ACP_HOME", str(folder / "state"))
    monkeypatch.setenv("ACP_CONFIG", str(folder / "config.toml"))


@pytest.fixture(scope="session")
def postgres_server() -> Generator[PostgresServer]:
    """A server that all tests of this process share; each has a schema of its own."""
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="session")
def _schemas(postgres_server: PostgresServer) -> Generator[Callable[[], str]]:
    import psycopg

    names = (f"t{number}" for number in count(1))
    with psycopg.connect(postgres_server.url(), autocommit=True) as connection:

        def new() -> str:
            name = next(names)
            connection.execute(f"CREATE SCHEMA {name}")
            return name

        yield new


@pytest.fixture
def new_postgres(
    postgres_server: PostgresServer, _schemas: Callable[[], str], tmp_path: Path
) -> Callable[[], ServerLocation]:
    """Makes empty databases on a real server."""
    return lambda: ServerLocation(postgres_server.url(_schemas()), tmp_path)


@pytest.fixture
def postgres(new_postgres: Callable[[], ServerLocation]) -> ServerLocation:
    """An empty database on a real server."""
    return new_postgres()
