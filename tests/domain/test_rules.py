"""Rules: deny beats ask beats allow whatever else is written, and nothing opaque is allowed by any of them."""

import shlex
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acp_agent.domain.always import (
    AllowanceRevoked,
    AllowedAlways,
    allowance_of,
    in_force,
    name_of,
    patterns_of,
    rules_of,
)
from acp_agent.domain.patterns import Way, command_fits, command_may_be, path_fits, path_may_be
from acp_agent.domain.policy import POLICIES, InForce, Mode, judge
from acp_agent.domain.rules import Rule, closed_paths, ruled
from acp_agent.domain.taint import ALL, closes_the_circle, is_private
from acp_agent.domain.tool import Risk
from acp_agent.domain.weight import Weight

STRICTNESS = {"deny": 0, "ask": 1, None: 2, "allow": 3}
TOOLS = ("shell", "edit_file", "read_file", "fetch")
COMMANDS = ("git status", "git push origin", "rm -rf build", "pytest -q", "> out.txt", "/usr/bin/git -C x push")
PATHS = ("src/a.py", ".env", "docs/x/y.md", "A.py")

rules = st.builds(
    Rule,
    verdict=st.sampled_from(["allow", "ask", "deny"]),
    scope=st.sampled_from(["managed", "user", "project", "granted"]),
    tool=st.sampled_from(["*", "shell", "*_file", "fetch", "none"]),
    command=st.sampled_from([None, None, "git *", "git push *", "*", "pytest *", "> *", "rm -rf build"]),
    path=st.sampled_from([None, None, "**", "*.py", "src/**", ".env"]),
    role=st.sampled_from([None, "coder", "reviewer"]),
)
weights = st.builds(
    Weight,
    risk=st.sampled_from(list(Risk)),
    commands=st.lists(st.sampled_from(COMMANDS), max_size=3).map(tuple),
    reads=st.lists(st.sampled_from(PATHS), max_size=2).map(tuple),
    writes=st.lists(st.sampled_from(PATHS), max_size=2).map(tuple),
    opaque=st.booleans(),
    traits=st.frozensets(st.sampled_from(["private", "outward"])),
)
many = st.lists(rules, max_size=6)
tools = st.sampled_from(TOOLS)
taints = st.frozensets(st.sampled_from(sorted(ALL)))
modes = st.sampled_from(list(Mode))


@given(many, many, tools, weights)
def test_deny_is_monotone(before: list[Rule], more: list[Rule], tool: str, weight: Weight) -> None:
    """No further rule, wherever it stands, makes a call that was denied anything else."""
    if ruled(before, tool, "coder", weight).verdict == "deny":
        assert ruled([*more, *before], tool, "coder", weight).verdict == "deny"
        assert ruled([*before, *more], tool, "coder", weight).verdict == "deny"


@given(many, rules, tools, weights)
def test_a_rule_that_denies_or_asks_only_tightens_and_one_that_allows_only_loosens(
    before: list[Rule], rule: Rule, tool: str, weight: Weight
) -> None:
    old = STRICTNESS[ruled(before, tool, "coder", weight).verdict]
    new = STRICTNESS[ruled([*before, rule], tool, "coder", weight).verdict]
    assert new >= old if rule.verdict == "allow" else new <= old


@given(many, tools, weights)
def test_an_opaque_call_is_never_allowed_by_a_rule(written: list[Rule], tool: str, weight: Weight) -> None:
    hidden = weight.model_copy(update={"opaque": True})
    assert ruled(written, tool, "coder", hidden).verdict != "allow"


@given(many, st.lists(rules.map(lambda rule: rule.model_copy(update={"scope": "project"})), max_size=6), tools, weights)
def test_a_project_file_never_widens(own: list[Rule], project: list[Rule], tool: str, weight: Weight) -> None:
    alone = STRICTNESS[ruled(own, tool, "coder", weight).verdict]
    assert STRICTNESS[ruled([*project, *own], tool, "coder", weight).verdict] <= alone
    assert STRICTNESS[ruled([*own, *project], tool, "coder", weight).verdict] <= alone


