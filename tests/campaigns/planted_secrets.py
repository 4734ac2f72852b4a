"""Plants secrets in all that a run reads, says and fails with, in pieces, and looks for them in all that it leaves."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import shutil
import string
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from acp_agent.domain.secret_forms import forms_of
from acp_agent.testing.script import Rule, Step
from tests.acceptance.acp.desk import CONFIG, Desk

SECRETS = 100
WORD = string.ascii_letters + string.digits
TOKENS: tuple[Callable[[random.Random], str], ...] = (
    lambda chance: "sk-proj-" + _some(chance, WORD + "_-", 80),
    lambda chance: "sk-ant-api03-" + _some(chance, WORD + "_-", 93),
    lambda chance: "ghp_" + _some(chance, WORD, 36),
    lambda chance: "github_pat_" + _some(chance, WORD + "_", 82),
    lambda chance: "glpat-" + _some(chance, WORD + "_-", 20),
    lambda chance: "AIza" + _some(chance, WORD, 35),
    lambda chance: "xoxb-" + _some(chance, WORD, 40),
    lambda chance: "sk_live_" + _some(chance, WORD, 24),
    lambda chance: "npm_" + _some(chance, WORD, 36),
    lambda chance: "hf_" + _some(chance, WORD, 34),
    lambda chance: f"eyJ{_some(chance, WORD, 30)}.{_some(chance, WORD, 60)}.{_some(chance, WORD + '_-', 43)}",
)
FORMS: tuple[Callable[[str], str], ...] = (
    str,
    str,
    lambda secret: base64.b64encode(f"user:{secret}".encode()).decode(),
    lambda secret: quote(secret, safe=""),
    lambda secret: secret.encode().hex(),
    lambda secret: json.dumps({"key": secret}),
    lambda secret: f"{secret[:9]}\n{secret[9:]}",
)
CHANNELS = (
    *("prompt", "instructions", "file", "file name", "stdout", "stderr", "gate", "error"),
    *("said", "thought", "argument", "content", "answer"),
)
"""Where a secret is planted: in what a person says, in the project, in what programs print, in what a model says."""
SOURCES = ("variable", "url", "named file", ".env", "shape")
"""How we could know of it; by its shape alone in half of the cases."""


@dataclass(frozen=True)
class Planted:
    """One secret: where it is planted, in which words, and how it could be known."""

    value: str
    source: str
    channel: str
    words: str

    @property
    def needles(self) -> set[str]:
        """What may be found nowhere: every form, and parts of the plain one that nobody would guess."""
        return forms_of(self.value) | {self.value[-14:], self.value[len(self.value) // 2 :][:14]}


@dataclass
class Trial:
    """What one run and one session left behind: by place, the bytes that may hold no secret."""

    planted: list[Planted]
    left: dict[str, bytes] = field(default_factory=dict)
    reached: Counter[str] = field(default_factory=Counter)

    def leaks(self) -> list[str]:
        """Every secret that is somewhere, and where."""
        found = []
        for place, data in self.left.items():
            texts = (data, data.replace(b"\n", b"").replace(b"\\n", b""))
            found += [
                f"{secret.source} secret of {secret.channel} in {place}: {secret.words!r}"
                for secret in self.planted
                if any(needle.encode() in text for needle in secret.needles for text in texts)
            ]
        return found


def plant(chance: random.Random, count: int) -> list[Planted]:
    """`count` secrets, each channel and source in turn."""
    planted = []
    for number in range(count):
        source = "shape" if number % 2 else SOURCES[number // 2 % (len(SOURCES) - 1)]
        channel = CHANNELS[number % len(CHANNELS)]
        value = chance.choice(TOKENS)(chance) if source == "shape" else _some(chance, WORD + "+/=_-", 24)
        # A shape is known by itself alone; what we know is known in any form. Names of files have no slash.
        form = str if source == "shape" or channel == "file name" else chance.choice(FORMS)
        value = value.replace("/", "_") if channel == "file name" else value
        planted.append(Planted(value, source, channel, form(value)))
    return planted


async def trial(root: Path, chance: random.Random, count: int) -> Trial:
    """A run by `acp run` and a turn of an editor, both of a model that says and does what is planted."""
    done = Trial(plant(chance, count))
    desk = Desk(root, _script(chance, done.planted), CONFIG)
    _fill(desk.project, done.planted)
    (root / "projects.toml").write_text(
        'version = 1\n[gates]\nleak = { run = "cat gate.txt; exit 1" }\n'
        '[projects.desk]\npath = "project"\ngates = ["leak"]\n',
        "utf-8",
    )
    with desk.server:
        environment = {**desk.environment, **_known(root, desk.project, done.planted)}
        for name, words in {
            "trust": ("trust", str(root / "projects.toml")),
            "run": ("run", _told(done.planted, "prompt"), "-p", "desk", "--projects", str(root / "projects.toml")),
        }.items():
            extra = ("-o", "jsonl", "--yes") if name == "run" else ()
            await asyncio.to_thread(_acp, done, name, (*words, *extra), environment, root)
        async with desk.editor(environment=environment) as editor:
            session = await desk.session(editor, "auto")
            turn = await editor.prompt(session, f"go on; {_told(done.planted, 'prompt')}")
            lines = [line.data for line in editor.lines if not line.sent]
            again = await editor.load_session(session, desk.project)
        assert editor.process is not None
        done.left |= {
            "protocol": b"\n".join(lines) + json.dumps(again).encode(),
            "protocol, joined": turn.text().encode(),
            "stderr of serve": editor.process.errors.encode(),
        }
        for name in ("show", "logs", "ps"):
            await asyncio.to_thread(_acp, done, name, (name,), environment, root)
        await asyncio.to_thread(_acp, done, "export", ("audit", "export"), environment, root)
        done.left["model"] = b"\n".join(json.dumps(request.body).encode() for request in desk.server.requests)
    for path in sorted((root / "state").glob("acp.db*")):
        done.left[path.name] = path.read_bytes()
    done.reached = Counter(event.type for event in desk.facts())
    return done


def _acp(done: Trial, name: str, words: tuple[str, ...], environment: Mapping[str, str], cwd: Path) -> None:
    command = [sys.executable, "-m", "acp_agent.main", *words]
    ended = subprocess.run(command, cwd=cwd, env=dict(environment), capture_output=True, timeout=120, check=False)
    done.left[f"stdout of {name}"], done.left[f"stderr of {name}"] = ended.stdout, ended.stderr


def _known(root: Path, project: Path, planted: list[Planted]) -> dict[str, str]:
    """The places where our own secrets are, none of which may leave it."""
    environment: dict[str, str] = {}
    settings: list[str] = []
    for number, secret in enumerate(planted):
        match secret.source:
            case "variable":
                environment[f"ACME_{number}_TOKEN"] = secret.value
            case "url":
                environment[f"DATABASE_{number}"] = f"postgres://me:{quote(secret.value, safe='')}@db.invalid/x"
            case "named file":
                (root / f"secret-{number}").write_text(secret.value + "\n", "utf-8")
                environment[f"ACME_{number}_PASSWORD_FILE"] = str(root / f"secret-{number}")
            case ".env":
                settings.append(f'export ACME_{number}_API_KEY="{secret.value}"')
    (project / ".env").write_text("\n".join(settings) + "\n", "utf-8")
    return environment


def _fill(project: Path, planted: list[Planted]) -> None:
    for name, channel in (("AGENTS.md", "instructions"), ("notes.txt", "file"), ("gate.txt", "gate")):
        (project / name).write_text(_told(planted, channel), "utf-8")
    for name, channel in (("out.txt", "stdout"), ("err.txt", "stderr")):
        (project / name).write_text(_told(planted, channel), "utf-8")
    for secret in planted:
        if secret.channel == "file name":
            (project / f"of.{secret.value}.txt").write_text("nothing\n", "utf-8")
    (project / "say.py").write_text(
        # In pieces, as programs print that do not care for lines.
        "import sys\nfor name, stream in (('out.txt', sys.stdout), ('err.txt', sys.stderr)):\n"
        "    text = open(name).read()\n    for at in range(0, len(text), 7):\n"
        "        stream.write(text[at:at + 7]); stream.flush()\n",
        "utf-8",
    )
    (project / ".gitignore").write_text(".env\n", "utf-8")
    for words in (("add", "-A"), ("commit", "-q", "-m", "planted")):
        subprocess.run(["git", "-C", str(project), *words], check=True, capture_output=True)


def _script(chance: random.Random, planted: list[Planted]) -> list[Rule]:
    """What the model does, its words cut anywhere; one of its errors names secrets too."""
    calls = [
        ("shell", {"command": f"echo '{secret.words}'"})
        if number % 2
        else ("write_file", {"path": f"made-{number}.txt", "content": f"x\n{secret.words}\n"})
        for number, secret in enumerate(planted)
        if secret.channel in ("argument", "content")
    ]
    turns = [
        Step(
            text=_told(planted, "said"),
            reasoning=_told(planted, "thought"),
            tools=[("shell", {"command": "python3 say.py; cat err.txt >&2; env"})],
            chunk=chance.randint(1, 9),
        ),
        Step(tools=[("read_file", {"path": "notes.txt"}), ("list_files", {"path": "."})], chunk=chance.randint(1, 9)),
        Step(tools=[("search", {"pattern": "[a-z]{3}"}), ("read_file", {"path": ".env"})], chunk=chance.randint(1, 9)),
        Step(tools=calls, chunk=chance.randint(1, 40), interleave=True),
        Step(text=_told(planted, "answer"), chunk=chance.randint(1, 9)),
    ]
    error = {"message": _told(planted, "error"), "type": "server_error", "code": "server_error"}
    return [
        Rule(reply=Step(status=500, error=error), turn=2, since="prompt", times_each=1),
        Rule(turns=turns, since="prompt", repeat_last=True),
    ]


def _told(planted: list[Planted], channel: str) -> str:
    return "".join(f"{channel} has {secret.words} in it\n" for secret in planted if secret.channel == channel)


def _some(chance: random.Random, characters: str, length: int) -> str:
    return "".join(chance.choice(characters) for _ in range(length - 2)) + "b7"


def main(n: int | None, seed: int) -> int:
    """Run `n` trials (default 10) of 100 secrets each; returns 1 where one was found anywhere."""
    trials, failed, began = n or 10, 0, time.monotonic()
    for number in range(seed, seed + trials):
        root = Path(tempfile.mkdtemp(prefix="acp-planted-"))
        done = asyncio.run(trial(root, random.Random(number), SECRETS))
        leaks = done.leaks()
        failed += bool(leaks)
        size = sum(map(len, done.left.values()))
        places = f"{len(done.left)} places, {size / 1e6:.1f} MB"
        print(
            f"seed {number}: {len(leaks)} leaks of {SECRETS} secrets in {places}", *leaks[:20], sep="\n  ", flush=True
        )
        shutil.rmtree(root)
    print(f"{trials} trials, {failed} with a leak, {time.monotonic() - began:.0f} s")
    return 1 if failed else 0
