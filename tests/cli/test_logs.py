"""Log lines: one per event, with fields that parse."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from controller.cli.logs import MOST_FIELD, MOST_TRACEBACK, OneLineJson, TextFormatter, configure_logging
from controller.core.text import text


def record(message: str, level: int = logging.INFO, **extra: Any) -> logging.LogRecord:
    made = logging.getLogger("controller.test").makeRecord(
        "controller.test", level, "file.py", 1, message, (), None, extra=extra
    )
    made.created = 1_790_000_000.0
    return made


def test_text_is_one_line_whose_fields_can_be_told_apart() -> None:
    line = TextFormatter().format(
        record(
            "launched", pool="ci/t4", runner="t4-hfr-1", hf_job="", reason=None, detail='said "no"\nand left'
        )
    )
    assert line == '2026-09-21T14:13:20Z INFO launched pool=ci/t4 runner=t4-hfr-1 detail="said "no" and left"'


def test_json_has_the_same_fields_and_leaves_out_what_is_empty() -> None:
    line = OneLineJson().format(
        record("läuft\nweiter", logging.WARNING, pool="ci/t4", workflow_job=17, hf_job="")
    )
    assert "\n" not in line
    assert json.loads(line) == {
        "time": "2026-09-21T14:13:20Z",
        "level": "WARNING",
        "logger": "controller.test",
        "message": "läuft weiter",
        "pool": "ci/t4",
        "workflow_job": 17,
    }


@pytest.mark.parametrize("formatter", [TextFormatter(), OneLineJson()])
def test_what_kopf_says_of_an_object_names_the_pool_and_not_its_settings(
    formatter: logging.Formatter,
) -> None:
    about = {
        "apiVersion": "hfrunners.dev/v1alpha1",
        "kind": "RunnerPool",
        "namespace": "ci",
        "name": "t4",
        "uid": "u",
    }
    line = formatter.format(
        record("Handler failed", logging.ERROR, k8s_ref=about, k8s_skip=True, settings=object())
    )
    assert "ci/t4" in line
    assert "object at" not in line
    assert "k8s" not in line


def test_a_traceback_is_in_the_line_in_json() -> None:
    try:
        int("a cause")
    except ValueError as error:
        failed = record("pass failed", logging.ERROR)
        failed.exc_info = (type(error), error, error.__traceback__)
    line = OneLineJson().format(failed)
    assert "\n" not in line
    assert "ValueError: invalid literal" in json.loads(line)["exc_info"]


def test_libraries_are_heard_only_when_something_is_wrong() -> None:
    root = logging.getLogger()
    before = (root.level, list(root.handlers))
    chatty = (
        "httpx",
        "httpx2",
        "kopf",
        "kopf.objects",
        "kubernetes.client.rest",
        "huggingface_hub",
        "asyncio",
        "aiohttp.access",
    )
    try:
        configure_logging("json", "info")
        assert [name for name in chatty if logging.getLogger(name).isEnabledFor(logging.INFO)] == []
        assert [name for name in chatty if not logging.getLogger(name).isEnabledFor(logging.WARNING)] == []
        assert logging.getLogger("controller.execute.executor").isEnabledFor(logging.INFO)
    finally:
        root.setLevel(before[0])
        root.handlers[:] = before[1]
        for name in chatty:
            logging.getLogger(name.partition(".")[0]).setLevel(logging.NOTSET)


# --------------------------------------------------------------------------------------- what strangers wrote
EVIL = 'acme/lib "\x1b[2J\x1b[1;1Hjob\u202e" \x9b31m \ud800\n2026-09-21T14:13:20Z INFO launched pool=ci/t4'
FORMATTERS = pytest.mark.parametrize("formatter", [TextFormatter(), OneLineJson()], ids=["text", "json"])


def shows_nothing_that_a_terminal_obeys(line: str) -> bool:
    line.encode()
    return text(line, len(line), lines=True) == line


@FORMATTERS
@pytest.mark.parametrize("field", ["message", "detail", "pool", "anything"])
def test_no_field_brings_an_escape_sequence_or_a_line_of_its_own(
    formatter: logging.Formatter, field: str
) -> None:
    extra: dict[str, Any] = {field: EVIL}
    line = formatter.format(record(EVIL) if field == "message" else record("told", **extra))
    assert shows_nothing_that_a_terminal_obeys(line)
    assert "\n" not in line
    assert "\\u001b" not in line


@FORMATTERS
def test_both_forms_show_the_same_text(formatter: logging.Formatter) -> None:
    line = formatter.format(record("told", detail="\x1b[2J größe 模型"))
    assert "\ufffd[2J größe 模型" in line


@FORMATTERS
def test_what_is_no_text_is_written_as_one(formatter: logging.Formatter) -> None:
    line = formatter.format(record("told", detail=["\x1b[2J", {"a": "\ud800"}], count=17, waited=0.5))
    assert shows_nothing_that_a_terminal_obeys(line)
    assert "17" in line
    assert "0.5" in line


@FORMATTERS
def test_a_message_without_end_is_cut(formatter: logging.Formatter) -> None:
    assert len(formatter.format(record("n" * 10**6, detail="d" * 10**6))) < 3 * MOST_FIELD


@FORMATTERS
def test_a_traceback_is_bounded_and_none_of_its_lines_begins_like_an_event(
    formatter: logging.Formatter,
) -> None:
    def deep(left: int) -> None:
        if left:
            deep(left - 1)
        raise ValueError(EVIL + "x" * 10**6 + "\n2026-09-21T14:13:20Z INFO the end")

    failed = record("pass failed", logging.ERROR)
    try:
        deep(50)
    except ValueError as error:
        failed.exc_info = (type(error), error, error.__traceback__)
    line = formatter.format(failed)
    assert len(line) < 2 * MOST_TRACEBACK
    assert shows_nothing_that_a_terminal_obeys(line)
    assert "Traceback" in line
    assert "INFO the end" in line
    assert "in deep" in line
    told = json.loads(line)["exc_info"] if line.startswith("{") else line.partition("\n")[2]
    assert all(one.startswith("  ") for one in told.split("\n"))
