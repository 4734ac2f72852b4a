"""Commands and HTTP calls that a person declared: what is handed to them, what comes back, and what they cannot do."""

import json
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from acp_agent.config.tools_tables import schema_of_parameters
from acp_agent.domain.declared import CommandCall, DeclaredTool, HttpCall
from acp_agent.domain.errors import ToolError
from acp_agent.domain.message import ToolCall
from acp_agent.domain.redact import Redactor
from acp_agent.domain.tool import Intent, Risk, ToolResult
from acp_agent.tools.declared import declared_tools
from acp_agent.tools.guard import Guard
from acp_agent.tools.prepared import Prepared
from acp_agent.tools.sandbox.model import Sandbox
from acp_agent.tools.template import filled_argv, filled_json, filled_url
from acp_agent.tools.workspace import Workspace

pytestmark = [pytest.mark.anyio]
PARAMETERS = schema_of_parameters({"name": "str", "count": "int?", "files": "list[str]?"})


def declared(call: CommandCall | HttpCall, **changes: Any) -> DeclaredTool:
    known = {"name": "act", "description": "Act.", "parameters": PARAMETERS, "risk": Risk.EXTERNAL, "timeout": 20.0}
    return DeclaredTool(**{**known, "call": call, **changes})


def guard_of(root: Path, tool: DeclaredTool, environ: Mapping[str, str] | None = None) -> Guard:
    tools = declared_tools([tool], Sandbox(), environ or {})
    return Guard({one.name: one for one in tools}, Workspace.at(root), Redactor(["hunter2-hunter2"]))


async def use(guard: Guard, **arguments: Any) -> ToolResult:
    call = ToolCall(call_id="c1", name="act", arguments=json.dumps(arguments))
    prepared = await guard.prepare(call, {}, "key-1")
    return prepared if isinstance(prepared, ToolResult) else await prepared.run()


@pytest.mark.parametrize(
    ("template", "values", "becomes"),
    [
        (["x", "{name}"], {"name": "a b; rm -rf ~"}, ["x", "a b; rm -rf ~"]),
        (["x", "--n={name}"], {"name": "-v"}, ["x", "--n=-v"]),
        (["x", "--", "{name}"], {"name": "-v"}, ["x", "--", "-v"]),
        (["x", "{count}"], {"count": -3}, ["x", "-3"]),
        (["x", "--count={count}", "{files}"], {}, ["x"]),
        (["x", "{files}"], {"files": ["a", "b c"]}, ["x", "a", "b c"]),
        (["x", "{name}{count}"], {"name": "{count}", "count": 1}, ["x", "{count}1"]),
        (["x", "{flag}"], {"flag": True}, ["x", "true"]),
    ],
)
def test_a_value_stays_one_argument(template: list[str], values: dict[str, Any], becomes: list[str]) -> None:
    assert filled_argv(template, values) == becomes


@pytest.mark.parametrize("values", [{"name": "--delete-all"}, {"name": ["ok", "-f"]}, {"name": "a\0b"}])
def test_a_value_is_never_an_option_of_the_program(values: dict[str, Any]) -> None:
    with pytest.raises(ToolError) as caught:
        filled_argv(["x", "{name}"], values)
    assert caught.value.kind == "invalid_arguments"


def test_values_are_quoted_for_their_place() -> None:
    assert filled_url("https://e.org/{a}?q={b}", {"a": "../x?y#z", "b": "ü&c=1"}) == (
        "https://e.org/..%2Fx%3Fy%23z?q=%C3%BC%26c%3D1"
    )
    assert json.loads(filled_json('{"a": {a}, "b": {b}}', {"a": 'x", "admin": "1'})) == {
        "a": 'x", "admin": "1',
        "b": None,
    }


@pytest.mark.bwrap
async def test_a_command_gets_its_arguments_its_key_and_only_the_variables_it_declares(root: Path) -> None:
    script = root / "act.sh"
    script.write_text('#!/bin/sh\necho "$1 $ACP_CALL_KEY $DECLARED ${HIDDEN:-hidden}"; cat; echo; echo made > made\n')
    script.chmod(0o755)
    tool = declared(CommandCall(argv=("./act.sh", "{name}")), env=("DECLARED", "ABSENT"))
    environ = {"DECLARED": "hunter2-hunter2", "HIDDEN": "no"}
    result = await use(guard_of(root, tool, environ), name="a b", count=2)
    assert result.model_copy(update={"seconds": None}) == ToolResult(
        status="ok",
        output='a b key-1 [redacted] hidden\n{"name": "a b", "count": 2}\n',
        sandbox="bwrap",
        exit_status=0,
        origin="command",
    )
    assert (root / "made").read_text() == "made\n"


@pytest.mark.bwrap
@pytest.mark.parametrize(
    ("argv", "timeout", "kind"),
    [(("sh", "-c", "exit 4"), 20.0, "exit_status"), (("no-such-program",), 20.0, "not_started"),
     (("sleep", "60"), 0.3, "timeout")],
)  # fmt: skip
async def test_a_command_that_fails_is_an_error_with_its_kind(
    root: Path, argv: tuple[str, ...], timeout: float, kind: str
) -> None:
    result = await use(guard_of(root, declared(CommandCall(argv=argv), timeout=timeout)), name="x")
    assert (result.status, result.kind) == ("error", kind)


