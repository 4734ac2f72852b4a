"""What a model is told about each tool: a change here changes what models do."""

# ruff: noqa: E501  (what a model reads stands here as it reads it)

import pytest
from inline_snapshot import snapshot

from acp_agent.tools.guard import Guard


@pytest.mark.bwrap
def test_what_a_model_is_told_about_the_tools(guard: Guard) -> None:
    told = {
        name: (
            spec.description,
            spec.parameters,
            f"{spec.kind}, risk {spec.risk}, {'repeatable' if spec.repeatable else 'once'}",
        )
        for name, spec in guard.specs().items()
    }
    assert told == snapshot(
        {
            "read_file": (
                """\
Read a text file. Each line comes with its number and a tab before it; these are not part of the file.

A file must be read before it can be edited. At most 2000 lines or 50 kB come at once; read on with offset.\
""",
                {
                    "additionalProperties": False,
                    "properties": {
                        "path": {"description": "File to read, relative to the workspace.", "type": "string"},
                        "offset": {"default": 1, "description": "First line to read.", "minimum": 1, "type": "integer"},
                        "limit": {
                            "default": 2000,
                            "description": "Lines to read, at most 2000.",
                            "minimum": 1,
                            "type": "integer",
                        },
                    },
                    "required": ["path"],
                    "type": "object",
                },
                "read, risk 0, repeatable",
            ),
            "list_files": (
                "List files below a directory, sorted, without those git ignores (and node_modules where there is no git).",
                {
                    "additionalProperties": False,
                    "properties": {
                        "path": {
                            "default": ".",
                            "description": "Directory to list, relative to the workspace.",
                            "type": "string",
                        },
                        "glob": {
                            "minLength": 1,
                            "type": "string",
                            "description": "Only files that match, as in .gitignore: `*.py` anywhere below, `src/**/*.ts` from the directory.",
                        },
                    },
                    "type": "object",
                },
                "search, risk 0, repeatable",
            ),
            "search": (
                "Search file contents with a regular expression. Returns `path:line: text`; files git ignores are left out.",
                {
                    "additionalProperties": False,
                    "properties": {
                        "pattern": {"description": "Regular expression, per line.", "minLength": 1, "type": "string"},
                        "path": {
                            "default": ".",
                            "description": "File or directory to search, relative to the workspace.",
                            "type": "string",
                        },
                        "glob": {
                            "minLength": 1,
                            "type": "string",
                            "description": "Only files that match, e.g. `*.py`.",
                        },
                        "ignore_case": {"default": False, "type": "boolean"},
                        "max": {
                            "default": 100,
                            "description": "Matching lines to return.",
                            "maximum": 1000,
                            "minimum": 1,
                            "type": "integer",
                        },
                    },
                    "required": ["pattern"],
                    "type": "object",
                },
                "search, risk 0, repeatable",
            ),
            "edit_file": (
                """\
Replace exact pieces of text in a file that was read before.

Each old must occur exactly once unless all is true. Edits apply in order, and either all of them or none. Put
several changes of one file in one call.\
""",
                {
                    "additionalProperties": False,
                    "properties": {
                        "path": {"description": "File to edit, relative to the workspace.", "type": "string"},
                        "edits": {
                            "description": "Replacements, made one after the other; all or none of them.",
                            "items": {
                                "additionalProperties": False,
                                "description": "One replacement.",
                                "properties": {
                                    "old": {
                                        "description": "Text to replace, exactly as in the file with its indentation; must occur exactly once.",
                                        "type": "string",
                                    },
                                    "new": {"description": "Text to put in its place.", "type": "string"},
                                    "all": {
                                        "default": False,
                                        "description": "Replace every occurrence instead of one.",
                                        "type": "boolean",
                                    },
                                },
                                "required": ["old", "new"],
                                "type": "object",
                            },
                            "minItems": 1,
                            "type": "array",
                        },
                    },
                    "required": ["path", "edits"],
                    "type": "object",
                },
                "edit, risk 1, once",
            ),
            "write_file": (
                """\
Write a whole file: a new one, or one that was read before. Directories are made as needed.

To change part of a file use edit_file.\
""",
                {
                    "additionalProperties": False,
                    "properties": {
                        "path": {"description": "File to write, relative to the workspace.", "type": "string"},
                        "content": {"description": "The whole content.", "type": "string"},
                    },
                    "required": ["path", "content"],
                    "type": "object",
                },
                "edit, risk 1, once",
            ),
            "plan": (
                "Show people your plan for work of several steps. Each call replaces the plan; keep one step in progress.",
                {
                    "additionalProperties": False,
                    "properties": {
                        "steps": {
                            "description": "The whole plan in order.",
                            "items": {
                                "additionalProperties": False,
                                "description": "One step.",
                                "properties": {
                                    "text": {"minLength": 1, "type": "string"},
                                    "status": {
                                        "default": "pending",
                                        "enum": ["pending", "in_progress", "completed"],
                                        "type": "string",
                                    },
                                },
                                "required": ["text"],
                                "type": "object",
                            },
                            "maxItems": 50,
                            "type": "array",
                        }
                    },
                    "required": ["steps"],
                    "type": "object",
                },
                "think, risk 0, repeatable",
            ),
            "ask_user": (
                """\
Ask a person, where guessing wrong would do harm or cost much and the project does not tell.

The run waits for the answer. Give a default wherever one makes sense: where nobody watches it is taken at once.\
""",
                {
                    "additionalProperties": False,
                    "properties": {
                        "question": {
                            "description": "The question, complete in itself.",
                            "maxLength": 4000,
                            "minLength": 1,
                            "type": "string",
                        },
                        "choices": {
                            "default": [],
                            "description": "Answers to choose from; others stay possible.",
                            "items": {"type": "string"},
                            "maxItems": 12,
                            "type": "array",
                        },
                        "default": {
                            "maxLength": 1000,
                            "type": "string",
                            "description": "The answer that holds when nobody answers.",
                        },
                        "deadline": {
                            "exclusiveMinimum": 0,
                            "maximum": 604800.0,
                            "type": "number",
                            "description": "Seconds to wait for somebody who watches; then the default holds.",
                        },
                    },
                    "required": ["question"],
                    "type": "object",
                },
                "other, risk 0, once",
            ),
            "shell": (
                """\
Run a command in bash and return its exit status and output (stdout and stderr together).

It runs in a sandbox: the workspace is writable, the rest of the system read-only, the home directory and the
network are not there, and /tmp is empty each time. `git commit` works; git's configuration and hooks, and files
that editors or agents act upon (.vscode, .mcp.json), cannot be changed. In a batch your changes are committed
for you. No process outlives the command, and nothing can be typed into it.\
""",
                {
                    "additionalProperties": False,
                    "properties": {
                        "command": {"description": "What bash runs.", "minLength": 1, "type": "string"},
                        "timeout": {
                            "default": 120.0,
                            "description": "Seconds after which it is stopped, at most 600.",
                            "exclusiveMinimum": 0,
                            "maximum": 600.0,
                            "type": "number",
                        },
                        "cwd": {
                            "default": ".",
                            "description": "Directory to run in, relative to the workspace.",
                            "type": "string",
                        },
                    },
                    "required": ["command"],
                    "type": "object",
                },
                "execute, risk 1, once",
            ),
        }
    )
