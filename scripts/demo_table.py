"""Shows what a model answered about the sample projects beside what our own code can say of them without any model.

python scripts/demo_table.py ANSWERS.json     the document of `acp run -o json`; the projects lie beside the file
python scripts/demo_table.py --newest         the id of the newest batch in the document of `acp ps -o json` on stdin
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio

from acp_agent.fleet.facts import Facts, gather
from acp_agent.llm.demonstration import LABEL, is_demonstration

FACTS = ("main language", "tests", "files", "lines", "last commit")


def main(arguments: Sequence[str]) -> int:
    """Print the table."""
    if list(arguments) == ["--newest"]:
        batches = json.load(sys.stdin)["batches"]
        print(max(batches, key=lambda batch: batch["created_at"])["batch"])
        return 0
    path = Path(arguments[0])
    document = json.loads(path.read_text("utf-8"))
    projects: list[dict[str, Any]] = document["projects"]
    facts = anyio.run(_facts, path.parent, [row["project"] for row in projects])
    for line in table(projects, facts):
        print(line)
    return 0


async def _facts(folder: Path, names: Sequence[str]) -> list[Facts]:
    return [await gather(name, folder / name) for name in names]


def table(projects: Sequence[dict[str, Any]], facts: Sequence[Facts]) -> list[str]:
    """Two halves with a line between them: the answers, and the facts."""
    fields = list(dict.fromkeys(name for row in projects for name in row["answer"] or {}))
    left = [["project", *fields]]
    left += [[row["project"], *(_shown((row["answer"] or {}).get(name)) for name in fields)] for row in projects]
    right = [list(FACTS), *(_cells(fact) for fact in facts)]
    model = next((row["model"] for row in projects if row["model"]), "no model")
    who = f"{LABEL}, {model}" if is_demonstration(model) else model
    heads = (f"ANSWERS by {who}", "FACTS by our own code, no model")
    halves = [_aligned(left, len(heads[0])), _aligned(right, len(heads[1]))]
    lines = [f"{heads[0]:{len(halves[0][0])}} | {heads[1]}"]
    lines += [f"{one} | {other}".rstrip() for one, other in zip(*halves, strict=True)]
    return [*lines, "", _agreement(projects, facts)]


def _cells(fact: Facts) -> list[str]:
    language = fact.main_language.lower()
    return [language, _shown(fact.test_files > 0), str(fact.files), str(fact.lines), fact.last_commit]


def _shown(value: object) -> str:
    if value is None:
        return "no answer"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _aligned(rows: Sequence[Sequence[str]], least: int) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)) for row in rows]
    return [f"{line:{least}}" for line in lines]


def _agreement(projects: Sequence[dict[str, Any]], facts: Sequence[Facts]) -> str:
    """How often an answer is what our own code found, for the fields that it can check."""
    pairs = list(zip(projects, facts, strict=True))
    language = sum((row["answer"] or {}).get("language") == fact.main_language.lower() for row, fact in pairs)
    tests = sum((row["answer"] or {}).get("has_tests") is (fact.test_files > 0) for row, fact in pairs)
    number = len(pairs)
    return f"The answers agree with the facts: language {language} of {number}, has_tests {tests} of {number}."


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