@pytest.mark.bwrap
@pytest.mark.parametrize(("status", "outcome"), [(0, "happened"), (1, "again"), (2, "unknown")])
async def test_its_verify_program_decides_after_a_crash(root: Path, status: int, outcome: str) -> None:
    verify = ("sh", "-c", f"test $ACP_CALL_KEY = old-key && exit {status}; exit 9")
    guard = guard_of(root, declared(CommandCall(argv=("echo", "{name}")), verify=verify))
    call = ToolCall(call_id="c1", name="act", arguments='{"name": "x"}')
    found = await guard.recover(call, Intent(title="act", key="old-key"), {})
    assert outcome == ("unknown" if found is None else "happened" if isinstance(found, ToolResult) else "again")


@pytest.mark.bwrap
async def test_its_dry_run_and_compensation_are_programs_too(root: Path) -> None:
    tool = declared(
        CommandCall(argv=("sh", "-c", "echo done > {name}")),
        dry_run=("echo", "would make {name}"),
        compensate=("rm", "{name}"),
        parameters=schema_of_parameters("name: str"),
    )
    guard = guard_of(root, tool)
    call = ToolCall(call_id="c1", name="act", arguments='{"name": "thing"}')
    prepared = await guard.prepare(call, {}, "k")
    assert isinstance(prepared, Prepared)
    assert await prepared.rehearse() == "would make thing\n"
    assert not (root / "thing").exists()
    await prepared.run()
    assert (root / "thing").exists()
    undone = await guard.compensate(call, prepared.intent)
    assert undone is not None and undone.status == "ok"
    assert not (root / "thing").exists()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({}, "'name' is a required property"),
        ({"name": 3}, "name: 3 is not of type 'string'"),
        ({"name": "x", "why": 1}, "Additional properties are not allowed ('why' was unexpected)"),
    ],
)
async def test_arguments_are_held_against_the_schema(root: Path, arguments: dict[str, Any], problem: str) -> None:
    result = await use(guard_of(root, declared(CommandCall(argv=("echo",)))), **arguments)
    assert (result.status, result.kind) == ("refused", "invalid_arguments")
    assert problem in result.output
    assert result.hint == 'Expected {"name": string, "count"?: integer, "files"?: [string, ...]}'


async def test_what_models_write_as_strings_is_read(root: Path) -> None:
    guard = guard_of(root, declared(CommandCall(argv=("echo",))))
    given = {"name": "x", "count": "3", "files": '["a"]'}
    prepared = await guard.prepare(ToolCall(call_id="c", name="act", arguments=json.dumps(given)), {})
    assert isinstance(prepared, Prepared)
    assert prepared.intent.title == 'act {"name": "x", "count": 3, "files": ["a"]}'


class Site:
    """An HTTP server that answers what it is told, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, str], str]] = []
        self.answers: list[tuple[int, bytes, dict[str, str]]] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
                headers = {name.lower(): value for name, value in self.headers.items()}
                site.asked.append((self.command, self.path, headers, body))
                status, content, more = site.answers.pop(0)
                self.send_response(status)
                for name, value in more.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_DELETE = answer

            def log_message(self, format: str, *args: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def site() -> Iterator[Site]:
    served = Site()
    yield served
    served.close()


async def test_an_http_call_sends_what_was_declared_and_tells_the_answer(root: Path, site: Site) -> None:
    site.answers = [(200, b'{"ok": true}', {}), (201, b"made hunter2-hunter2", {})]
    get = HttpCall(method="GET", url=site.url + "/find/{name}", headers={"Authorization": "Bearer t"})
    assert await use(guard_of(root, declared(get)), name="a/b") == ToolResult(
        status="ok", output='{"ok": true}', origin="web"
    )
    post = HttpCall(method="POST", url=site.url + "/make", body='{"title": {name}, "count": {count}}')
    assert (await use(guard_of(root, declared(post)), name='x"', count=2)).output == "made [redacted]"
    (method, path, headers, body), (posted, _, sent, text) = site.asked
    assert (method, path, headers["authorization"], body) == ("GET", "/find/a%2Fb", "Bearer t", "")
    assert "idempotency-key" not in headers
    assert (posted, sent["idempotency-key"], json.loads(text)) == ("POST", "key-1", {"title": 'x"', "count": 2})


async def test_a_redirect_is_not_followed_and_a_large_answer_is_cut(root: Path, site: Site) -> None:
    site.answers = [(302, b"moved", {"location": "http://169.254.169.254/"}), (200, b"x" * 400_000, {})]
    guard = guard_of(root, declared(HttpCall(method="GET", url=site.url)))
    moved, large = await use(guard, name="x"), await use(guard, name="x")
    assert (moved.status, moved.kind) == ("error", "http_status")
    assert len(site.asked) == 2
    assert large.status == "ok"
    assert len(large.output) < 65_000


async def test_an_error_has_a_kind_and_what_may_pass_is_tried_again(root: Path, site: Site) -> None:
    site.answers = [(503, b"later", {}), (200, b"now", {}), (429, b"", {}), (404, b"none", {})]
    call = HttpCall(method="GET", url=site.url)
    again = await use(guard_of(root, declared(call, repeatable=True)), name="x")
    assert (again.output, again.tried) == ("now", ("unavailable: HTTP status 503\nlater",))
    once = guard_of(root, declared(call))
    assert (await use(once, name="x")).kind == "rate_limited"
    assert (await use(once, name="x")).kind == "not_found"
    site.close()
    gone = await use(guard_of(root, declared(HttpCall(method="GET", url="http://127.0.0.1:1/"))), name="x")
    assert (gone.kind, gone.retryable) == ("unavailable", True)
