"""`acp run @outdated`: the task of this repository's own projects.toml against a real index on loopback."""

import contextlib
import json
import re
import socket
import subprocess
import threading
import tomllib
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from acp_agent.testing import warm
from acp_agent.testing.model_server import ModelServer
from acp_agent.testing.request import Request
from acp_agent.testing.script import Step
from tests.acceptance.test_run_cli import environment

ROOT = Path(__file__).parents[2]
NEWEST = {"ahttp": "2.0.1", "btoml": "1.4.0", "cclick": "8.3.0"}
USED = {"one": {"ahttp": "1.9.0", "btoml": "1.4.0"}, "two": {"cclick": "8.3.0"}}
RIGHT = {"one": {"outdated": ["ahttp 1.9.0 -> 2.0.1"], "unknown": []}, "two": {"outdated": [], "unknown": []}}
UNKNOWN = "unknown: no network"


@contextlib.contextmanager
def an_index() -> Iterator[int]:
    """PyPI's JSON API for three packages, on a free port of 127.0.0.1."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.removeprefix("/pypi/").removesuffix("/json")
            found = self.path == f"/pypi/{name}/json" and name in NEWEST
            data = {
                "info": {"description": "long " * 40_000, "name": name, "version": NEWEST.get(name)},
                "releases": {},
            }
            body = json.dumps(data if found else {"message": "Not Found"}).encode()
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def a_careful_model(port: int) -> Callable[[Request], Step]:
    """It reads what is used, looks each of it up, and answers with what it was told: with a guess where it was not."""

    def answer(request: Request) -> Step:
        results = [str(result) for result in request.tool_results]
        if not results:
            return Step(tools=[("read_file", {"path": "pyproject.toml"})])
        used = dict(re.findall(r'"([a-z]+)==([0-9.]+)"', results[0]))
        if len(results) == 1:
            address = f"http://127.0.0.1:{port}/pypi"
            return Step(
                tools=[("fetch", {"url": f"{address}/{name}/json", "pointer": "/info/version"}) for name in used]
            )
        newest = [(re.findall(r'^"([0-9.]+)"$', result, re.MULTILINE) or ["99.9"])[0] for result in results[1:]]
        outdated = [
            f"{name} {used[name]} -> {new}" for name, new in zip(used, newest, strict=True) if new != used[name]
        ]
        return Step(text=json.dumps({"outdated": outdated, "unknown": []}))

    return answer


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two projects and the task as it is shipped."""
    projects = ["version = 1"]
    for name, used in USED.items():
        (tmp_path / name).mkdir()
        needs = ", ".join(f'"{package}=={version}"' for package, version in used.items())
        (tmp_path / name / "pyproject.toml").write_text(f'[project]\nname = "{name}"\ndependencies = [{needs}]\n')
        projects.append(f'[projects.{name}]\npath = "{name}"\ntags = []')
    shipped = (ROOT / "projects.toml").read_text()
    task = shipped[shipped.index("[tasks.outdated]") :].split("\n\n[")[0]
    assert tomllib.loads(task)["tasks"]["outdated"]["egress"] == ["registries"]
    (tmp_path / "projects.toml").write_text("\n".join([*projects, task]) + "\n")
    monkeypatch.setenv("ACP_CONFIG", str(tmp_path / "config.toml"))
    return tmp_path


def configured(folder: Path, registries: str) -> None:
    """The user's config.toml."""
    (folder / "config.toml").write_text(f"[egress.registries]\n{registries}\n")


def run(folder: Path, server: ModelServer, *words: str) -> subprocess.CompletedProcess[str]:
    """`acp ...` as a process of its own."""
    return warm.run(*words, cwd=folder, environment=environment(server))


def answers(ended: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The answer of each project."""
    return {row["project"]: row["answer"] for row in json.loads(ended.stdout)["projects"]}


def test_it_is_right_against_an_index(folder: Path) -> None:
    """By look-ups, which stand on record; the plan says what can be reached."""
    with an_index() as port, ModelServer(a_careful_model(port)) as server:
        configured(folder, f'domains = ["127.0.0.1:{port}"]\nprivate = true')
        planned = run(folder, server, "run", "@outdated", "--all", "--plan", "-o", "json")
        assert [row["egress"] for row in json.loads(planned.stdout)["projects"]] == [[f"127.0.0.1:{port}"]] * 2
        ended = run(folder, server, "run", "@outdated", "--all", "-o", "json")
        assert (ended.returncode, answers(ended)) == (0, RIGHT), ended.stderr
        assert f"network: 127.0.0.1:{port}\n" in ended.stderr
        told = run(folder, server, "logs")
        assert told.stdout.count(f"fetch: ok (reached 127.0.0.1:{port})") == 3


@pytest.mark.parametrize("closed", ["domains = []", 'domains = ["pypi.org"]\nprojects = false'])
def test_with_a_closed_network_the_answer_is_unknown(folder: Path, closed: str) -> None:
    """No model is asked, so none can guess; a person is told why before it starts."""
    configured(folder, closed)
    with ModelServer(a_careful_model(1)) as server:
        ended = run(folder, server, "run", "@outdated", "--all", "-o", "json")
        assert (ended.returncode, answers(ended)) == (0, {"one": UNKNOWN, "two": UNKNOWN}), ended.stderr
        assert not any(request.is_chat for request in server.requests)
    assert f"the network is closed: every answer will be {UNKNOWN!r}" in ended.stderr
    assert ("does not let projects files use 'registries'" in ended.stderr) == ("projects" in closed)


def test_a_guess_after_a_look_up_that_failed_is_no_answer(folder: Path) -> None:
    """The index is allowed and does not answer: what the model says then is not taken."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    configured(folder, f'domains = ["127.0.0.1:{port}"]\nprivate = true')
    with ModelServer(a_careful_model(port)) as server:
        ended = run(folder, server, "run", "@outdated", "-p", "one", "-o", "json")
        assert (ended.returncode, answers(ended)) == (0, {"one": UNKNOWN}), ended.stderr
        told = run(folder, server, "show", "-o", "table")
    assert UNKNOWN in told.stdout


def test_an_answer_without_a_look_up_is_refused(folder: Path) -> None:
    """Once it is told so and may look; then the run has failed."""
    with an_index() as port:
        configured(folder, f'domains = ["127.0.0.1:{port}"]\nprivate = true')
        with ModelServer([Step(text='{"outdated": ["x 1 -> 2"], "unknown": []}')] * 2) as server:
            ended = run(folder, server, "run", "@outdated", "-p", "two", "-o", "json")
            said = [request.prompt for request in server.requests]
    (row,) = json.loads(ended.stdout)["projects"]
    assert (ended.returncode, row["answer"]) == (1, None)
    assert "nothing was looked up" in row["message"]
    assert said[-1] == "That answer does not count: nothing was looked up. Look it up, then reply."
