"""Log lines: one per event, with fields that parse."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from controller.cli.logs import OneLineJson, TextFormatter, configure_logging


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
        "message": "läuft\nweiter",
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
