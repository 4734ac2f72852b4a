"""What a shell line is called, line by line: names where it is plain, opaque where it hides what it does."""

import os
import shlex
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from acp_agent.domain.patterns import command_fits
from acp_agent.domain.rules import Rule, ruled
from acp_agent.domain.tool import Risk
from acp_agent.domain.weight import Weight
from acp_agent.tools import naming
from acp_agent.tools.naming import Named, named

PLAIN = {
    "git status": ("git status",),
    "git status --short && pytest -q | tail -3; ls &": ("git status --short", "pytest -q", "tail -3", "ls"),
    "'git' \"st\"atus": ("git status",),
    "\\git status": ("git status",),
    "git status # and git push": ("git status",),
    "git \\\n  status": ("git status",),
    "ls # a\ngit push": ("ls", "git push"),
    "(cd src && make test)": ("cd src", "make test"),
    "{ ls; }": ("ls",),
    "! grep -q x f": ("grep -q x f",),
    "if a; then b; elif c; then d; else e; fi": ("a", "b", "c", "d", "e"),
    "while true; do ls; done": ("true", "ls"),
    "until a; do b; done": ("a", "b"),
    "for f in a b; do ls; done": ("ls",),
    "case a in b) ls;; *) git push;; esac": ("ls", "git push"),
    "python -m pytest -q": ("python -m pytest -q",),
    "python3 tools/x.py": ("python3 tools/x.py",),
    "bash scripts/test": ("bash scripts/test",),
    "grep -e needle -c src": ("grep -e needle -c src",),
    "sed -n 1,20p a.py": ("sed -n 1,20p a.py",),
    "cat <<'E'\n$(git push)\nE": ("cat",),
    "cat <<< word": ("cat",),
    "make > build.log 2>&1": ("make", "> build.log"),
    "ls >> 'a b' 2>/dev/null </dev/null": ("ls", "> 'a b'"),
    "ls >| x; ls &> y": ("ls", "> x", "> y"),
    "git commit -m 'say $(nothing) `here`'": ("git commit -m 'say $(nothing) `here`'",),
    "/usr/bin/git push": ("/usr/bin/git push",),
    "rm *.pyc": ("rm '*.pyc'",),
}

OPAQUE = {
    "$(echo git) push": ("echo git",),
    "echo $(git push)": ("git push",),
    "echo `git push`": ("git push",),
    "`id`": ("id",),
    "FOO=$(git push) ls": ("git push", "ls"),
    "PATH=/tmp ls": ("ls",),
    "X=1": (),
    "export PATH=/tmp": (),
    "declare -x A=1": (),
    "unset PATH": (),
    "ls $HOME": (),
    "$CMD push": (),
    "${x} push": (),
    "find . -exec git push ;": (),
    "find . -name x -delete": ("find . -name x -delete",),
    "find . -ok rm {} +": (),
    "git -c core.pager=x log": ("git -c core.pager=x log",),
    "git -ccore.pager=x log": (),
    "git --config-env=core.pager=X log": (),
    "git fetch --upload-pack=x": (),
    "git grep -Oless x": (),
    "git rebase --exec x": (),
    "git bisect run x": (),
    "rg --pre x y": (),
    "tar --to-command=x -xf y": (),
    "rsync -e x a b": (),
    "xargs git push": ("xargs git push",),
    "env -S 'git push'": ("git push",),
    "env git push": (),
    "sh -c 'git push'": ("git push",),
    "bash -lc 'git push'": ("git push",),
    "python -c 'print(1)'": (),
    "python3 -Bc 'print(1)'": (),
    "node -e 1": (),
    "perl -pe 1 f": (),
    "awk 1 f": (),
    "sed -i 1e f": (),
    "eval 'git push'": ("git push",),
    "source <(git push)": ("git push",),
    ". ./x": (),
    "exec git push": (),
    "python3 - <<'E'\nprint(1)\nE": ("python3",),
    "bash <<E\ngit push\nE": ("bash",),
    "cat <<E | bash\ngit push\nE": ("cat", "bash"),
    "cat x | sh": ("cat x", "sh"),
    "bash < x": ("bash",),
    "bash <<< 'git push'": ("bash",),
    "psql <<E\n\\! git push\nE": (),
    "echo $'\\x67it'": (),
    '$"git" push': (),
    "alias g=git; g push": ("alias g=git", "g push"),
    "f() { git push; }; f": ("git push", "f"),
    "function f { git push; }": ("git push",),
    "echo {a,b}": (),
    "{git,push}": (),
    "git {status,push}": (),
    "g?t push": (),
    "/bin/l* x": (),
    "gi\\\nt push": (),
    "git\u00a0status": (),
    "git\rstatus": (),
    "select x in a; do ls; done": ("ls",),
    "coproc cat": (),
    "time git push": ("time git push",),
    "[[ -v 'a[$(git push)]' ]]": (),
    "[ -f x ]": (),
    "((x = 1))": (),
    "echo $((1 + 1))": (),
    "let x=1": (),
    "trap 'git push' EXIT": (),
    "timeout 5 git push": (),
    "sudo git push": (),
    "make SHELL=/tmp/x": (),
    "ls > $OUT": (),
    "echo x > /dev/tcp/127.0.0.1/80": (),
    "diff <(a) <(b)": ("a", "b"),
    "cat <<E\n$(git push)\nE": ("git push",),
    "cat - <<E\nE": (),
    "echo 'unclosed": (),
    "if x": (),
    "": (),
    "# nothing": (),
}


