# ruff: noqa: E501  (error texts stand on one line, as a person sees them)
"""The user's config.toml: what it says, what can be wrong in it, and the questions asked of it."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot

from acp_agent.config.settings import (
    Settings,
    load_settings,
    model_for,
    resolve_chain,
    resolve_keys,
    settings_not_in_force,
    settings_problems,
)
from acp_agent.config.settings_tables import (
    ModelAlias,
    Prices,
    Provider,
    Role,
    Sandbox,
    SettingsTable,
    ToolServer,
    UserBudget,
)
from acp_agent.domain.errors import UsageError
from acp_agent.domain.policy import Mode

SAMPLE = """\
# ~/.config/acp-agent/config.toml
[models.main]                                   # an alias: tried in this order
chain = ["litellm_proxy/glm-5-turbo", "ollama/qwen3", "openai/gpt-5-mini"]
[providers.litellm_proxy]
base_url = "http://127.0.0.1:4000/v1"
keys = ["env:LITELLM_KEY"]                      # a pool; never the key itself
max_concurrent = 8
[roles.coder]
model = "main"
policy = "auto"
max_cost = 0.50
[budget]
per_day = 20.0
[mcp.github]
command = "github-mcp-server"
args = ["stdio"]
[sandbox]
level = "required"                              # required | prefer | off
allow_domains = []
"""


@pytest.fixture
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.chdir(tmp_path)
    return {"ACP_CONFIG": str(tmp_path / "config.toml")}


def saved(environ: dict[str, str], text: str) -> dict[str, str]:
    Path(environ["ACP_CONFIG"]).write_text(text, encoding="utf-8")
    return environ


def aliases(**chains: tuple[str, ...]) -> Settings:
    return Settings(SettingsTable(models={name: ModelAlias(chain=list(chain)) for name, chain in chains.items()}))  # type: ignore[arg-type]


def test_the_sample_of_the_architecture_reads_as_it_says(environ: dict[str, str]) -> None:
    settings = load_settings(saved(environ, SAMPLE))
    chain = ("litellm_proxy/glm-5-turbo", "ollama/qwen3", "openai/gpt-5-mini")
    table = settings.table
    assert table.models["main"].chain == chain
    proxy = table.providers["litellm_proxy"]
    assert (proxy.base_url, proxy.keys, proxy.max_concurrent) == ("http://127.0.0.1:4000/v1", ("env:LITELLM_KEY",), 8)
    assert table.roles == {"coder": Role(model="main", policy=Mode.AUTO, max_cost=0.5)}
    assert table.budget == UserBudget(per_day=20.0)
    assert table.mcp == {"github": ToolServer(command="github-mcp-server", args=("stdio",))}
    assert table.sandbox == Sandbox()
    assert resolve_chain(settings, "main") == chain
    assert settings_not_in_force(settings) == []


def test_without_a_file_everything_is_the_default_but_a_named_file_must_exist(tmp_path: Path) -> None:
    settings = load_settings({"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)})
    assert settings == Settings()
    assert (settings.role("coder"), settings.provider("openai"), settings.prices()) == (Role(), Provider(), {})
    assert settings_not_in_force(settings) == []
    with pytest.raises(UsageError, match=r"config\.toml: no such file"):
        load_settings({"ACP_CONFIG": str(tmp_path / "config.toml")})


BAD = """\
modls = 1
[models.main]
chain = ["openai/gpt", "fast", "/x"]
[models.fast]
chain = ["slow"]
[models.slow]
chain = ["fast"]
[models.none]
chain = []
[models.text]
chain = "openai/gpt"
[models."a/b"]
chain = ["openai/gpt"]
[providers.openai]
base_url = "localhost:1"
keys = ["sk-verysecretverysecret"]
max_concurrent = 0
[providers.other]
base_url = "http://me:secret@host/v1"
keys = "env:KEY"
prices = { x = { input = -1 } }
[roles.coder]
model = "mian"
policy = "atuo"
max_cost = inf
max_steps = 1.5
max_time = 60
[budget]
per_week = 1
[mcp.one]
[mcp.two]
command = "x"
url = "http://localhost/mcp"
[sandbox]
level = "on"
"""


def test_every_problem_is_reported_at_once_and_no_secret_is_shown(environ: dict[str, str]) -> None:
    found = [f"{problem} | {problem.hint}" for problem in settings_problems(saved(environ, BAD))]
    assert "secret" not in "".join(found)
    assert found == snapshot(
        [
            "config.toml:1: modls: unknown key | did you mean 'models'?",
            "config.toml:3: models.main.chain: the chain of 'main' leads in a circle: fast -> slow -> fast | take one link out",
            "config.toml:5: models.fast.chain: the chain of 'fast' leads in a circle: fast -> slow -> fast | take one link out",
            "config.toml:7: models.slow.chain: the chain of 'slow' leads in a circle: slow -> fast -> slow | take one link out",
            "config.toml:9: models.none.chain: should not be empty | None",
            "config.toml:11: models.text.chain: should be a list | None",
            "config.toml:12: models.'a/b': should begin with a letter or digit and go on with letters, digits, '.', '_' or '-' | None",
            'config.toml:15: providers.openai.base_url: should be an address such as "http://127.0.0.1:4000/v1" | None',
            'config.toml:16: providers.openai.keys: should be a list of "env:NAME": keys are named here, never written | None',
            "config.toml:17: providers.openai.max_concurrent: should be more than 0 | None",
            "config.toml:19: providers.other.base_url: should not hold a name or password; use keys | None",
            'config.toml:20: providers.other.keys: should be a list of "env:NAME": keys are named here, never written | None',
            "config.toml:21: providers.other.prices.x.input: should be at least 0 | None",
            "config.toml:21: providers.other.prices.x.output: is missing | None",
            "config.toml:23: roles.coder.model: no model alias named 'mian' | did you mean 'main'?",
            "config.toml:24: roles.coder.policy: should be one of plan, ask, edit, auto | did you mean 'auto'?",
            "config.toml:25: roles.coder.max_cost: should be a finite number | None",
            "config.toml:26: roles.coder.max_steps: should be a whole number | None",
            'config.toml:27: roles.coder.max_time: should be a duration such as "90s", "30m", "8h" or "1h30m" | None',
            "config.toml:29: budget.per_week: unknown key | known: per_batch, per_day, per_month",
            "config.toml:30: mcp.one: should have either a command or a url | None",
            "config.toml:31: mcp.two: should have either a command or a url | None",
            "config.toml:35: sandbox.level: should be one of required, prefer, off | known: off, prefer, required",
        ]
    )
    with pytest.raises(UsageError) as error:
        load_settings(environ)
    assert (error.value.what, error.value.hint) == snapshot(
        ("config.toml:1: modls: unknown key (+22 more)", "did you mean 'models'?")
    )


def test_broken_toml_is_one_problem_and_no_file_is_none(environ: dict[str, str], tmp_path: Path) -> None:
    assert [str(problem) for problem in settings_problems(saved(environ, "[models\n"))] == [
        "config.toml:1: broken TOML: Expected ']' at the end of a table declaration, column 8"
    ]
    assert settings_problems({"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "none")}) == []


def test_an_alias_may_name_aliases_and_each_model_is_tried_once() -> None:
    settings = aliases(main=("fast", "openai/a", "deep"), fast=("ollama/x",), deep=("fast", "openai/b", "openai/a"))
    assert resolve_chain(settings, "main") == ("ollama/x", "openai/a", "openai/b")
    assert resolve_chain(settings, "openrouter/org/model:free") == ("openrouter/org/model:free",)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mian", ("no model alias named 'mian'", "did you mean 'main'?")),
        ("/x", ("'/x' is no model", 'name it "provider/model", such as openai/gpt-5-mini')),
        ("x/", ("'x/' is no model", 'name it "provider/model", such as openai/gpt-5-mini')),
        ("x/a b", ("'x/a b' is no model", 'name it "provider/model", such as openai/gpt-5-mini')),
        ("a", ("the chain of 'a' leads in a circle: a -> b -> a", "take one link out")),
        ("loop", ("the chain of 'loop' leads in a circle: loop -> loop", "take one link out")),
        ("into", ("the chain of 'into' leads in a circle: a -> b -> a", "take one link out")),
    ],
)
def test_a_name_that_leads_nowhere_says_so(name: str, expected: tuple[str, str]) -> None:
    settings = aliases(main=("openai/a",), a=("b",), b=("openai/x", "a"), loop=("loop",), into=("a",))
    with pytest.raises(UsageError) as error:
        resolve_chain(settings, name)
    assert (error.value.what, error.value.hint) == expected


def test_a_name_without_any_alias_is_told_how_to_name_a_model() -> None:
    with pytest.raises(UsageError) as error:
        resolve_chain(Settings(), "gpt-5")
    assert error.value.hint == "name a model with its provider, as openai/gpt-5, or define the alias in config.toml"


links = st.sampled_from(["a", "b", "c", "d", "x/1", "x/2", "x/3"])
chains = st.fixed_dictionaries({name: st.lists(links, min_size=1, max_size=4) for name in "abcd"})


@given(chains)
def test_a_chain_is_what_walking_it_gives_or_a_circle(found: dict[str, list[str]]) -> None:
    def walk(name: str, way: tuple[str, ...]) -> list[str]:
        if name in way:
            raise RecursionError
        return [model for link in found[name] for model in walk(link, (*way, name))] if name in found else [name]

    settings = aliases(**{name: tuple(chain) for name, chain in found.items()})
    try:
        expected = tuple(dict.fromkeys(walk("a", ())))
    except RecursionError:
        with pytest.raises(UsageError, match="circle"):
            resolve_chain(settings, "a")
    else:
        assert resolve_chain(settings, "a") == expected


def test_thousands_of_aliases_that_fan_out_are_resolved_at_once() -> None:
    steps = {f"m{number}": (f"m{number + 1}", f"m{number + 1}") for number in range(3000)}
    assert resolve_chain(aliases(**steps, m3000=("x/y",)), "m0") == ("x/y",)


def test_the_flag_beats_the_environment_beats_the_file_of_the_project_beats_the_user() -> None:
    table = SettingsTable(
        models={"main": ModelAlias(chain=["x/main"])},  # type: ignore[arg-type]
        roles={"writer": Role(model="x/role")},
    )
    layers: dict[str, str | None] = {
        "flag": "x/flag",
        "variable": "x/variable",
        "task": "x/task",
        "project": "x/project",
    }
    found = []
    for name in (None, *layers):
        if name:
            layers[name] = ""
        found.append(
            model_for(
                Settings(table),
                flag=layers["flag"],
                environ={"ACP_MODEL": layers["variable"] or ""},
                task=layers["task"],
                project=layers["project"],
                role="writer",
            )
        )
    assert found == [("x/flag",), ("x/variable",), ("x/task",), ("x/project",), ("x/role",)]
    nothing = {"flag": None, "environ": {}, "task": None, "project": None}
    assert model_for(Settings(table), **nothing, role="coder") == ("x/main",)  # type: ignore[arg-type]
    assert model_for(Settings(), **nothing, role="coder") is None  # type: ignore[arg-type]


def test_an_unknown_role_is_refused_with_the_nearest() -> None:
    settings = Settings(SettingsTable(roles={"writer": Role()}))
    with pytest.raises(UsageError) as error:
        settings.role("wirter")
    assert (error.value.what, error.value.hint) == ("no role named 'wirter'", "did you mean 'writer'?")


def test_keys_are_those_of_the_pool_that_are_set(environ: dict[str, str]) -> None:
    text = '[providers.p]\nkeys = ["env:ONE", "env:TWO", "env:THREE", "env:FOUR"]\n'
    provider = load_settings(saved(environ, text)).provider("p")
    assert resolve_keys(provider, {"ONE": "k1", "TWO": "", "FOUR": "k1", "OTHER": "k2"}) == ("k1",)
    assert resolve_keys(provider, {"ONE": "k1", "THREE": "k3"}) == ("k1", "k3")


def test_prices_of_a_provider_beat_those_of_an_alias(environ: dict[str, str]) -> None:
    settings = load_settings(
        saved(
            environ,
            '[models.main]\nchain = ["p/a", "p/b"]\nprices = { input = 1, output = 2 }\n'
            "[providers.p.prices]\nb = { input = 3, output = 4, cached_input = 0.5 }\n"
            "'org/c' = { input = 0, output = 0 }\n",
        )
    )
    assert settings.prices() == {
        "p/a": Prices(input=1.0, output=2.0),
        "p/b": Prices(input=3.0, output=4.0, cached_input=0.5),
        "p/org/c": Prices(input=0.0, output=0.0),
    }


def test_a_misspelt_key_is_told_before_the_one_it_makes_missing(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[models.main]\nchian = ["openai/small"]\n')
    with pytest.raises(UsageError) as error:
        load_settings(environ)
    assert str(error.value).endswith("config.toml:2: models.main.chian: unknown key (+1 more)")
    assert error.value.hint == "did you mean 'chain'?"


@pytest.mark.parametrize(
    ("name", "whole"), [("gpt-5-mini", "openai/gpt-5-mini"), ("claude-haiku-4-5", "anthropic/claude-haiku-4-5")]
)
def test_a_model_without_its_provider_is_told_with_one(name: str, whole: str) -> None:
    with pytest.raises(UsageError) as error:
        resolve_chain(Settings(), name)
    assert whole in (error.value.hint or "")
