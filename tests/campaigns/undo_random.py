"""Random edits of random trees by file tools, patches and commands: undo restores every byte, and nothing else."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from acp_agent.app import App, open_app
from acp_agent.domain.errors import NothingSelected
from acp_agent.domain.request import RunRequest, Workplace
from acp_agent.fleet.undo import UndoAsk
from acp_agent.testing.model_server import ModelServer
from acp_agent.testing.script import Rule, Step
from acp_agent.tools.snapshots import ShadowSnapshots
from tests.runs.standing import Standing, standing

TRIALS = 500
CHUNK = 20
NAMES = (
    "a.txt", "b.py", "c.json", "sub/d.txt", "sub/deep/e.md", "naïve ünï.txt", "sub/with space", "bin.dat", "run.sh",
)  # fmt: skip
WORDS = ("alpha", "beta", "gamma", "delta", "x = 1", "{}", "", "\tindented", "trailing  ", "ünï")


def main(n: int | None, seed: int) -> int:
    """Run `n` trials (default 500), trial i with seed `seed` + i; returns 1 where one byte differed."""
    began = time.monotonic()
    trials = TRIALS if n is None else n
    root = Path(tempfile.mkdtemp(prefix="acp-undo-random-"))
    used: Counter[str] = Counter()
    failed = 0
    for start in range(seed, seed + trials, CHUNK):
        numbers = range(start, min(start + CHUNK, seed + trials))
        for number, problems in anyio.run(_chunk, root / f"chunk-{start}", numbers, used):
            failed += bool(problems)
            if problems:
                print(f"trial with seed {number}:", *problems[:8], sep="\n  ")
                print(f"  again: scripts/campaign undo_random --n 1 --seed {number}; kept: {root}", flush=True)
        if not failed:
            shutil.rmtree(root / f"chunk-{start}")
        print(f"{numbers[-1] - seed + 1} of {trials} trials, {time.monotonic() - began:.0f} s", flush=True)
    kinds = ", ".join(f"{count} {name}" for name, count in used.most_common())
    print(f"{trials} trials, {failed} with a difference; {kinds}")
    if not failed:
        shutil.rmtree(root)
    return 1 if failed else 0


async def _chunk(root: Path, numbers: Sequence[int], used: Counter[str]) -> list[tuple[int, list[str]]]:
    plans = [Plan(number) for number in numbers]
    rules = [
        Rule(contains=f"trial {plan.number}{part}.", turns=[*plan.steps[:count], Step(text="Done.")])
        for plan in plans
        for part, count in (("", len(plan.steps)), ("half", plan.keep))
    ]
    (root / "state").mkdir(parents=True)
    with ModelServer(rules) as server:
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(root),
            "ACP_HOME": str(root / "state"),
            "OPENAI_BASE_URL": server.url,
            "OPENAI_API_KEY": "sk-campaign-0123456789",
        }
        results = []
        async with open_app(environ, root) as app:
            snapshots = app.runner._parts.snapshots
            assert isinstance(snapshots, ShadowSnapshots)
            # What is too slow is skipped, and said: here it is to be seen whether it is right.
            snapshots.budget = 60.0
            for plan in plans:
                used.update(plan.used)
                results.append((plan.number, await _trial(app, root / str(plan.number), plan)))
        return results


async def _trial(app: App, folder: Path, plan: Plan) -> list[str]:
    """What differs, in words; nothing where all is as it should be."""
    whole, half = folder / "whole", folder / "half"
    for place in (whole, half):
        plan.plant(place)
    before = standing(whole)
    run = await _driven(app, whole, f"trial {plan.number}.")
    if plan.checks_half:
        await _driven(app, half, f"trial {plan.number}half.")
    after = standing(whole)
    # A person's own work meanwhile, beside what the run touched, and in what git ignores.
    (whole / "person.txt").write_bytes(b"mine\r\n")
    (whole / "person.log").write_bytes(b"mine too\n")
    mine = {"person.txt": b"mine\r\n", "person.log": b"mine too\n"}
    problems: list[str] = []
    if plan.checks_half:
        await _undone(app, run, UndoAsk(to_step=plan.keep))
        problems += _differences(f"after step {plan.keep}", standing(half), standing(whole), mine)
    await _undone(app, run, UndoAsk())
    problems += _differences("undone", before, standing(whole), mine)
    if not plan.checks_half and after != before:
        await app.undo.redo(run)
        problems += _differences("brought back", after, standing(whole), mine)
        await _undone(app, run, UndoAsk())
        problems += _differences("undone again", before, standing(whole), mine)
    return problems


async def _driven(app: App, place: Path, prompt: str) -> str:
    workplace = Workplace(kind="inplace", root=str(place))
    request = RunRequest(prompt=prompt, workplace=workplace, models=("openai/gpt-campaign",), project="p")
    run_id = await app.runner.start(request)
    await app.engine.work(None, 1)
    state = await app.runner.state(run_id)
    notes = [event.data.note for event in await app.journal.events(run_id) if event.data.type == "files_snapshot"]
    if any(notes):
        raise AssertionError(f"{prompt} has no snapshot: {next(note for note in notes if note)}")
    if state.reason != "end_turn":
        raise AssertionError(f"{prompt} ended {state.reason}: {state.ended or state.waiting}")
    return run_id


async def _undone(app: App, run_id: str, ask: UndoAsk) -> None:
    try:
        await app.undo.undo(run_id, ask)
    except NothingSelected:
        return


def _differences(when: str, wanted: Standing, found: Standing, mine: Mapping[str, bytes]) -> list[str]:
    touched = [path for path, data in mine.items() if found.get(path, ("", 0, b""))[2] != data]
    problems = [f"{when}: the person's {path} was touched" for path in touched]
    for path in sorted(wanted.keys() | found.keys() - mine.keys()):
        one, other = wanted.get(path), found.get(path)
        if one == other or path.endswith(".log") or path.startswith("ignored"):
            continue
        if one is not None and one[0] == "folder" and other is None and not _inside(path, wanted):
            # Empty folders are not part of a snapshot.
            continue
        if one is None and other is not None and other[0] == "folder" and _inside(path, found) == {"ignored"}:
            continue
        problems.append(f"{when}: {path}: wanted {_shown(one)}, found {_shown(other)}")
    return problems


def _inside(folder: str, standing: Standing) -> set[str]:
    """What kinds of files a folder holds."""
    files = (path for path, state in standing.items() if path.startswith(f"{folder}/") and state[0] != "folder")
    return {"ignored" if path.endswith(".log") else "kept" for path in files}


def _shown(state: tuple[str, int, bytes] | None) -> str:
    return "nothing" if state is None else f"{state[0]} {state[1]:o} {state[2][:40]!r}"


@dataclass
class Plan:
    """A tree and what is done to it: `steps` of the model, of which the first `keep` are kept by a half undo.

    `known` are text files whose content can be told while planning.
    """

    number: int
    steps: list[Step] = field(default_factory=list)
    used: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.number)
        self.tree: dict[str, tuple[bytes, int]] = {}
        self.links: dict[str, str] = {}
        for name in self.chance.sample(NAMES, self.chance.randint(3, len(NAMES))):
            self.tree[name] = (self._content(name), self.chance.choice((0o644, 0o644, 0o755, 0o600, 0o640)))
        if self.chance.random() < 0.7:
            self.links["link"] = self.chance.choice(("a.txt", "nowhere", "sub"))
        self.git = self.chance.choice(("committed", "staged", "none"))
        self.known = {name: data.decode() for name, (data, _) in self.tree.items() if _is_text(data) and data}
        self.there = set(self.tree)
        for _ in range(self.chance.randint(2, 6)):
            self.steps.append(self._step())
        self.keep = self.chance.randint(1, len(self.steps))
        self.checks_half = self.chance.random() < 0.4

    def plant(self, place: Path) -> None:
        """Make the tree at `place`."""
        place.mkdir(parents=True)
        for name, (data, mode) in self.tree.items():
            path = place / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            path.chmod(mode)
        for name, target in self.links.items():
            os.symlink(target, place / name)
        (place / ".gitignore").write_text("*.log\nignored/\n")
        (place / "ignored").mkdir()
        (place / "ignored" / "data.bin").write_bytes(b"\0" * 100)
        if self.git != "none":
            quiet = {"cwd": place, "check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            subprocess.run(["git", "init", "-q"], **quiet)  # type: ignore[call-overload]
            subprocess.run(["git", "add", "-A"], **quiet)  # type: ignore[call-overload]
            if self.git == "committed":
                who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
                subprocess.run(["git", *who, "commit", "-qm", "x"], **quiet)  # type: ignore[call-overload]

    def _content(self, name: str) -> bytes:
        if name == "bin.dat":
            return self.chance.randbytes(self.chance.randint(0, 3000)) + b"\0"
        lines = [f"{self.chance.choice(WORDS)} {index}" for index in range(self.chance.randint(1, 12))]
        ending = self.chance.choice(("\n", "\n", "\r\n"))
        text = ending.join(lines) + self.chance.choice((ending, ""))
        return text.encode(self.chance.choice(("utf-8", "utf-8", "utf-8-sig")))

    def _step(self) -> Step:
        makers = [self._edit, self._write, self._new, self._patch, self._command, self._command, self._command]
        calls: list[tuple[str, Mapping[str, object]]] = []
        while not calls:
            for _ in range(self.chance.randint(1, 2)):
                calls += self.chance.choice(makers)()
        return Step(tools=calls)

    def _edit(self) -> list[tuple[str, Mapping[str, object]]]:
        names = [name for name, text in self.known.items() if len(_lines(text)) > 1]
        if not names:
            return []
        name = self.chance.choice(names)
        lines = _lines(self.known[name])
        unique = [line for line in lines if line.strip() and self.known[name].count(line) == 1 and "\ufeff" not in line]
        if not unique:
            return []
        old, new = self.chance.choice(unique), f"edited {self.chance.random()}"
        self.known[name] = self.known[name].replace(old, new)
        self.used["edit_file"] += 1
        return [("read_file", {"path": name}), ("edit_file", {"path": name, "edits": [{"old": old, "new": new}]})]

    def _write(self) -> list[tuple[str, Mapping[str, object]]]:
        if not self.known:
            return []
        name = self.chance.choice(sorted(self.known))
        self.known.pop(name)
        self.used["write_file"] += 1
        content = f"rewritten {self.chance.random()}\nby the agent\n"
        return [("read_file", {"path": name}), ("write_file", {"path": name, "content": content})]

    def _new(self) -> list[tuple[str, Mapping[str, object]]]:
        name = f"{self.chance.choice(('', 'sub/', 'brand/new/'))}new{self.chance.randint(0, 10**6)}.txt"
        content = f"new {self.chance.random()}\nlines\n"
        self.known[name] = content
        self.there.add(name)
        self.used["write_file (new)"] += 1
        return [("write_file", {"path": name, "content": content})]

    def _patch(self) -> list[tuple[str, Mapping[str, object]]]:
        odd = set("\r\ufeff")
        plain = sorted(name for name, text in self.known.items() if not odd & set(text) and text.endswith("\n"))
        if not plain:
            return []
        rows, reads = ["*** Begin Patch"], []
        gone = self.chance.choice(plain)
        reads.append(gone)
        verb = self.chance.choice(("delete", "update", "move"))
        lines = self.known[gone].split("\n")[:-1]
        if verb == "delete" or not lines[0].strip() or lines.count(lines[0]) > 1:
            rows.append(f"*** Delete File: {gone}")
        else:
            rows.append(f"*** Update File: {gone}")
            if verb == "move":
                rows.append(f"*** Move to: moved/m{self.chance.randint(0, 10**6)}.txt")
            rows += ["@@", f"-{lines[0]}", f"+patched {self.chance.random()}"]
        self.known.pop(gone)
        self.there.discard(gone)
        rows += [f"*** Add File: patch/n{self.chance.randint(0, 10**6)}.txt", "+added", "+by a patch", "*** End Patch"]
        self.used["apply_patch"] += 1
        calls: list[tuple[str, Mapping[str, object]]] = [("read_file", {"path": name}) for name in reads]
        return [*calls, ("apply_patch", {"patch": "\n".join(rows)})]

    def _command(self) -> list[tuple[str, Mapping[str, object]]]:
        name = self.chance.choice(sorted(self.there)) if self.there else "nothing"
        quoted, number = f"'{name}'", self.chance.randint(0, 10**6)
        command = self.chance.choice(
            (
                f"rm -f {quoted}",
                f"mkdir -p made{number} && mv {quoted} made{number}/ 2>/dev/null; rmdir made{number} 2>/dev/null; true",
                f"chmod {self.chance.choice(('600', '755', '444', '640'))} {quoted}",
                f"echo more >>{quoted}",
                f": >{quoted}",
                f"sed -i 's/a/A/' {quoted}",
                f"seq {number % 5000} | tr '\\n' '\\000' >rand{number}.bin",
                f"ln -sfn target{number} link",
                f"rm -f {quoted}; mkdir -p {quoted} && echo inner >{quoted}/inner",
                f"cp -p {quoted} copy{number} && echo log >out{number}.log",
                "rm -rf sub && echo 'now a file' >sub",
                "rm -rf sub && ln -s elsewhere sub",
                "echo changed >>ignored/data.bin; echo x >ignored/new.log",
                "find . -type f -name '*.txt' -not -path './.git/*' -exec sed -i '1s/^/# /' {} +",
                f"printf 'caf\\xe9' >\"$(printf 'lat\\xe9n{number}')\"",
            )
        )
        # What a command did is not known while planning.
        self.known.clear()
        if command.startswith("rm") or "mv " in command or "find" in command:
            self.there.discard(name)
        self.used["shell"] += 1
        return [("shell", {"command": command})]


def _lines(text: str) -> list[str]:
    return [line.removesuffix("\r") for line in text.split("\n") if line]


def _is_text(data: bytes) -> bool:
    return b"\0" not in data
