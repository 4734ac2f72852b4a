"""Which skills are on offer: where they lie, which of the same name wins, and which a person has trusted.

A project's beat the user's, those beat the shipped ones. Scanning reads files and runs nothing.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from acp_agent.config.names import printable
from acp_agent.config.paths import config_dir, shown_path, state_dir
from acp_agent.config.skill_file import MAX_BYTES, SkillFile, load, split
from acp_agent.config.skill_tree import FILE, PROJECT_FOLDERS, Place, folders_in, names_in, skill_commands, tree_of
from acp_agent.config.trust import untrusted
from acp_agent.domain.errors import ToolError, UsageError
from acp_agent.domain.skill import MOST_SKILLS, SkillActivation, SkillEntry, SkillScope, wrapped

SHIPPED = Path(__file__).parent / "shipped_skills"


@dataclass(frozen=True, slots=True)
class Skills:
    """The skills on offer, those that win first, and what a person should know of the others."""

    entries: tuple[SkillEntry, ...] = ()
    warnings: tuple[str, ...] = ()
    untrusted: tuple[Path, ...] = ()


def places(cwd: Path | None, environ: Mapping[str, str]) -> list[Place]:
    """Every folder that may hold skills for work in `cwd` (None: outside of any project), the nearest first."""
    home = Path(environ.get("HOME") or os.path.expanduser("~"))
    own = (config_dir(environ) / "skills", home / ".agents" / "skills")
    found = []
    if cwd is not None:
        top = top_of(cwd)
        for folder in (cwd, *cwd.parents):
            # In a home directory that is a repository, the user's skills are still the user's.
            found += [Place(folder / name, "project", top) for name in PROJECT_FOLDERS if folder / name not in own]
            if folder == top:
                break
    return [*found, *(Place(folder, "user") for folder in own), Place(SHIPPED, "shipped")]


def find_skills(cwd: Path | None, environ: Mapping[str, str], disabled: Sequence[str] = ()) -> Skills:
    """The skills for work in `cwd`; of its own only those that are trusted as they stand. Reads files, runs nothing."""
    taken: dict[str, SkillEntry] = {}
    seen: set[str] = set()
    warnings: list[str] = []
    unknown: list[Path] = []
    for place in places(cwd, environ):
        for folder in folders_in(place, warnings):
            real = os.path.realpath(folder)
            if real in seen:
                continue
            seen.add(real)
            shipped = place.scope == "shipped"
            entry = _shipped(Path(real)) if shipped else _entry(Path(real), place.scope, warnings)
            if entry is None or entry.name in disabled:
                continue
            if place.scope == "project" and (entry := _trusted(entry, environ)) is None:
                unknown.append(Path(real))
            elif first := taken.get(entry.name):
                warnings.append(f"{_shown(real)}: hidden by {_shown(first.folder)}, which is called the same")
            elif len(taken) < MOST_SKILLS:
                taken[entry.name] = entry
            else:
                warnings.append(f"{_shown(real)}: left out, there are {MOST_SKILLS} skills already")
    if unknown:
        count = "1 skill of the project is" if len(unknown) == 1 else f"{len(unknown)} skills of the project are"
        names = ", ".join(printable(folder.name) for folder in unknown[:3])
        warnings.append(f"{count} not trusted and not on offer: {names}; acp skills ls lists them")
    return Skills(tuple(taken.values()), tuple(warnings), tuple(unknown))


def pinned(entries: Sequence[SkillEntry]) -> tuple[SkillEntry, ...]:
    """The same with the hash of each as it is now, so that another host offers no other text under its name.

    What ships with acp-agent is that of its version; a skill that cannot be read is told when it is activated.
    """
    return tuple(_pinned(entry) for entry in entries)


def _pinned(entry: SkillEntry) -> SkillEntry:
    if entry.digest is not None or entry.scope == "shipped":
        return entry
    try:
        return entry.model_copy(update={"digest": tree_of(Path(entry.folder)).digest})
    except (OSError, UsageError):
        return entry


def activate(entry: SkillEntry) -> tuple[SkillActivation, str]:
    """Take up a skill: what goes on record, and its instructions as the model reads them.

    Raises ToolError where it is gone, too large, or not as it was trusted.
    """
    folder = Path(entry.folder)
    try:
        tree = tree_of(folder)
        body = split(tree.text.decode("utf-8-sig")).body
    except (OSError, ValueError, UsageError) as error:
        what = error.what if isinstance(error, UsageError) else str(error)
        raise ToolError(f"The skill {entry.name} cannot be read: {what}.", kind="not_found") from None
    if entry.digest is not None and tree.digest != entry.digest:
        raise ToolError(
            f"The skill {entry.name} was changed after this run began, so nobody has trusted it as it is.",
            kind="untrusted",
            hint="Go on without it.",
        )
    activation = SkillActivation(name=entry.name, scope=entry.scope, folder=entry.folder, digest=tree.digest)
    return activation, wrapped(entry.name, entry.folder, body, tree.files[:50])


def _entry(folder: Path, scope: SkillScope, warnings: list[str]) -> SkillEntry | None:
    try:
        found: SkillFile | str = load(folder, _read(folder / FILE))
    except (OSError, UnicodeDecodeError) as error:
        found = "is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else error.strerror or "cannot be read"
    except ValueError as error:
        found = str(error)
    if isinstance(found, str):
        warnings.append(f"{_shown(folder)}/{FILE}: {found}; left out")
        return None
    warnings += [f"{_shown(folder)}/{FILE}: name: {warning}" for warning in found.warnings]
    extras = any(name not in (FILE, ".git") for name in names_in(folder, hidden=True))
    return SkillEntry(
        name=found.name,
        description=found.description,
        scope=scope,
        folder=str(folder),
        manual=found.manual,
        extras=extras,
    )


@cache
def _shipped(folder: Path) -> SkillEntry | None:
    """A skill that came with this version and changes with it only, so that no turn waits for it to be read again."""
    return _entry(folder, "shipped", [])


def _trusted(entry: SkillEntry, environ: Mapping[str, str]) -> SkillEntry | None:
    """The skill with the hash that a person trusted, or None where nobody trusted it as it stands."""
    file = Path(entry.folder) / FILE
    try:
        if untrusted(file, skill_commands(file), state_dir(environ)):
            return None
        return entry.model_copy(update={"digest": tree_of(file.parent).digest})
    except (OSError, UsageError):
        return None


def _read(file: Path) -> str:
    if file.is_symlink():
        raise ValueError("is a link")
    with file.open("rb") as opened:
        data = opened.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ValueError(f"has more than {MAX_BYTES:,} bytes")
    return data.decode("utf-8-sig")


def top_of(cwd: Path) -> Path:
    """The first folder of the repository that `cwd` lies in, or `cwd` outside of any."""
    return next((folder for folder in (cwd, *cwd.parents) if (folder / ".git").exists()), cwd)


def _shown(folder: str | Path) -> str:
    return shown_path(Path(folder))