@given(modes, many, tools, weights, taints)
def test_no_rule_takes_back_what_needs_a_person_or_what_the_mode_denies(
    mode: Mode, written: list[Rule], tool: str, weight: Weight, taint: frozenset[str]
) -> None:
    verdict = judge(mode, InForce(rules=tuple(written)), ("coder", tool), weight, taint).verdict  # type: ignore[arg-type]
    if POLICIES[mode].verdict(weight.risk) == "deny":
        assert verdict == "deny"
    elif weight.risk == Risk.IRREVERSIBLE or closes_the_circle(taint, weight.traits):  # type: ignore[arg-type]
        assert verdict in ("ask", "deny")


@given(modes, many, tools, weights, taints, taints)
def test_more_taint_only_tightens(
    mode: Mode, written: list[Rule], tool: str, weight: Weight, taint: frozenset[str], more: frozenset[str]
) -> None:
    policy, who = InForce(rules=tuple(written)), ("coder", tool)
    outward = weight.model_copy(update={"traits": weight.traits | {"outward"}})
    less = judge(mode, policy, who, outward, taint).verdict  # type: ignore[arg-type]
    after = judge(mode, policy, who, outward, taint | more).verdict  # type: ignore[arg-type]
    assert STRICTNESS[after] <= STRICTNESS[less]


def test_every_command_of_a_line_must_be_allowed() -> None:
    both = Weight(risk=Risk.LOCAL, commands=("pytest -q", "git push"))
    allowed = [Rule(verdict="allow", tool="shell", command="pytest *")]
    assert ruled(allowed, "shell", "coder", both).verdict is None
    assert ruled([*allowed, Rule(verdict="allow", command="git *")], "shell", "coder", both).verdict == "allow"


def test_the_most_specific_never_beats_deny() -> None:
    written = [
        Rule(verdict="allow", tool="shell", command="git push origin main", role="coder"),
        Rule(verdict="deny", command="git *", scope="managed", where="/etc/x:3"),
    ]
    ruling = ruled(written, "shell", "coder", Weight(risk=Risk.LOCAL, commands=("git push origin main",)))
    assert (ruling.verdict, ruling.rule) == ("deny", written[1])


@pytest.mark.parametrize(
    ("pattern", "command", "fits", "may_be"),
    [
        ("git push *", "git push", True, True),
        ("git push *", "git push origin 'my branch'", True, True),
        ("git push *", "git pull", False, False),
        ("git push *", "'git push' origin", False, False),
        ("git push *", "git -C elsewhere push", False, True),
        ("git push *", "git --no-pager -C elsewhere push origin", False, True),
        ("git push *", "/usr/bin/git push", False, True),
        ("git push *", "GIT push", False, True),
        ("git push *", "git commit -m push", False, False),
        ("git push", "git push origin", False, False),
        ("rm -rf build/*", "rm -rf build/x", True, True),
        ("*", "anything at all", True, True),
        ("> *", "> out.txt", True, True),
        ("echo '*'", "echo '*'", True, True),
    ],
)
def test_patterns_of_commands(pattern: str, command: str, fits: bool, may_be: bool) -> None:
    assert (command_fits(pattern, command), command_may_be(pattern, command)) == (fits, may_be)


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("*.py", "a/b.py", True),
        ("a/*.py", "a/b.py", True),
        ("a/*.py", "x/a/b.py", False),
        ("src/**", "src/a/b", True),
        ("src/**", "src", False),
        ("docs", "docs/a/b", True),
        ("/docs", "x/docs", False),
        ("a/**/b", "a/b", True),
        ("a/**/b", "a/x/y/b", True),
        ("**/*.key", "deep/down/x.key", True),
        (".env*", "x/.env.local", True),
    ],
)
def test_patterns_of_paths(pattern: str, path: str, fits: bool) -> None:
    assert (path_fits(pattern, path), path_may_be(pattern, path)) == (fits, fits)


def test_a_rule_that_forbids_a_path_is_not_fooled_by_spelling() -> None:
    assert path_may_be(".mcp.json", ".MCP\u200c.json ")
    assert not path_fits(".mcp.json", ".MCP.json")


