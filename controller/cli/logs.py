"""How log lines look: one line an event, with the ids that belong to it, as text or as JSON.

The fields that lines have in common: ``pool`` (namespace/name), ``runner``, ``hf_job`` and ``workflow_job``
(ids), ``reason`` (one of docs/reference/reasons.md), ``detail``.

Names, messages and exceptions may hold what a stranger wrote, and a log is read on terminals: in both forms
every text is cleaned by the one rule (:mod:`controller.core.text`) and bounded, and no line of a traceback
can be taken for an event of its own.
"""

from __future__ import annotations

import logging
import time
from types import TracebackType
from typing import Any

from pythonjsonlogger.json import JsonFormatter

from controller.core.text import text

MOST_FIELD = 4_096
"""Characters of a message or of one field."""

MOST_TRACEBACK = 16_384
"""Characters of a traceback; of a longer one, the beginning and the end are kept, where the cause is."""

_Raised = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]

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
    """Return what a line says beside its message: what was given as ``extra``, and the pool
    that kopf speaks of.
    """
    given = {k: v for k, v in record.__dict__.items() if k not in _STANDARD | _KOPF and v not in ("", None)}
    about = getattr(record, "k8s_ref", None)
    if isinstance(about, dict) and about.get("name"):
        given.setdefault("pool", f"{about.get('namespace') or 'default'}/{about['name']}")
    return given


def _clean(value: Any) -> Any:  # noqa: ANN401 - whatever a record holds
    """Return a field's value as it may be written: numbers as they are, anything else as text of one line."""
    if value is None or isinstance(value, bool | int | float):
        return value
    shown = str(value)
    return text(shown, min(len(shown), MOST_FIELD))


def _traceback(trace: str) -> str:
    """Return a traceback within bounds, each line indented: none begins as an event does."""
    if len(trace) > MOST_TRACEBACK:
        half = MOST_TRACEBACK // 2
        trace = f"{trace[:half]}\n  ... {len(trace) - 2 * half} characters left out ...\n{trace[-half:]}"
    return "\n".join(f"  {text(line, len(line))}" for line in trace.split("\n"))


class _Tracebacks(logging.Formatter):
    """Bounds what both forms tell of exceptions."""

    def formatException(self, ei: _Raised) -> str:  # noqa: N802 - logging's name
        """Return an exception's traceback."""
        return _traceback(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:  # noqa: N802 - logging's name
        """Return where a line was logged, if that was asked for."""
        return _traceback(super().formatStack(stack_info))


class TextFormatter(_Tracebacks):
    """``2026-11-21T09:00:00Z INFO launched pool=ci/t4 runner=…``."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
        self.converter = time.gmtime

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """Append the fields."""
        record.message = _clean(record.message)
        line = super().formatMessage(record)
        return line + "".join(f" {key}={_quoted(value)}" for key, value in _fields(record).items())


def _quoted(value: object) -> str:
    """Return a value in one line; quotes within stay as they are, for this is for people,
    and JSON for programs.
    """
    shown = " ".join(str(_clean(value)).split())
    return f'"{shown}"' if " " in shown else shown


class OneLineJson(_Tracebacks, JsonFormatter):
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
        for key, value in log_data.items():
            if key not in ("exc_info", "stack_info"):  # these are clean, and have lines
                log_data[key] = _clean(value)


def configure_logging(log_format: str, level: str) -> None:
    """Send every log line of the process to stderr in one format (``text`` or ``json``)."""
    handler = logging.StreamHandler()
    handler.setFormatter(OneLineJson() if log_format == "json" else TextFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for chatty in _CHATTY:
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.getLogger().level))
