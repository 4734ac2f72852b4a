"""What the user's configuration opens of what is asked for, and what a projects file can not."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acp_agent.config.commands import Command
from acp_agent.config.egress import Granted, granted, private_hosts, web_search_secrets
from acp_agent.config.projects import load_projects, problems
from acp_agent.config.settings import Settings, load_settings, settings_problems
from acp_agent.config.settings_tables import EgressPreset, Role, Sandbox, SettingsTable
from acp_agent.domain.egress import PRESETS, AllowList, Endpoint
from acp_agent.domain.errors import UsageError

CONFIG = """\
[sandbox]
allow_domains = ["docs.example.org"]
[roles.coder]
egress = ["company"]
[egress.company]
domains = ["*.corp.example", "index.corp.example:8443"]
private = true
[egress.shared]
domains = ["shared.example"]
projects = true
[web_search]
url = "http://127.0.0.1:8888/search"
key = "env:SEARCH_KEY"
"""
HOSTS = st.lists(st.sampled_from(["a.example", "*.b.example", "c.example:8080"]), unique=True)


def saved(folder: Path, text: str) -> dict[str, str]:
    """The environment that names a config.toml with `text`."""
    (folder / "config.toml").write_text(text)
    return {"ACP_CONFIG": str(folder / "config.toml"), "SEARCH_KEY": "of-the-engine"}


def test_a_run_reaches_what_the_user_allows_of_what_is_asked(tmp_path: Path) -> None:
    """Their own hosts and the role's presets always; a projects file gets what it may ask for."""
    environ = saved(tmp_path, CONFIG)
    settings = load_settings(environ)
    own = ("docs.example.org", "*.corp.example", "index.corp.example:8443")
    assert granted(settings, "coder") == Granted(own)
    assert granted(settings, "coder", ["registries"]) == Granted((*own, *PRESETS["registries"]))
    assert granted(settings, "coder", ["shared", "company"]) == Granted((*own, "shared.example"), ("company",))
    assert private_hosts(settings).allows(Endpoint.parse("index.corp.example:8443"))
    assert not private_hosts(settings).allows(Endpoint.parse("docs.example.org:443"))
    assert web_search_secrets(settings, environ) == ["of-the-engine"]


def test_without_a_configuration_only_what_comes_with_acp_can_be_asked_for() -> None:
    """And nothing is reached unasked."""
    assert granted(Settings(), "coder") == Granted(())
    assert granted(Settings(), "coder", ["registries"]).hosts == PRESETS["registries"]
    with pytest.raises(UsageError, match="no egress preset named 'registry'") as caught:
        granted(Settings(), "coder", ["registry"])
    assert caught.value.hint == "did you mean 'registries'?"


def test_a_table_of_the_user_stands_in_the_place_of_ours(tmp_path: Path) -> None:
    """With a mirror, with nothing at all, or for their own roles alone."""
    for text, hosts, withheld in (
        ('domains = ["mirror.example"]', ("mirror.example",), ()),
        ("domains = []", (), ()),
        ('domains = ["pypi.org"]\nprojects = false', (), ("registries",)),
    ):
        settings = load_settings(saved(tmp_path, f"[egress.registries]\n{text}\n"))
        assert granted(settings, "coder", ["registries"]) == Granted(hosts, withheld)


@given(HOSTS, HOSTS, st.booleans(), st.lists(st.sampled_from(["mine", "registries"]), unique=True))
def test_a_projects_file_never_reaches_more_than_the_user_lets_it(
    own: list[str], mine: list[str], projects: bool, asked: list[str]
) -> None:
    """What it asks for is either among the presets it may use, or withheld; it never takes anything away either."""
    preset = EgressPreset(domains=tuple(mine), projects=projects)
    table = SettingsTable(sandbox=Sandbox(allow_domains=tuple(own)), egress={"mine": preset}, roles={"coder": Role()})
    before, after = granted(Settings(table), "coder"), granted(Settings(table), "coder", asked)
    allowed = {*own, *(mine if projects and "mine" in asked else ())}
    allowed |= {*PRESETS["registries"]} if "registries" in asked else set()
    assert set(before.hosts) <= set(after.hosts) == allowed
    assert after.withheld == (("mine",) if "mine" in asked and not projects else ())
    assert len(AllowList.of(after.hosts).patterns) == len(allowed)


def test_what_is_wrong_in_config_toml_is_told_with_its_line(tmp_path: Path) -> None:
    """All of it at once."""
    environ = saved(
        tmp_path,
        """\
[sandbox]
allow_domains = ["https://pypi.org", "x.org"]
[roles.coder]
egress = ["registris"]
[egress.mine]
domains = ["*.org"]
[web_search]
url = "ftp://x"
key = "abc"
""",
    )
    told = [str(problem).removeprefix(f"{tmp_path}/config.toml:") for problem in settings_problems(environ)]
    assert told == [
        "2: sandbox.allow_domains: 'https://pypi.org' should be a host without scheme and path, such as pypi.org",
        "4: roles.coder.egress: no egress preset named 'registris'",
        "6: egress.mine.domains: '*.org' is too wide: name at least two labels, such as *.example.org",
        '8: web_search.url: should be an address such as "http://127.0.0.1:4000/v1"',
        '9: web_search.key: should be "env:NAME": a key is named here, never written',
    ]


def test_an_egress_that_commands_get_is_agreed_to_as_commands_are(tmp_path: Path) -> None:
    """A task that only reads gets no commands; one that needs a network says which."""
    path = tmp_path / "projects.toml"
    path.write_text(
        """\
version = 1
[projects.a]
path = "."
tags = []
[tasks.look]
prompt = "look"
read_only = true
egress = ["registries"]
[tasks.update]
prompt = "update"
egress = ["registries", "company"]
"""
    )
    assert load_projects(path).commands() == (Command("tasks.update.egress", "registries, company"),)
    path.write_text(path.read_text() + '[tasks.none]\nprompt = "x"\nneeds_network = true\n')
    assert [problem.what for problem in problems(path)] == ["needs an egress to look things up with"]
