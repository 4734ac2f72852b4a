"""Which runs a worker leaves for others, what it says of them, and how a result comes back from a clone."""

import base64
from pathlib import Path
from typing import Any

import pytest

from acp_agent import __version__
from acp_agent.domain.errors import AcpAgentError, Refused, UsageError
from acp_agent.domain.request import RunRequest, Workplace
from acp_agent.fleet import clones
from acp_agent.fleet.clones import Clones, brought, check_url
from acp_agent.fleet.fitting import Fitting, why_not
from acp_agent.fleet.worktree import GitWorkplaces
from acp_agent.runs.runner import new_run
from acp_agent.store.journal import StoredJournal
from acp_agent.testing.repos import git, make_repo

AWAY = "/nowhere/alpha"
OURS = {"policy": "1", "hooks": "1", "mcp": "1"}
UNPRICED = "nobody knows here what local/n costs, and where it was queued one did"
OTHERS = "config.toml says other policy and mcp"


def began(place: Workplace | None = None, path: str | None = None, **request: Any) -> list[dict[str, Any]]:
    """How a run of `any` began, as the record tells it."""
    asked = {"queue": "any", "project": "alpha", "read_only": True, "version": __version__, "models": ("openai/m",)}
    where = place or Workplace(kind="inplace", root=AWAY)
    told = RunRequest(prompt="look", workplace=where, **{**asked, **request})
    facts: list[dict[str, Any]] = [{"request": told.model_dump(mode="json")}]
    return facts if path is None else [*facts, {"path": path}]


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        (began(version="0.0.9"), f"it was queued by acp-agent 0.0.9, this is {__version__}"),
        (began(version="0.0.9", queue="host.b"), f"it was queued by acp-agent 0.0.9, this is {__version__}"),
        (began(queue="host.b"), None),
        (began(), f"{AWAY} is not here, and project alpha has no url to clone"),
        (began(read_only=False), f"it works in {AWAY} itself, which is not here"),
        (began(Workplace(kind="inplace", root="/")), None),
        (began(Workplace(kind="inplace", root=AWAY, url="https://example.org/a.git", base="0" * 40)), None),
        (began(path="/nowhere/worktrees/b/alpha"), "it has begun in /nowhere/worktrees/b/alpha, which is not here"),
        (began(path="/"), None),
        (began(Workplace(kind="inplace", root="/"), config=OURS), None),
        (began(path="/", config={**OURS, "policy": "2", "mcp": "2"}), f"{OTHERS} here than where it was queued"),
        (began(queue="host.b", config={"policy": "2"}), None),
        (began(path="/", models=("openai/m", "local/n"), config={"prices": "known"}), UNPRICED),
        (began(path="/", models=("openai/m",), config={"prices": "known"}), None),
        (began(path="/", models=("local/n",)), None),
    ],
)
def test_a_run_is_left_for_a_reason(facts: list[dict[str, Any]], why: str | None) -> None:
    assert why_not(facts, OURS, lambda model: model == "openai/m") == why


async def test_a_reason_is_said_once_and_is_no_progress_of_the_run(tmp_path: Path) -> None:
    here = Workplace(kind="inplace", root=str(tmp_path))
    asked = RunRequest(prompt="look", workplace=here, models=("openai/m",), project="alpha", queue="any")
    away = asked.model_copy(update={"workplace": here.model_copy(update={"root": AWAY})})
    async with StoredJournal(tmp_path / "acp.db") as journal:
        await journal.create([new_run(asked, run_id="r_here"), new_run(away, run_id="r_away")], "test")
        fits = Fitting(journal, {"ACP_HOST": "b"})
        assert await fits(["r_here", "r_away"]) == {"r_here"}
        assert await fits(["r_away"]) == frozenset()
        assert [event.data.type for event in await journal.events("r_away")] == ["run_started", "passed_over"]
        assert await journal.beginnings(["r_none"]) == {}


@pytest.mark.parametrize("url", ["https://me:" + "word@example.org/a.git", "../a.git", "-oProxyCommand=id", "~/a.git"])
def test_a_url_that_others_cannot_use_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="alpha"):
        check_url("alpha", url)


@pytest.mark.parametrize("url", [None, "https://example.org/a.git", "ssh://git@example.org/a.git", "git@b.org:a.git"])
def test_a_url_that_others_can_use_is_taken(url: str | None) -> None:
    check_url("alpha", url)


async def cloned(tmp_path: Path, places: GitWorkplaces) -> tuple[Workplace, Path]:
    """A workplace of a checkout that was moved away, with one change in its worktree in a clone."""
    checkout = make_repo(tmp_path / "alpha")
    base = git(checkout, "rev-parse", "HEAD")
    away = checkout.rename(tmp_path / "origin")
    place = Workplace(
        kind="worktree",
        root=str(checkout),
        worktree=str(tmp_path / "elsewhere" / "b_1" / "alpha"),
        branch="acp/b_1/alpha",
        base=base,
        target="main",
        url=str(away),
    )
    path = Path(await places.prepare("r_1", place, None))
    (path / "new.txt").write_text("new\n", encoding="utf-8")
    return place, away


@pytest.fixture
def places(tmp_path: Path) -> GitWorkplaces:
    """Workplaces of a host whose state is below `tmp_path`; nothing is run in them."""

    async def nothing(*_: object, **__: object) -> Any:
        raise AssertionError("no command is run")

    return GitWorkplaces(nothing, nothing, state=tmp_path / "state")


async def test_a_commit_comes_back_once_and_never_over_what_a_person_has(tmp_path: Path, places: GitWorkplaces) -> None:
    place, away = await cloned(tmp_path, places)
    made = await places.commit("r_1", place, "Add a file")
    assert made == await places.commit("r_1", place, "Add a file")
    assert (made.files, made.commit is None, made.bundle is None) == (1, False, False)
    with pytest.raises(UsageError, match="not on this host"):
        await brought(place, str(made.commit), str(made.bundle))
    here = Clones(tmp_path / "state")
    assert here.holding() == ["r_1"]
    await here.drop("r_1", here.of(place, "r_1"))
    assert here.holding() == []
    away.rename(place.root)
    for _ in range(2):
        await brought(place, str(made.commit), str(made.bundle))
        assert git(place.root, "rev-parse", str(place.branch)) == made.commit
    git(place.root, "branch", "--force", str(place.branch), "main")
    with pytest.raises(Refused, match="holds other commits"):
        await brought(place, str(made.commit), str(made.bundle))
    git(place.root, "branch", "-D", str(place.branch))
    with pytest.raises(AcpAgentError):
        await brought(place, str(made.commit), base64.b64encode(b"no bundle").decode())


async def test_a_result_that_is_too_large_stays_where_it_is(
    tmp_path: Path, places: GitWorkplaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, _ = await cloned(tmp_path, places)
    monkeypatch.setattr(clones, "LARGEST", 10)
    with pytest.raises(AcpAgentError, match="too large to be carried back") as told:
        await places.commit("r_1", place, "Add a file")
    assert place.branch is not None and place.branch in str(told.value.hint)
