"""The help, word for word: what people see first."""

from collections.abc import Callable
from typing import Any

import pytest
from inline_snapshot import snapshot

from acp_agent.surfaces.cli.root import COMMANDS

Acp = Callable[..., Any]


def test_the_help_of_acp(acp: Acp) -> None:
    assert acp("--help").stdout == snapshot("""\
Usage: acp [OPTIONS] COMMAND [ARGS]...

  A coding agent over your projects: every step on record, nothing lost when it
  is killed.

Options:
  --version   Show the version and exit.
  --debug     Show the trace of an error.
  -h, --help  Show this message and exit.

Commands:
  init        Find git repositories and write projects.toml.
  trust       Trust the commands of a projects.toml: PATH, ls, or rm PATH.
  projects    List and check the projects.
  run         Give one prompt to a directory or to many projects.
  loop        Work towards a goal in many checked iterations.
  schedule    Let loops run at their times, by timers or workers.
  chat        Talk to the agent in a directory, in the terminal.
  serve       Be the agent of an editor, over stdin and stdout or HTTP.
  token       Give tokens of acp serve --http to others: add, ls, rm.
  ps          List batches and runs.
  show        Show one run or batch: status, next action, result.
  logs        Print what happened, one line per event.
  diff        Print the changes a run made.
  accept      Merge results into the branch they started from.
  reject      Refuse results; their commits are kept under a ref.
  undo        Take back what a run changed.
  worker      Drive queued runs, of this host or of any.
  resume      Go on with interrupted work.
  retry       Try again what killed its process, or what nobody knows.
  stop        Stop everything, until acp resume --all.
  cancel      End runs that are queued, running or waiting.
  pause       Let a loop begin no further iteration for now.
  steer       Tell a loop what to try next.
  take        Pause a run and work in its workplace yourself.
  give        Give a workplace back: the run goes on.
  approve     Answer what a run is waiting for.
  cost        Sum up what was spent, by project, model, role, loop or day.
  budget      Show budgets and cap them: a day, a month, a project, a model...
  models      Say which models were found, and try them.
  skills      List skills, and check those you write.
  audit       Check the record's chain of digests: verify, export.
  forget      Erase what is on record of a run, or of a text.
  gc          Remove what is kept and old, and compact the database.
  export      Write the record of a run, batch, loop or session to a file.
  import      Take a record that was exported into this store.
  backup      Write the whole store to one file, while it is in use.
  restore     Put a backup in the place of the store.
  auth        Sign in to MCP servers, sign out, see where you are signed in.
  doctor      Check what acp needs on this machine.
  completion  Print the completion script of a shell.

  Exit codes: 0 ok, 1 failed, 2 usage, 3 a limit, 4 waits for you, 5 nothing
  selected, 6 refused, 130 interrupted.
""")


def test_the_help_of_run(acp: Acp) -> None:
    assert acp("run", "--help").stdout == snapshot("""\
Usage: acp run [OPTIONS] [PROMPT|@TASK] [DIR]

  Give one prompt to a directory or to many projects.

  Each project works in a worktree and on a branch of its own; your checkouts
  stay as they are until `acp accept`.

Options:
  -f, --file FILE                 Read the prompt from FILE (- is standard
                                  input).
  -t, --tags A,B                  Projects with all these tags.
  -e, --expr EXPR                 Tag expression: '(python || rust) && !legacy'.
  -p, --project NAME              A project by name.
  --all                           Every project.
  --limit N                       At most N projects, in the order of the file.
                                  [x>=1]
  --projects FILE                 The projects.toml to use (default:
                                  $ACP_PROJECTS, upward from here, then the
                                  user's).
  -j, --jobs N                    Runs at the same time.  [default: 4;
                                  1<=x<=256]
  --read-only                     Offer no tool that edits or runs anything.
  --schema FILE|TEXT              Every answer fits it: a JSON Schema, or 'kind:
                                  a|b, files: int'.
  --max-steps N                   Model calls per project.  [x>=1]
  --max-cost USD                  Money for the whole batch.
  --max-cost-each USD             Money per project.
  --timeout TIME                  Time per project: 90s, 30m, 1h30m.
  --model MODEL                   A model or an alias of the config.
  --role ROLE                     A role of the config (default: coder).
  --commit / --no-commit          Commit each result on its branch (default), or
                                  leave it.
  --plan                          Show selection, order, model and cost range;
                                  start nothing.
  --detach                        Queue it for a worker (acp worker) and end at
                                  once.
  --queue QUEUE                   With --detach: any, or host.NAME (default:
                                  this host's).
  --yes                           Do not ask before spending.
  -o, --output [auto|stream|table|json|jsonl|quiet]
                                  Form of the result.  [default: auto]
  --out FILE                      Write the result there, not to stdout.
  --debug                         Show the trace of an error.
  -h, --help                      Show this message and exit.

  Examples:
    acp run "add type hints" --tags=python
    acp run "which dependencies are outdated?" --all --read-only --schema 'outdated: list[str]'
    acp run -f task.md ../api --max-cost 0.50
    acp run @outdated --plan
""")


@pytest.mark.parametrize("name", [*COMMANDS, "projects ls", "projects check", "models ls", "models test"])
def test_every_command_explains_itself(acp: Acp, name: str) -> None:
    for option in ("-h", "--help"):
        said = acp(*name.split(), option)
        assert (said.code, said.stderr) == (0, "")
        assert said.stdout.startswith(f"Usage: acp {name} ")
        assert "--debug" in said.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_the_script_of_a_shell(acp: Acp, shell: str) -> None:
    said = acp("completion", shell)
    assert said.code == 0
    assert "_ACP_COMPLETE" in said.stdout
