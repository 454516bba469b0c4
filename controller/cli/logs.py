"""How log lines look: one line an event, with the ids that belong to it, as text or as JSON.

The fields that lines have in common: ``pool`` (namespace/name), ``runner``, ``hf_job`` and ``workflow_job`` (ids), ``reason``
(one of docs/reference/reasons.md), ``detail``.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from pythonjsonlogger.json import JsonFormatter

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_KOPF = frozenset({"k8s_ref", "k8s_skip", "settings"})
"""What kopf hangs on its records: an object reference and its settings, for its own handlers."""

_CHATTY = (
    "httpx",
    "httpcore",
    "httpx2",
    "httpcore2",
    "huggingface_hub",
    "asyncio",
    "aiohttp",
    "kopf",
    "kubernetes",
)
"""Loggers of libraries, which tell of every request, watch and retry; what we do about them is told by us."""


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    """Return what a line says beside its message: what was given as ``extra``, and the pool that kopf speaks of."""
    given = {k: v for k, v in record.__dict__.items() if k not in _STANDARD | _KOPF and v not in ("", None)}
    about = getattr(record, "k8s_ref", None)
    if isinstance(about, dict) and about.get("name"):
        given.setdefault("pool", f"{about.get('namespace') or 'default'}/{about['name']}")
    return given


class TextFormatter(logging.Formatter):
    """``2026-11-21T09:00:00Z INFO launched pool=ci/t4 runner=…``."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
        self.converter = time.gmtime

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """Append the fields."""
        line = super().formatMessage(record).replace("\n", " ")
        return line + "".join(f" {key}={_quoted(value)}" for key, value in _fields(record).items())


def _quoted(value: object) -> str:
    """Return a value in one line; quotes within stay as they are, for this is for people, and JSON for programs."""
    text = " ".join(str(value).split())
    return f'"{text}"' if " " in text else text


class OneLineJson(JsonFormatter):
    """``{"time": …, "level": "INFO", "message": "launched", "pool": "ci/t4", …}``."""

    def __init__(self) -> None:
        super().__init__(
            "%(asctime)s %(levelname)s %(name)s %(message)s",
            rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
            datefmt="%Y-%m-%dT%H:%M:%SZ",
            reserved_attrs=[*_STANDARD, *_KOPF],
            json_ensure_ascii=False,
        )
        self.converter = time.gmtime

    def add_fields(
        self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]
    ) -> None:
        """Add the fields; what is empty is left out."""
        super().add_fields(log_data, record, message_dict)
        for key in [key for key, value in log_data.items() if value in ("", None)]:
            del log_data[key]
        log_data.update(_fields(record))


def configure_logging(log_format: str, level: str) -> None:
    """Send every log line of the process to stderr in one format (``text`` or ``json``)."""
    handler = logging.StreamHandler()
    handler.setFormatter(OneLineJson() if log_format == "json" else TextFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for chatty in _CHATTY:
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.getLogger().level))
