"""The optimisation task that ships in loops/: a scripted improver reaches its target, past a cheat and a dead end."""

import shutil
from pathlib import Path

import pytest

from acp_agent.config.trust import trust
from acp_agent.testing.model_server import ModelServer
from acp_agent.testing.repos import make_repo, tree
from acp_agent.testing.request import Request
from acp_agent.testing.script import Step
from tests.loops.conftest import CONFIG, World, iteration_of

ROOT = Path(__file__).resolve().parents[2]
HEAD = '"""Which words are anagrams of one another."""\n\n\n'
SIGNATURE = '''def groups(words: list[str]) -> list[list[str]]:
    """The groups of at least two words with the same letters, in the order in which they begin."""
'''
WRONG = SIGNATURE + "    return []\n"
KEYS_FIRST = (
    SIGNATURE
    + """\
    found: list[list[str]] = []
    keys = [sorted(word) for word in words]
    done: list[list[str]] = []
    for key in keys:
        if key in done:
            continue
        done.append(key)
        group = list(dict.fromkeys(word for word, other in zip(words, keys) if other == key))
        if len(group) > 1:
            found.append(group)
    return found
"""
)
ONE_PASS = (
    SIGNATURE
    + """\
    found: dict[str, dict[str, None]] = {}
    for word in words:
        found.setdefault("".join(sorted(word)), {})[word] = None
    return [list(group) for group in found.values() if len(group) > 1]
"""
)
CHEAT = "import sys\nsys.stdout.write('1\\n')\n"
IDEAS = {
    1: ("anagrams/find.py", WRONG, "Return nothing: far fewer steps. All tests pass."),
    2: ("anagrams/find.py", KEYS_FIRST, "Sort each word once"),
    3: ("tools/steps.py", CHEAT, "Measure more cleverly"),
    4: ("anagrams/find.py", ONE_PASS, "Group by letters in one pass"),
}


def improver(request: Request) -> Step:
    """One idea an iteration, good ones and bad."""
    path, content, words = IDEAS[iteration_of(request)]
    text = HEAD + content if path.endswith("find.py") else content
    moves = [("read_file", {"path": path}), ("write_file", {"path": path, "content": text})]
    turn = request.turn_since_prompt
    return Step(tools=[moves[turn]]) if turn < 2 else Step(text=words)


@pytest.mark.bwrap
async def test_the_shipped_task_reaches_its_target(tmp_path: Path) -> None:
    sample = ROOT / "examples" / "anagrams"
    files = {
        path.relative_to(sample).as_posix(): path.read_text("utf-8")
        for path in sample.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    make_repo(tmp_path / "anagrams", files)
    (tmp_path / "projects.toml").write_text(
        'version = 1\n[gates]\nunittest = { run = "python3 -m unittest discover -s tests", timeout = "1m" }\n'
        '[projects.anagrams]\npath = "anagrams"\n'
    )
    (tmp_path / "loops").mkdir()
    shutil.copy(ROOT / "loops" / "anagrams.md", tmp_path / "loops")
    (tmp_path / "config.toml").write_text(CONFIG, "utf-8")
    trust(tmp_path, tmp_path / "state")
    with ModelServer(improver) as server:
        found = await World(tmp_path, server).drive(name="anagrams")
    assert (found.code, found.reason) == (0, "done")
    assert found.outcomes == ["gate", "accepted", "protected", "accepted"]
    before, first, last = found.view.scores()["steps"]
    assert before > 7_000 > first > 1_000 > 300 > last
    assert "what a check rests on: tools/steps.py" in found.view.turns[3].detail
    assert tree(tmp_path / "anagrams", found.state.base)["anagrams/find.py"] == HEAD + ONE_PASS