@given(st.text(string.ascii_letters + "-*?[ '\"", min_size=1, max_size=12).filter(str.strip))
def test_what_is_allowed_always_allows_that_call_again(argument: str) -> None:
    commands = tuple(shlex.join((program, argument)) for program in ("rm", "pytest", "git"))
    weight = Weight(risk=Risk.LOCAL, commands=commands)
    allowed = allowance_of("shell", name_of("shell", patterns_of(weight)), patterns_of(weight), "coder", "/p")
    assert allowed is not None
    assert ruled(rules_of([allowed], "coder", "/p"), "shell", "coder", weight).verdict == "allow"
    assert rules_of([allowed], "coder", "/q") == rules_of([allowed], "reviewer", "/p") == ()


@pytest.mark.parametrize(
    ("command", "pattern"),
    [
        ("pytest -q tests", "pytest *"),
        ("git status -s", "git status *"),
        ("git -C x status", "git -C x status"),
        ("npm run build", "npm run build *"),
        ("uv run pytest -q", "uv run pytest *"),
        ("python -m pytest -q", "python -m pytest *"),
        ("python x.py --fast", "python x.py --fast"),
        ("rm -rf build", "rm -rf build"),
        ("rm '*'", "rm '[*]'"),
        ("> out.txt", "'>' out.txt"),
        ("cd src", "cd src"),
    ],
)
def test_what_always_means_for_a_command(command: str, pattern: str) -> None:
    assert patterns_of(Weight(risk=Risk.LOCAL, commands=(command,))) == (pattern,)


def test_always_is_taken_back_by_name() -> None:
    first = AllowedAlways(name="edit_file", tool="edit_file", role="coder", root="/p")
    second = first.model_copy(update={"root": "/q"})
    shell = AllowedAlways(name="shell: ls *", tool="shell", role="coder", root="/p", patterns=("ls *",))
    assert in_force([first, second, shell, first]) == (first, second, shell)
    assert in_force([first, second, shell, AllowanceRevoked(name="edit_file", root="/p")]) == (second, shell)
    assert in_force([first, second, shell, AllowanceRevoked(name="edit_file")]) == (shell,)


def test_a_name_of_an_earlier_version_never_becomes_a_whole_shell() -> None:
    assert allowance_of("shell", "shell: ls #0123456789abcdef", (), "coder", "/p") is None
    assert allowance_of("shell", "", (), "coder", "/p") is None


@pytest.mark.parametrize(
    "path", [".env", "a/.env.local", "deploy/prod.pem", ".ssh/config", "config/secrets.yaml", "ID_RSA"]
)
def test_files_that_are_not_for_others(path: str) -> None:
    assert is_private(path)


@pytest.mark.parametrize(
    "path", [".env.example", "src/token.py", "docs/secrets.md", "id_rsa.pub", "environment.py", "a.key.md"]
)
def test_files_that_only_look_like_it(path: str) -> None:
    assert not is_private(path)


def test_paths_are_closed_by_denials_for_every_tool_alone() -> None:
    rules = [
        Rule(verdict="deny", path="infra/**"),
        Rule(verdict="deny", path="docs/**", tool="write_file"),
        Rule(verdict="deny", path="ci/**", role="reviewer"),
        Rule(verdict="ask", path="src/**"),
        Rule(verdict="deny", command="git push *"),
    ]
    assert closed_paths(rules, "coder") == ("infra/**",)
    assert closed_paths(rules, "reviewer") == ("infra/**", "ci/**")


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from(["a", "*", "**", "a*", "?b", "b"]), min_size=1, max_size=4).map("/".join),
    st.booleans(),
    st.lists(st.sampled_from(["a", "b", "ab", "A"]), min_size=1, max_size=5),
)
def test_a_walk_finds_what_the_whole_path_says(pattern: str, anchored: bool, parts: list[str]) -> None:
    pattern = f"/{pattern}" if anchored else pattern
    way = Way.of([pattern])
    for length, part in enumerate(parts, 1):
        before, way = way, way.into(part)
        path = "/".join(parts[:length])
        assert way.fits == path_may_be(pattern, path)
        if way.fits:
            break
        assert not before.covers, "what is covered fits"
        if path_may_be(pattern, "/".join(parts)):
            assert way.leads_on
