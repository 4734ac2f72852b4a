"""Where state and configuration lie."""

import subprocess
import sys
from pathlib import Path

import pytest

import acp_agent
from acp_agent.config.paths import config_file, database_path, find_projects_file, resolved, shown_path, state_dir
from acp_agent.domain.errors import ExitCode, UsageError

linux = pytest.mark.skipif(sys.platform != "linux", reason="the XDG rule")


def test_acp_home_beats_systemd_and_systemd_beats_the_platform(tmp_path: Path) -> None:
    environ = {"ACP_HOME": f"{tmp_path}/a", "STATE_DIRECTORY": f"{tmp_path}/b:{tmp_path}/c", "HOME": str(tmp_path)}
    found = [state_dir(environ)]
    for name in ("ACP_HOME", "STATE_DIRECTORY"):
        # An empty value counts as unset.
        environ[name] = ""
        found.append(state_dir(environ))
    assert found[:2] == [tmp_path / "a", tmp_path / "b"]
    assert found[2].name == "acp-agent"
    assert database_path({"ACP_HOME": str(tmp_path)}) == tmp_path / "acp.db"


@linux
@pytest.mark.parametrize("chosen", ["", "relative"])
def test_an_xdg_variable_that_is_empty_or_relative_is_ignored(tmp_path: Path, chosen: str) -> None:
    environ = {"HOME": str(tmp_path), "XDG_STATE_HOME": chosen, "XDG_CONFIG_HOME": chosen}
    assert state_dir(environ) == tmp_path / ".local/state/acp-agent"
    assert config_file(environ) == tmp_path / ".config/acp-agent/config.toml"


@linux
def test_our_xdg_rule_is_the_one_of_platformdirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import platformdirs

    for value in (f"{tmp_path}/x", ""):
        environ = {"HOME": str(tmp_path), "XDG_STATE_HOME": value, "XDG_CONFIG_HOME": value}
        for name, text in environ.items():
            monkeypatch.setenv(name, text)
        assert state_dir(environ) == platformdirs.user_state_path("acp-agent", appauthor=False)
        assert config_file(environ).parent == platformdirs.user_config_path("acp-agent", appauthor=False)


def test_the_flag_beats_the_variable_beats_the_folder_beats_the_user(tmp_path: Path) -> None:
    names = ("flag", "variable", "here", "user/acp-agent")
    files = [tmp_path / name / "projects.toml" for name in names]
    for file in files:
        file.parent.mkdir(parents=True)
        file.touch()
    deep = tmp_path / "here/a/b"
    deep.mkdir(parents=True)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    environ = {"ACP_PROJECTS": str(files[1]), "XDG_CONFIG_HOME": str(tmp_path / "user")}
    assert find_projects_file(deep, "../../../flag", environ) == files[0]
    assert find_projects_file(deep, "", environ) == files[1]
    environ["ACP_PROJECTS"] = ""
    assert find_projects_file(deep, None, environ) == files[2]
    if sys.platform == "linux":
        assert find_projects_file(elsewhere, None, environ) == files[3]


def test_a_missing_projects_file_says_where_it_was_looked_for_and_names_init(tmp_path: Path) -> None:
    environ = {"XDG_CONFIG_HOME": str(tmp_path / "user"), "HOME": str(tmp_path)}
    with pytest.raises(UsageError) as error:
        find_projects_file(tmp_path, None, environ)
    assert str(tmp_path) in error.value.what
    assert "acp init" in (error.value.hint or "")
    assert error.value.exit_code == ExitCode.USAGE


@pytest.mark.parametrize("option", ["--projects", "ACP_PROJECTS"])
def test_a_named_file_that_is_missing_is_never_replaced_by_another(tmp_path: Path, option: str) -> None:
    (tmp_path / "projects.toml").touch()
    flag, environ = ("no", {}) if option == "--projects" else (None, {"ACP_PROJECTS": "no"})
    with pytest.raises(UsageError) as error:
        find_projects_file(tmp_path, flag, environ)
    assert error.value.what == f"{option}: no such file: {tmp_path}/no"


def test_paths_are_shown_relative_below_the_current_folder_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert shown_path(tmp_path / "a/b.toml") == "a/b.toml"
    assert shown_path(Path("b.toml")) == "b.toml"
    assert shown_path(tmp_path.parent / "b.toml") == str(tmp_path.parent / "b.toml")


def test_a_path_in_a_file_is_relative_to_its_folder_and_may_use_the_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert resolved(tmp_path / "x", "../api") == (tmp_path / "api").resolve()
    assert resolved(tmp_path / "x", "~/api") == (tmp_path / "api").resolve()
    assert resolved(tmp_path / "x", "/api") == Path("/api")


def test_finding_and_listing_projects_imports_nothing_heavy(tmp_path: Path) -> None:
    (tmp_path / "projects.toml").write_text('version = 1\n[projects.a]\npath = "."\ntags = ["x"]\n')
    program = (
        "import os, sys; from pathlib import Path\n"
        "from acp_agent.config import index, paths\n"
        f"file = paths.find_projects_file(Path({str(tmp_path)!r}), None, os.environ)\n"
        "assert index.read_index(file)[0].name == 'a'; paths.database_path(os.environ)\n"
        "heavy = {'pydantic', 'anyio', 'platformdirs', 'tomlkit', 'difflib', 'dataclasses', 'httpx', 'rich'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    here = Path(acp_agent.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=here)
    assert done.stdout == "[]\n"
