"""The pages for people hold: links lead somewhere, commands and options exist, TOML and JSON examples load."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from acp_agent.config.loops import load_loop
from acp_agent.config.projects import load_projects
from acp_agent.config.settings import load_settings
from acp_agent.surfaces.cli.root import acp

ROOT = Path(__file__).resolve().parents[2]
# The architecture also describes what is yet to come.
PAGES = sorted({ROOT / "README.md", *(ROOT / "docs").rglob("*.md")} - {ROOT / "docs" / "architecture.md"})
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(acp [^`\n]+)`")


def context_of(command: click.Command) -> click.Context:
    """A context as `acp` itself makes it: click keeps the help option of the first one a command is asked in."""
    return click.Context(command, **acp.context_settings)


def _name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def _anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _calls(page: Path) -> Iterator[list[str]]:
    """The words after `acp` of every command a page shows, in its text and in its blocks."""
    text = page.read_text("utf-8")
    lines = [line for _, block in BLOCK.findall(text) for line in block.replace("\\\n", " ").splitlines()]
    shown = [*INLINE.findall(BLOCK.sub("", text)), *(line.strip().removeprefix("$ ") for line in lines)]
    for command in shown:
        if command.startswith("acp ") and not command.startswith("acp COMMAND"):
            yield shlex.split(command.split(" || ")[0], comments=True)[1:]


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_link_of_a_page_leads_to_a_file_and_a_heading_of_it(page: Path) -> None:
    broken = []
    for link in LINK.findall(page.read_text("utf-8")):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in _anchors(target)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_command_of_a_page_exists_with_the_options_it_is_shown_with(page: Path) -> None:
    wrong = []
    for words in _calls(page):
        command: click.Command | None = acp
        rest = words
        while isinstance(command, click.Group) and rest and rest[0].isalpha() and rest[0].islower():
            command, rest = command.get_command(context_of(command), rest[0]), rest[1:]
        if command is None:
            wrong.append(words)
            continue
        known = {spelling for option in command.get_params(context_of(command)) for spelling in option.opts}
        known |= {spelling for option in command.params for spelling in option.secondary_opts}
        wrong += [words for word in rest if word.startswith("-") and word != "-" and word.split("=")[0] not in known]
    assert wrong == []


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_toml_example_of_a_page_is_a_file_that_loads(page: Path, tmp_path: Path) -> None:
    for language, block in BLOCK.findall(page.read_text("utf-8")):
        if language != "toml":
            continue
        file = tmp_path / "example.toml"
        file.write_text(block, "utf-8")
        if block.startswith("version"):
            assert load_projects(file).projects
        elif block.startswith("project"):
            assert load_loop(file).table.project
        else:
            assert load_settings({"ACP_CONFIG": str(file)}).path == file


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_editor_setting_of_a_page_starts_the_agent_by_a_command_that_exists(page: Path) -> None:
    for language, block in BLOCK.findall(page.read_text("utf-8")):
        if language != "json":
            continue
        settings = json.loads(block)
        started = [(entry["command"], entry["args"]) for agents in settings.values() for entry in agents.values()]
        assert started == [("acp", ["serve"])]
