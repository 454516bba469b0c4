"""How log lines look: one line an event, with the ids that belong to it, as text or as JSON."""

from __future__ import annotations

import logging
import time

from pythonjsonlogger.json import JsonFormatter

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_KOPF = frozenset({"k8s_ref", "k8s_skip", "settings"})
"""What kopf hangs on its records: an object reference and its settings, for its own handlers."""


class TextFormatter(logging.Formatter):
    """``2026-11-21T09:00:00Z INFO launched pool=ci/t4 runner=…``."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
        self.converter = time.gmtime

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """Append what was given as ``extra``."""
        line = super().formatMessage(record)
        extra = {
            k: v for k, v in record.__dict__.items() if k not in _STANDARD | _KOPF and v not in ("", None)
        }
        return line + "".join(f" {key}={_quoted(value)}" for key, value in extra.items())


def _quoted(value: object) -> str:
    text = str(value)
    return f'"{text}"' if " " in text else text


def configure_logging(log_format: str, level: str) -> None:
    """Send every log line of the process to stderr in one format (``text`` or ``json``)."""
    handler = logging.StreamHandler()
    if log_format == "json":
        handler.setFormatter(
            JsonFormatter(
                "%(asctime)s %(levelname)s %(message)s",
                rename_fields={"asctime": "time", "levelname": "level"},
                datefmt="%Y-%m-%dT%H:%M:%S%z",
                reserved_attrs=[*_STANDARD, *_KOPF],
            )
        )
    else:
        handler.setFormatter(TextFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for chatty in ("httpx", "httpcore", "httpx2", "httpcore2", "asyncio", "aiohttp.access", "kopf"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.getLogger().level))
