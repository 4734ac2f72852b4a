"""What a run was asked to do: recorded once, in its first event, and never changed."""

from typing import Any, Literal

from pydantic import Field

from acp_agent.domain.base import Frozen
from acp_agent.domain.blast import BlastLimits
from acp_agent.domain.budget import Limits
from acp_agent.domain.hook import Hook
from acp_agent.domain.message import Image
from acp_agent.domain.policy import Mode
from acp_agent.domain.rules import Rule
from acp_agent.domain.skill import SkillEntry


class Workplace(Frozen):
    """Where a run works. All paths are absolute.

    `inplace`: in `root` itself. `worktree`: in a git worktree at `worktree`, on the new branch `branch` that starts
    from commit `base` of the repository `root`; `target` is the branch it started from and is merged into. `subdir` is
    the project's directory inside the repository ("" for the whole). `also` are further directories, named by absolute
    paths: file tools work in them too, commands only read them. A host that has no `root` may clone `url` instead.
    """

    kind: Literal["inplace", "worktree"]
    root: str
    worktree: str | None = None
    branch: str | None = None
    base: str | None = None
    target: str | None = None
    subdir: str = ""
    also: tuple[str, ...] = ()
    url: str | None = None


class Gate(Frozen):
    """A command that must pass before a result counts; `timeout` in seconds."""

    name: str
    run: str
    timeout: float = 600.0


Lookup = Literal["none", "wanted", "needed"]
"""Whether a task asked for a network to look things up; `needed`: an answer that was not looked up does not count."""


class RunRequest(Frozen):
    """One unit of work. `models` is the resolved chain, each `provider/model`, tried in that order.

    `answer_schema` is a JSON schema the final answer must fit. `scopes` are the budgets every call is booked in, `caps`
    those in US dollars of each `day` and `month`, over all that is asked.
    `attended` says that a person watches, `effort` is the thought level asked of the model, None for its own.
    `instructions` is the project's AGENTS.md as it was read at the start. `setup` is a command run once in a new
    worktree. `egress` are the hosts it may reach, as patterns of domain/egress.py, `lookup` says whether it must.
    `skills` are those on offer, as they were found at the start, `hooks` those of the project, `rules` of its own file,
    which only tighten, and `tags` its tags.

    `said` is what a person typed, where a command file made the prompt of it; `images` came with the prompt.

    A run of a loop names it (`loop_id`) and its `iteration`. `blast` is how far it may reach, `protect_ignored` keeps
    commands from writing to folders that git ignores, `protect` are globs of files that are protected as those that
    govern are. `queue` names the workers that may take it, None: whoever started it drives it, or `acp resume`;
    `version` is the acp-agent that queued it, for workers of the same only; `config` are hashes of what its settings
    say that decides how it goes on, by part (`config/fingerprint.py`): another host that may take it must agree.
    """

    prompt: str
    workplace: Workplace
    models: tuple[str, ...]
    session_id: str = ""
    project: str = ""
    batch_id: str | None = None
    loop_id: str | None = None
    iteration: int | None = None
    role: str = "coder"
    role_prompt: str = ""
    instructions: str = ""
    mode: Mode = Mode.AUTO
    effort: str | None = None
    read_only: bool = False
    commit: bool = True
    limits: Limits = Field(default_factory=Limits)
    blast: BlastLimits = Field(default_factory=BlastLimits)
    protect_ignored: bool = False
    protect: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    caps: dict[str, float] = Field(default_factory=dict)
    answer_schema: dict[str, Any] | None = None
    setup: str | None = None
    gates: tuple[Gate, ...] = ()
    title: str = ""
    said: str = ""
    images: tuple[Image, ...] = ()
    attended: bool = False
    egress: tuple[str, ...] = ()
    lookup: Lookup = "none"
    skills: tuple[SkillEntry, ...] = ()
    hooks: tuple[Hook, ...] = ()
    rules: tuple[Rule, ...] = ()
    tags: tuple[str, ...] = ()
    queue: str | None = None
    version: str = ""
    config: dict[str, str] = Field(default_factory=dict)
