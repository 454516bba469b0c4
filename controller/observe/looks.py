"""Reads single workflow jobs of one source by their ids, and looks up why GitHub does not
give them to idle runners.

Only jobs that wait beside an idle runner are read, and only while some are under suspicion
is anything looked up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from controller.core.causes import Check
from controller.core.model import Admission, JobLook, JobStatus, RegistrationScope
from controller.core.passed_over import Wanted
from controller.ports import Causes, Clock, Jobs, UpstreamError

EVERY = 120.0
"""Seconds between two reads of one job at least."""

SPACING = 0.5
"""Seconds between two reads at least."""

MOST_WANTED = 32
"""Jobs of a source that are read at a time, whatever its pools want: two requests each, at most every
:data:`EVERY` seconds."""

MOST_KEPT = 256
"""Jobs of which it is kept how they were read last."""


MOST_CHECKS = 16
"""Causes that are looked up for a source, three requests each at most."""

CheckKey = tuple[RegistrationScope, str, str] | tuple[RegistrationScope, str]
"""Scope, runner group and repository; or scope and version."""


class Source(Jobs, Causes, Protocol):
    """What is asked of GitHub."""


def _keys(check: Check) -> list[CheckKey]:
    return [
        *((check.scope, check.group, repository) for repository in check.repositories),
        *((check.scope, version) for version in check.versions),
    ]


class LookObserver:
    """Keeps what the newest read of each wanted job showed. A read that fails is tried again
    later, and shows nothing.
    """

    def __init__(self, *, github: Source, clock: Clock, changed: Callable[[], None]) -> None:
        """Build an observer that has read nothing.

        Args:
            github: Its source.
            clock: Time.
            changed: Called when something was read.
        """
        self._github = github
        self._clock = clock
        self._changed = changed
        self._wanted: dict[int, Wanted] = {}
        self._tried_at: dict[int, float] = {}
        self._seen: dict[int, JobLook] = {}
        self._checks: dict[CheckKey, float] = {}
        self._admissions: dict[tuple[RegistrationScope, str, str], Admission] = {}
        self._ended: dict[tuple[RegistrationScope, str], bool] = {}
        self._wake = asyncio.Event()

    def looks(self) -> Mapping[int, JobLook]:
        """Return what was read, by the id of the job."""
        return dict(self._seen)

    def admissions(self) -> Mapping[tuple[RegistrationScope, str, str], Admission]:
        """Return what is known of runner groups, see :class:`controller.core.model.Snapshot`."""
        return dict(self._admissions)

    def versions_ended(self) -> Mapping[tuple[RegistrationScope, str], bool]:
        """Return what is known of versions, see :class:`controller.core.model.Snapshot`."""
        return dict(self._ended)

    def want(self, wanted: Sequence[Wanted], checks: Sequence[Check] = ()) -> None:
        """Say which jobs should be read, and since when a read helps, and which causes should be looked up.

        Those of the call before are forgotten. Idempotent.
        """
        self._wanted = {one.job_id: one for one in wanted[:MOST_WANTED]}
        keys = dict.fromkeys(key for check in checks for key in _keys(check))
        self._checks = {key: self._checks.get(key, -EVERY) for key in list(keys)[:MOST_CHECKS]}
        self._admissions = {key: seen for key, seen in self._admissions.items() if key in self._checks}
        self._ended = {key: ended for key, ended in self._ended.items() if key in self._checks}
        if self._next() is not None or self._next_check() is not None:
            self._wake.set()

    def _next_check(self) -> CheckKey | None:
        now = self._clock.mono()
        return next((key for key, tried_at in self._checks.items() if now - tried_at >= EVERY), None)

    async def _check(self, key: CheckKey) -> None:
        """Look one cause up. What cannot be looked up is not known, whatever was found before."""
        self._checks[key] = self._clock.mono()
        scope = key[0].scope
        try:
            if len(key) == 3:
                self._admissions.pop(key, None)
                self._admissions[key] = await self._github.admission(scope, key[1] or None, key[2])
            else:
                self._ended.pop(key, None)
                self._ended[key] = await self._github.version_ended(scope, key[1])
        except UpstreamError:
            return
        self._changed()

    def _next(self) -> Wanted | None:
        now = self._clock.mono()
        for one in self._wanted.values():
            seen = self._seen.get(one.job_id)
            waits = now - self._tried_at.get(one.job_id, -EVERY) < EVERY
            if now >= one.after and not waits and (seen is None or seen.asked_at < one.after):
                return one
        return None

    async def step(self) -> bool:
        """Read one job, or look one cause up, if one is due; return whether there was one."""
        one = self._next()
        if one is None:
            key = self._next_check()
            if key is not None:
                await self._check(key)
            return key is not None
        asked_at = self._tried_at[one.job_id] = self._clock.mono()
        try:
            read = await self._github.job(one.repository, one.job_id)
            run_ended = await self._run_ended(one) if read.status is not JobStatus.COMPLETED else None
        except UpstreamError:
            return True
        self._seen.pop(one.job_id, None)
        self._seen[one.job_id] = JobLook(
            status=read.status, asked_at=asked_at, run_ended=run_ended, spaced=read.spaced
        )
        while len(self._seen) > MOST_KEPT:
            del self._seen[next(iter(self._seen))]
        while len(self._tried_at) > MOST_KEPT:
            del self._tried_at[next(iter(self._tried_at))]
        self._changed()
        return True

    async def _run_ended(self, one: Wanted) -> str | None:
        """Return how the job's run has ended, None while it goes on or cannot be read: this only explains."""
        try:
            run = await self._github.run(one.repository, one.run_id)
        except UpstreamError:
            return None
        return run.conclusion if run is not None else None

    async def run(self) -> None:
        """Read what is wanted, for ever."""
        while True:
            if await self.step():
                await asyncio.sleep(SPACING)
                continue
            self._wake.clear()
            await self._wake.wait()
