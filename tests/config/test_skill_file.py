"""SKILL.md: split anywhere it should be, read leniently, and checked as the specification's own validator checks it."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from skills_ref import validate

from acp_agent.config.skill_file import BrokenSkill, SkillFile, _plain_values, load, problems, split
from acp_agent.config.skills import SHIPPED

GOOD = "---\nname: good\ndescription: Does good. Use it always.\n---\n# Good\nDo it.\n"


def skill(tmp_path: Path, text: str, name: str = "good") -> Path:
    folder = tmp_path / name
    folder.mkdir()
    (folder / "SKILL.md").write_text(text, encoding="utf-8")
    return folder


LINE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n"), max_size=20)
INNER = LINE.filter(lambda line: line.rstrip() != "---")


@settings(max_examples=50)
@given(st.lists(INNER), st.text(st.characters(exclude_categories=["Cs"])))
def test_the_splitter_gives_back_exactly_what_was_put_together(inner: list[str], body: str) -> None:
    matter = "".join(f"{line}\n" for line in inner)
    parts = split(f"---\n{matter}---\n{body}")
    assert (parts.text, parts.first, parts.body) == (matter, 2, body)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_is_split_or_refused(text: str) -> None:
    try:
        parts = split(text)
    except BrokenSkill as error:
        assert error.line == 1
    else:
        assert text.removeprefix("\ufeff").endswith(parts.body)


@settings(max_examples=50)
@given(st.lists(st.tuples(st.sampled_from(["name", "description", "license"]), LINE), unique_by=lambda pair: pair[0]))
def test_the_quick_reader_agrees_with_yaml_wherever_it_reads(pairs: list[tuple[str, str]]) -> None:
    text = "".join(f"{key}: {value}\n" for key, value in pairs)
    parts = split(f"---\n{text}---\n")
    if quick := _plain_values(parts):
        assert {key: value.text for key, value in quick.items()} == yaml.load(parts.text, yaml.BaseLoader)


def test_shipped_skills_are_valid_short_and_read_without_yaml() -> None:
    folders = sorted(SHIPPED.iterdir())
    assert [folder.name for folder in folders] == [
        "dependency-check",
        "parallel-work",
        "systematic-debugging",
        "test-first",
        "verify-before-done",
    ]
    for folder in folders:
        assert validate(folder) == []
        assert problems(folder) == []
        assert len((folder / "SKILL.md").read_text(encoding="utf-8").splitlines()) < 120
    script = "import sys, pathlib, os; from acp_agent.config.skills import find_skills;"
    script += " found = find_skills(pathlib.Path('/'), {'HOME': '/nowhere', 'XDG_CONFIG_HOME': '/nowhere'});"
    script += " print(len(found.entries), 'yaml' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ended.stdout == "5 False\n"


BAD = {
    "no front matter": "# Good\n",
    "no end": "---\nname: good\n",
    "broken": "---\nname: [good\ndescription: x\n---\n",
    "a colon": "---\nname: good\ndescription: Use when: always\n---\n",
    "a list": "---\n- name\n---\n",
    "no name": "---\ndescription: x\n---\n",
    "no description": "---\nname: good\n---\n",
    "empty description": "---\nname: good\ndescription: '  '\n---\n",
    "upper case": "---\nname: Good\ndescription: x\n---\n",
    "other folder": "---\nname: better\ndescription: x\n---\n",
    "hyphens": "---\nname: go--od\ndescription: x\n---\n",
    "hyphen at the end": "---\nname: good-\ndescription: x\n---\n",
    "blank in the name": "---\nname: go od\ndescription: x\n---\n",
    "long name": f"---\nname: {'g' * 65}\ndescription: x\n---\n",
    "long description": f"---\nname: good\ndescription: {'x' * 1025}\n---\n",
    "long compatibility": f"---\nname: good\ndescription: x\ncompatibility: {'x' * 501}\n---\n",
    "unknown key": "---\nname: good\ndescription: x\nmodel: y\n---\n",
    "twice": "---\nname: good\nname: good\ndescription: x\n---\n",
    "flow": "---\nname: good\ndescription: x\nmetadata: {a: b}\n---\n",
    "anchor": "---\nname: &n good\ndescription: x\n---\n",
    "fence inside": "---\nname: good\ndescription: x --- y\nlicense: z\n---\n",
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD.keys())
def test_what_the_specifications_validator_refuses_we_refuse_with_a_line(text: str, tmp_path: Path) -> None:
    folder = skill(tmp_path, text)
    found = problems(folder)
    assert found
    assert all(problem.line for problem in found)
    if "fence" not in text and "x --- y" not in text:
        assert validate(folder)


FINE = {
    "plain": GOOD,
    "all fields": "---\nname: good\ndescription: x\nlicense: MIT\ncompatibility: git\nallowed-tools: Read Bash\n"
    "metadata:\n  author: a\n  version: '1'\n---\n",
    "folded": "---\nname: good\ndescription: >\n  one\n  two\n---\n",
    "quoted": '---\nname: good\ndescription: "Use when: always"\n---\n',
    "numbers are texts": "---\nname: good\ndescription: 12\n---\n",
}


@pytest.mark.parametrize("text", FINE.values(), ids=FINE.keys())
def test_what_the_specifications_validator_takes_we_take(text: str, tmp_path: Path) -> None:
    folder = skill(tmp_path, text)
    assert (problems(folder), validate(folder)) == ([], [])


NAMES = st.text(st.sampled_from("abzAB09-_ é"), min_size=1, max_size=70)


@settings(max_examples=30)
@given(NAMES, st.integers(0, 1030))
def test_names_and_lengths_are_judged_as_the_validator_judges_them(name: str, length: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as root:
        text = f'---\nname: "{name}"\ndescription: "{"x" * length}"\n---\n'
        folder = skill(Path(root), text, name.strip() or "good")
        assert bool(problems(folder)) == bool(validate(folder))


def test_lenient_loading_mends_what_it_can(tmp_path: Path) -> None:
    folder = tmp_path / "good"
    assert load(folder, GOOD) == SkillFile("good", "Does good. Use it always.", "# Good\nDo it.\n")
    colon = load(folder, "---\nname: good\ndescription: Use when: always\n---\n")
    assert isinstance(colon, SkillFile)
    assert colon.description == "Use when: always"
    other = load(folder, "---\nname: better\ndescription: x\n---\n")
    assert isinstance(other, SkillFile)
    assert (other.name, len(other.warnings)) == ("better", 1)
    manual = load(folder, "---\nname: good\ndescription: x\ndisable-model-invocation: true\n---\n")
    assert isinstance(manual, SkillFile)
    assert manual.manual
    for text in ("---\nname: good\n---\n", "no front matter", "---\nname: a/../b\ndescription: x\n---\n"):
        assert isinstance(load(folder, text), str)
