"""The log of an HF Job, line by line, across broken streams (hf-jobs.md §1.4)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from urllib.parse import quote

from controller.adapters import incoming
from controller.adapters.huggingface.account import AccountClient
from controller.adapters.huggingface.errors import ConflictError, HubError, NotFoundError
from controller.adapters.huggingface.refusals import malformed
from controller.adapters.huggingface.values import JSON, parse_job
from controller.core.model import Disposition
from controller.core.text import text

FOLLOWED_SILENCE = 90.0
"""Seconds: the Hub sends a comment every 30 while a job says nothing."""

SHORT_SILENCE = 2.0
"""Seconds after which a log that is not followed has been read to its end: the stream of a live job has
none."""

WHOLE_SECONDS = 1.0
"""What the Hub's ``Date`` leaves out."""

LONGEST_TIME = 64
"""Characters of a line's time."""

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 15.0
"""Seconds between two streams of one job, doubled as long as nothing comes."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a log; ``at`` is the Hub's time of it, as written, empty without one."""

    at: str
    text: str


class _Replay:
    """Tells what is new: each stream begins with the whole log again, or with its tail.

    Lines are in the order of their times, and several may share one. So a line of the newest time is new once
    those that were seen of that time have come again, in their order. Lines without a time all have the same
    one.
    """

    def __init__(self) -> None:
        self._newest = ""
        self._seen: list[str] = []
        self._again = 0

    def again(self) -> None:
        """Begin another stream."""
        self._again = 0

    def is_new(self, line: LogLine) -> bool:
        """Return whether a line was not seen before, and note it."""
        if line.at < self._newest:
            return False
        if line.at > self._newest:
            self._newest, self._seen = line.at, []
        elif self._again < len(self._seen):
            self._again += line.text == self._seen[self._again]
            return False
        self._seen.append(line.text)
        self._again = len(self._seen)
        return True


class HubLogs(AccountClient):
    """Logs of one account's HF Jobs."""

    async def lines(self, job_id: str, *, follow: bool, tail: int | None = None) -> AsyncGenerator[LogLine]:
        """Yield the lines of a job's log.

        Args:
            job_id: The HF Job.
            follow: Go on until the job has ended, over as many streams as it takes; else stop at what there
                is now.
            tail: Begin with the last lines only.

        Raises:
            HubError: The Hub refuses, or (unless followed) does not answer.
        """
        path = f"/api/jobs/{quote(self._account.namespace, safe='')}/{quote(job_id, safe='')}"
        replay, pause = _Replay(), FIRST_PAUSE
        while True:
            replay.again()
            ended = True
            try:
                # Asked before the stream is read: what ends meanwhile may have written more than the stream
                # told.
                ended, now = await self._look(path)
                until = None if follow else now + WHOLE_SECONDS + SHORT_SILENCE
                async with aclosing(self._once(path, tail=tail, until=until)) as stream:
                    async for line in stream:
                        tail = None  # the next stream is told apart by what was seen
                        if replay.is_new(line):
                            pause = FIRST_PAUSE
                            yield line
            except HubError as error:
                passes = error.failure.disposition in (Disposition.RETRY, Disposition.WAIT)
                # What is answered for the log of a job that has not started is documented nowhere.
                not_yet = not ended and isinstance(error, NotFoundError | ConflictError)
                if not follow or not (passes or not_yet):
                    raise
                pause = max(pause, error.failure.retry_after or 0.0)
            else:
                if ended or not follow:
                    return
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _look(self, path: str) -> tuple[bool, float]:
        """Return whether a job has ended, and the Hub's time."""
        answer = await self._wire.get(path)
        try:
            job = parse_job(answer.payload, account=self._account)
        except ValueError as error:
            raise malformed(call=answer.call, why=str(error)) from None
        return job.stage.ended, answer.server_time

    async def _once(self, path: str, *, tail: int | None, until: float | None) -> AsyncGenerator[LogLine]:
        """Yield the lines of one stream; with ``until``, a time of the Hub's, those that were written
        before.
        """
        query = [("tail", str(tail))] if tail is not None else []
        silence = FOLLOWED_SILENCE if until is None else SHORT_SILENCE
        async with aclosing(self._wire.lines(f"{path}/logs", query=query, silence=silence)) as stream:
            async for raw in stream:
                line = _parse(raw)
                if line is None:
                    continue
                if until is not None and (incoming.moment(line.at) or 0.0) > until:
                    return  # a job that talks all the time is never silent
                yield line


def _parse(raw: str) -> LogLine | None:
    """Read one line of server-sent events; comments and other events are none of ours."""
    if not raw.startswith("data: {"):
        return None
    try:
        found = incoming.parse_json(raw.removeprefix("data: ").encode())
    except incoming.UnreadableError:
        return None
    return LogLine(at=text(found.get("timestamp"), LONGEST_TIME), text=_words(found.get("data")))


def _words(data: JSON) -> str:
    """Return a line as it was written, escape sequences and all; only what no file can hold is replaced."""
    return data.encode(errors="replace").decode().rstrip("\r\n") if isinstance(data, str) else ""
