"""What a change may not touch: protected files, files outside its scope, and secrets in the lines it adds."""

import os
from collections.abc import Callable, Iterable, Sequence

from pathspec import GitIgnoreSpec

from acp_agent.domain.events_loop import RejectReason
from acp_agent.domain.loop_spec import LoopSpec
from acp_agent.fleet.git import git
from acp_agent.fleet.repository import common_directory
from acp_agent.loops.judges import ALWAYS

SHOWN = 8


def screen(spec: LoopSpec, paths: Iterable[str], subdir: str) -> tuple[RejectReason, tuple[str, ...]] | None:
    """Why a change of `paths` (relative to the repository) cannot be kept, whatever it does; None where it can.

    Globs are those of gitignore, over the project's directory `subdir`; the ones that always hold, over both.
    """
    inside, outside = _split(paths, subdir)
    always = GitIgnoreSpec.from_lines(ALWAYS)
    protect = GitIgnoreSpec.from_lines(spec.protect)
    judges = GitIgnoreSpec.from_lines(spec.judges)
    literal = {glob.removeprefix("/").removeprefix("./") for glob in spec.scope if not set(glob) & set("*?[")}
    hit = [path for path in outside if always.match_file(path)]
    hit += [path for path in inside if always.match_file(path) or protect.match_file(path)]
    judging = [path for path in inside if path not in literal and judges.match_file(path) and path not in hit]
    if hit or judging:
        told = (*_told("changes the protected", hit), *_told("changes what a check rests on:", judging))
        return "protected", told
    beyond = list(outside)
    if spec.scope:
        scope = GitIgnoreSpec.from_lines(spec.scope)
        beyond += [path for path in inside if not scope.match_file(path)]
    return ("scope", _told("changes outside its scope:", beyond)) if beyond else None


async def secrets_in(root: str, base: str, commit: str, redact: Callable[[str], str]) -> list[str]:
    """The files of a change whose added lines hold a secret: one that we know, or what has the shape of one."""
    shown = await git(root, "diff", "--no-color", "--no-ext-diff", "--no-textconv", "--no-renames", "-U0", base, commit)
    added: dict[str, list[str]] = {}
    name, in_head = "", True
    for line in shown.stdout.decode("utf-8", "replace").split("\n"):
        if line.startswith("diff --git "):
            in_head = True
        elif in_head and line.startswith("+++ "):
            name = line[4:].removeprefix("b/")
        elif line.startswith("@@"):
            in_head = False
            added.setdefault(name, []).append("")
        elif not in_head and line.startswith("+"):
            # Together, since a key has many lines.
            added[name].append(line[1:])
    texts = {name: "\n".join(lines) for name, lines in added.items()}
    return [name for name, text in texts.items() if redact(text) != text]


async def masked(root: str, base: str, commit: str, paths: Sequence[str], redact: Callable[[str], str]) -> str:
    """The same change with the secrets in `paths` masked, as a commit of its own."""
    index = common_directory(root) / f"acp-index-{os.urandom(6).hex()}"
    with_index = {"GIT_INDEX_FILE": str(index)}
    try:
        await git(root, "read-tree", commit, environment=with_index)
        for path in paths:
            text = (await git(root, "cat-file", "blob", f"{commit}:{path}")).stdout.decode("utf-8", "surrogateescape")
            clean = redact(text).encode("utf-8", "surrogateescape")
            blob = (await git(root, "hash-object", "-w", "--stdin", stdin=clean)).text
            await git(root, "update-index", "--cacheinfo", f"100644,{blob},{path}", environment=with_index)
        tree = (await git(root, "write-tree", environment=with_index)).text
    finally:
        index.unlink(missing_ok=True)
    message = b"A rejected change; the secrets in it are masked\n"
    return (await git(root, "commit-tree", tree, "-p", base, "-F", "-", stdin=message, environment=_AUTHOR)).text


_AUTHOR = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "acp-agent"), ("EMAIL", "acp-agent@localhost"))
}


def _split(paths: Iterable[str], subdir: str) -> tuple[list[str], list[str]]:
    """Paths in the project, from its directory, and those outside it."""
    prefix = f"{subdir}/" if subdir else ""
    inside = [path.removeprefix(prefix) for path in paths if path.startswith(prefix)]
    return inside, [path for path in paths if not path.startswith(prefix)]


def _told(what: str, paths: Sequence[str]) -> tuple[str, ...]:
    if not paths:
        return ()
    more = f" and {len(paths) - SHOWN} more" if len(paths) > SHOWN else ""
    return (f"{what} {', '.join(paths[:SHOWN])}{more}",)
