"""What of the settings hosts compare before one goes on with what another queued."""

from pathlib import Path

import pytest

from acp_agent.config.fingerprint import fingerprints
from acp_agent.config.settings import load_settings

BASE = """\
[[policy.rules]]
verdict = "deny"
command = "git push *"
[mcp.github]
command = "github-mcp-server"
env = { TOKEN = "${GITHUB_TOKEN}" }
[tools.ticket]
description = "Opens a ticket."
risk = 2
command = ["ticket"]
"""


def parts(tmp_path: Path, text: str) -> dict[str, str]:
    file = tmp_path / "config.toml"
    file.write_text(text)
    return fingerprints(load_settings({"ACP_CONFIG": str(file), "HOME": str(tmp_path)}))


@pytest.mark.parametrize(
    ("text", "differs"),
    [
        (f"# moved\n\n{BASE}", set()),
        (BASE + '[providers.openai]\nmax_concurrent = 2\n[sandbox]\nlevel = "off"\n', set()),
        (BASE + "[roles.coder]\nmax_steps = 3\n", set()),
        (BASE + '[notify.pager]\nrun = "page"\n', set()),
        (BASE.replace("${GITHUB_TOKEN}", "${OTHER}"), set()),
        (BASE.replace("deny", "ask"), {"policy"}),
        (BASE.replace("TOKEN =", "KEY ="), {"mcp"}),
        (BASE.replace("risk = 2", "risk = 3"), {"tools"}),
        (BASE + '[roles.reviewer]\nmodel = "openai/large"\n', {"policy"}),
        (BASE + '[[hooks.before_tool]]\nrun = "no.sh"\n', {"hooks"}),
        (BASE + '[egress.ours]\ndomains = ["a.example.org"]\n', {"egress"}),
    ],
)
def test_only_what_decides_how_a_run_goes_on_counts(tmp_path: Path, text: str, differs: set[str]) -> None:
    ours, theirs = parts(tmp_path, BASE), parts(tmp_path, text)
    assert {name for name in ours if ours[name] != theirs[name]} == differs


def test_an_administrators_rules_count_and_no_secret_does(tmp_path: Path) -> None:
    file, managed = tmp_path / "config.toml", tmp_path / "managed.toml"
    file.write_text(BASE)
    managed.write_text('[policy]\nunattended = "deny"\n')
    environ = {"ACP_CONFIG": str(file), "HOME": str(tmp_path)}
    ours = fingerprints(load_settings(environ))
    theirs = fingerprints(load_settings({**environ, "ACP_MANAGED_CONFIG": str(managed)}))
    assert {name for name in ours if ours[name] != theirs[name]} == {"policy"}
    assert all(len(value) == 16 for value in ours.values())
