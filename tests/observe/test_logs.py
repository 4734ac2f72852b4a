"""Logs hold no secret, whoever writes them."""

import logging

import pytest

from acp_agent.domain.redact import MASK, Redactor
from acp_agent.observe.logs import logs_on_stderr


def test_message_arguments_and_trace_are_masked_and_only_while_it_is_on(capsys: pytest.CaptureFixture[str]) -> None:
    before = list(logging.root.handlers)
    with logs_on_stderr(Redactor(["correct horse"])):
        logger = logging.getLogger("some.library")
        logger.info("not shown")
        logger.warning("key %s", "correct horse")
        try:
            raise ValueError("no correct horse")
        except ValueError:
            logger.exception("failed")
    errors = capsys.readouterr().err
    assert errors.startswith(f"WARNING some.library: key {MASK}\nERROR some.library: failed\nTraceback")
    assert f"ValueError: no {MASK}" in errors and "correct horse" not in errors and "not shown" not in errors
    assert logging.root.handlers == before