@pytest.mark.parametrize("line", PLAIN)
def test_a_plain_line_is_named_command_by_command(line: str) -> None:
    assert named(line) == Named(PLAIN[line])


@pytest.mark.parametrize("line", OPAQUE)
def test_a_tricky_line_is_opaque_and_what_can_be_named_of_it_is(line: str) -> None:
    found = named(line)
    assert found.opaque
    assert set(OPAQUE[line]) <= set(found.commands)


@pytest.mark.parametrize("line", OPAQUE)
def test_no_rule_allows_a_tricky_line_and_one_that_denies_finds_what_it_names(line: str) -> None:
    found = named(line)
    weight = Weight(risk=Risk.LOCAL, commands=found.commands, opaque=found.opaque)
    everything = [Rule(verdict="allow", tool="*"), Rule(verdict="allow", tool="shell", command="*")]
    assert ruled(everything, "shell", "coder", weight).verdict is None
    if "git push" in found.commands:
        denied = [*everything, Rule(verdict="deny", tool="shell", command="git push *")]
        assert ruled(denied, "shell", "coder", weight).verdict == "deny"


@pytest.mark.parametrize(
    "line", ["(" * 3000 + "ls" + ")" * 3000, "$(" * 3000 + "ls" + ")" * 3000, "a;" * 9000, "[" * 20_000, "x" * 40_000]
)
def test_a_line_that_is_deep_or_long_is_opaque_and_harms_nobody(line: str) -> None:
    assert named(line).opaque


def test_without_the_parser_every_line_is_opaque(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(naming, "_language", lambda: None)
    assert named("ls") == Named(why="the parser of shell commands is missing (tree-sitter-bash)")


TRICKY = st.text(alphabet="ab '\"\\$`{},;|&<>()#*?~!=[]-\n\t/.%@+^", max_size=24)


@settings(
    max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(TRICKY, min_size=1, max_size=12))
def test_the_names_are_what_bash_runs(tmp_path_factory: pytest.TempPathFactory, tails: list[str]) -> None:
    """The parser and bash agree about every line that counts as one plain command."""
    folder = tmp_path_factory.getbasetemp() / "bash"
    folder.mkdir(exist_ok=True)
    lines = [f"shown {tail}" for tail in tails]
    plain = [line for line in lines if (name := named(line)) and not name.opaque and len(name.commands) == 1]
    # What a tilde or a pattern stands for is not in the name, which is meant: it is matched as it is written.
    plain = [line for line in plain if not any(char in line for char in "~*?[")]
    if not plain:
        return
    script = "shown() { printf '%s\\0' shown \"$@\"; }\nfor line; do (eval \"$line\"; wait); printf '\\1\\0'; done"
    ended = subprocess.run(
        ["bash", "--norc", "-c", script, "bash", *plain],
        cwd=folder,
        env={"PATH": os.environ["PATH"]},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    said = [record.split("\0")[:-1] for record in ended.stdout.decode().split("\1\0")][:-1]
    assert len(said) == len(plain)
    for line, words in zip(plain, said, strict=True):
        # What bash takes for an error of syntax, or to a file that cannot be, runs nothing at all.
        assert words in ([], shlex.split(named(line).commands[0])), line


def test_bash_and_the_names_agree_about_quotes(tmp_path: Path) -> None:
    line = "shown a\\ b 'c d' \"e \\\" \\$f\" g''h i\"\"j 'k'\\''l' \"m\nn\""
    words = shlex.split(named(line).commands[0])
    assert words == ["shown", "a b", "c d", 'e " $f', "gh", "ij", "k'l", "m\nn"]
    assert command_fits("shown *", named(line).commands[0])
