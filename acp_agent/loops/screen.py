"""What a change may not touch: protected files, files outside its scope, and secrets in the lines it adds."""

import os
import re
from collections.abc import Callable, Iterable, Sequence

from pathspec import GitIgnoreSpec

from acp_agent.domain.events_loop import RejectReason
from acp_agent.domain.loop_spec import LoopSpec
from acp_agent.fleet.git import git
from acp_agent.fleet.repository import common_directory
from acp_agent.loops.judges import ALWAYS

MASK = "[redacted]"
SHOWN = 8
# Token shapes that are a secret whatever they open; each needs enough characters that prose never looks like one.
SHAPES = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----"
    r"|\bAKIA[0-9A-Z]{16}\b"
    r"|\bgh[pousr]_[A-Za-z0-9]{36,}\b"
    r"|\bgithub_pat_[A-Za-z0-9_]{60,}\b"
    r"|\bglpat-[A-Za-z0-9_-]{20,}\b"
    r"|\bsk-(?:proj-|ant-|or-)?[A-Za-z0-9_-]{20,}\b"
    r"|\bxox[abprs]-[A-Za-z0-9-]{10,}\b"
    r"|\bAIza[A-Za-z0-9_-]{35}\b"
    r"|\bnpm_[A-Za-z0-9]{36}\b"
    r"|\bpypi-[A-Za-z0-9_-]{50,}\b"
)


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
    """The files of a change in which added lines hold what looks like a secret, or is one that we know."""
    shown = await git(root, "diff", "--no-color", "--no-ext-diff", "--no-textconv", "--no-renames", "-U0", base, commit)
    found: dict[str, None] = {}
    name = ""
    for line in shown.stdout.decode("utf-8", "replace").splitlines():
        if line.startswith("+++ "):
            name = line[4:].removeprefix("b/")
        elif line.startswith("+") and (SHAPES.search(line) or redact(line) != line):
            found[name] = None
    return list(found)


async def masked(root: str, base: str, commit: str, paths: Sequence[str], redact: Callable[[str], str]) -> str:
    """The same change with the secrets in `paths` masked, as a commit of its own."""
    index = common_directory(root) / f"acp-index-{os.urandom(6).hex()}"
    with_index = {"GIT_INDEX_FILE": str(index)}
    try:
        await git(root, "read-tree", commit, environment=with_index)
        for path in paths:
            text = (await git(root, "cat-file", "blob", f"{commit}:{path}")).stdout.decode("utf-8", "surrogateescape")
            clean = SHAPES.sub(MASK, redact(text)).encode("utf-8", "surrogateescape")
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
