"""`acp export` and `acp import`: a record that another store shows as this one did."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from acp_agent.domain.location import ServerLocation

Acp = Callable[..., Any]


def exported(acp: Acp, name: str, file: Path) -> bytes:
    said = acp("export", name, "--out", str(file))
    assert said.code == 0, said.stderr
    return file.read_bytes()


def test_a_batch_is_shown_elsewhere_as_here(
    acp: Acp, on_record: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = json.loads(acp("show", on_record, "-o", "json").stdout)
    logs = acp("logs", "r_apiaaaaa", "-o", "jsonl").stdout
    file = tmp_path / "batch.jsonl"
    exported(acp, on_record, file)
    assert acp("import", str(file)).code == 6

    monkeypatch.setenv("ACP_HOME", str(tmp_path / "elsewhere"))
    said = acp("import", str(file))
    assert (said.code, said.stdout.rpartition(": ")[2]) == (0, f"acp show {on_record}\n")
    assert json.loads(acp("audit", "verify", "-o", "json").stdout)["whole"]
    assert acp("logs", "r_apiaaaaa", "-o", "jsonl").stdout == logs
    again = json.loads(acp("show", on_record, "-o", "json").stdout)
    assert again["projects"][0] == shown["projects"][0] and again["totals"] == shown["totals"]
    # What was not over there is over here.
    states = {one["project"]: (one["state"], one["reason"]) for one in again["projects"]}
    assert states["web"] == states["tool"] == ("cancelled", "cancelled")
    assert acp("resume", on_record).code == 5
    assert acp("import", str(file)).stderr.startswith("acp: b_aaaaaaaa exists already")


def test_one_run_can_be_carried_alone_by_a_pipe(
    acp: Acp, on_record: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = acp("export", "r_apia").stdout
    monkeypatch.setenv("ACP_HOME", str(tmp_path / "elsewhere"))
    assert json.loads(acp("import", "-", "-o", "json", stdin=text.encode()).stdout)["streams"] == ["r_apiaaaaa"]
    assert acp("show", "r_apiaaaaa").code == 0


def test_what_is_no_export_imports_nothing(
    acp: Acp, on_record: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    lines = exported(acp, on_record, file).splitlines(keepends=True)
    monkeypatch.setenv("ACP_HOME", str(tmp_path / "elsewhere"))
    whole = b"".join(lines)
    for data, line in (
        (b"", 0),
        (b"\xff\xfe\n", 1),
        (b"[1]\n", 1),
        (b'{"a": 1}\n', 1),
        (b"".join(lines[:-1]), len(lines) - 1),
        (whole.replace(b"type hints", b"type hint"), len(lines)),
        (b"".join([lines[0], *lines[2:]]), 2),
        (b"".join([*lines[:2], *lines[3:]]), 3),
        (whole.replace(b'"type": "run_started"', b'"type": "run_begun"'), 5),
    ):
        file.write_bytes(data)
        said = acp("import", str(file))
        assert (said.code, said.stderr.split(" ")[1]) == (2, f"{file}:{line}:"), said
        assert said.stderr.endswith("hint: nothing was imported\n")
    assert acp("import", str(tmp_path / "none")).code == 2
    assert acp("ps", "--all").stdout == ""
    assert acp("export", "r_nothing").code == 2


@pytest.mark.postgres
def test_a_record_moves_to_a_server_and_is_forgotten_there(
    acp: Acp, on_record: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, postgres: ServerLocation
) -> None:
    file = tmp_path / "batch.jsonl"
    exported(acp, on_record, file)
    monkeypatch.setenv("ACP_DATABASE_URL", postgres.url)
    assert acp("import", str(file)).code == 0
    lines = file.read_bytes().splitlines()[1:-1]
    again = tmp_path / "again.jsonl"
    assert set(lines) <= set(exported(acp, on_record, again).splitlines())
    said = acp("forget", "r_worcccc", "--reason", "asked for", "--yes")
    assert said.code == 0, said.stderr
    verdict = json.loads(acp("audit", "verify", "-o", "json").stdout)
    assert verdict["whole"] and {one["stream"] for one in verdict["erased"]} == {"r_worcccc"}
    assert acp("forget", "--match", "TYPE HINTS", "--yes").code == 5
    collected = json.loads(acp("gc", "-o", "json").stdout)
    assert collected["database"] == {"compacted": True, "before": None, "after": None}
    refused = acp("backup", str(tmp_path / "file"))
    assert (refused.code, refused.stderr.splitlines()[-1]) == (2, "hint: use pg_dump")
