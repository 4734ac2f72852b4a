"""The command `acp` itself: the table of its commands."""

import click

from acp_agent import __version__
from acp_agent.surfaces.cli.group import LazyGroup

_HERE = "acp_agent.surfaces.cli."

COMMANDS = {
    "init": (_HERE + "init:init", "Find git repositories and write projects.toml."),
    "trust": (_HERE + "trust:trust", "Trust the commands of a projects.toml: PATH, ls, or rm PATH."),
    "projects": (_HERE + "projects:projects", "List and check the projects."),
    "run": (_HERE + "run:run", "Give one prompt to a directory or to many projects."),
    "loop": (_HERE + "loop:loop", "Work towards a goal in many checked iterations."),
    "schedule": (_HERE + "schedule:schedule", "Let loops run at their times, by timers or workers."),
    "chat": (_HERE + "chat.command:chat", "Talk to the agent in a directory, in the terminal."),
    "serve": (_HERE + "serve:serve", "Be the agent of an editor, over stdin and stdout or HTTP."),
    "token": (_HERE + "token:token", "Give tokens of acp serve --http to others: add, ls, rm."),
    "ps": (_HERE + "ps:ps", "List batches and runs."),
    "show": (_HERE + "show:show", "Show one run or batch: status, next action, result."),
    "logs": (_HERE + "logs:logs", "Print what happened, one line per event."),
    "diff": (_HERE + "review:diff", "Print the changes a run made."),
    "accept": (_HERE + "review:accept", "Merge results into the branch they started from."),
    "reject": (_HERE + "review:reject", "Refuse results; their commits are kept under a ref."),
    "undo": (_HERE + "undo:undo", "Take back what a run changed."),
    "worker": (_HERE + "worker:worker", "Drive queued runs, of this host or of any."),
    "resume": (_HERE + "steer:resume", "Go on with interrupted work."),
    "retry": (_HERE + "approve:retry", "Try again what killed its process, or what nobody knows."),
    "stop": (_HERE + "stop:stop", "Stop everything, until acp resume --all."),
    "cancel": (_HERE + "steer:cancel", "End runs that are queued, running or waiting."),
    "pause": (_HERE + "loop_review:pause", "Let a loop begin no further iteration for now."),
    "steer": (_HERE + "loop_review:steer", "Tell a loop what to try next."),
    "take": (_HERE + "hand:take", "Pause a run and work in its workplace yourself."),
    "give": (_HERE + "hand:give", "Give a workplace back: the run goes on."),
    "approve": (_HERE + "approve:approve", "Answer what a run is waiting for."),
    "cost": (_HERE + "cost:cost", "Sum up what was spent, by project, model, role, loop or day."),
    "budget": (_HERE + "cost:budget", "Show budgets and cap them: a day, a month, a project, a model..."),
    "models": (_HERE + "models:models", "Say which models were found, and try them."),
    "skills": (_HERE + "skills:skills", "List skills, and check those you write."),
    "audit": (_HERE + "audit:audit", "Check the record's chain of digests: verify, export."),
    "forget": (_HERE + "forget:forget", "Erase what is on record of a run, or of a text."),
    "gc": (_HERE + "gc:gc", "Remove what is kept and old, and compact the database."),
    "export": (_HERE + "transfer:export", "Write the record of a run, batch, loop or session to a file."),
    "import": (_HERE + "transfer:import_", "Take a record that was exported into this store."),
    "backup": (_HERE + "backup:backup", "Write the whole store to one file, while it is in use."),
    "restore": (_HERE + "backup:restore", "Put a backup in the place of the store."),
    "auth": (_HERE + "auth:auth", "Sign in to MCP servers, sign out, see where you are signed in."),
    "doctor": (_HERE + "doctor:doctor", "Check what acp needs on this machine."),
    "completion": (_HERE + "completion:completion", "Print the completion script of a shell."),
}

EPILOG = (
    "Exit codes: 0 ok, 1 failed, 2 usage, 3 a limit, 4 waits for you, 5 nothing selected, 6 refused, 130 interrupted."
)


@click.command(
    cls=LazyGroup,
    table=COMMANDS,
    name="acp",
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(__version__, prog_name="acp", message="%(prog)s %(version)s")
def acp() -> None:
    """A coding agent over your projects: every step on record, nothing lost when it is killed."""
