"""HF Jobs of one account over the few routes that the controller needs (hf-jobs.md §1)."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from urllib.parse import quote

from controller.adapters.counted import counted
from controller.adapters.huggingface.account import AccountClient
from controller.adapters.huggingface.answer import Answer
from controller.adapters.huggingface.errors import (
    BlockedError,
    ConflictError,
    MalformedError,
    NotFoundError,
    RejectedError,
)
from controller.adapters.huggingface.refusals import Asked, malformed
from controller.adapters.huggingface.values import JSON, carried_labels, parse_identity, parse_job
from controller.core.model import Failure, HFJob, HubAccount, Observation, Stage
from controller.ports import LaunchSpec, UpstreamError

LIVE = (Stage.SCHEDULING, Stage.RUNNING)
"""The stages that a list asks for."""

MOST_PAGES, MOST_ROWS, MOST_BYTES = 200, 10_000, 256 * 2**20
"""Pages, entries and unpacked bytes of one list; the page size is unknown, and one account had 826 jobs on
several pages (hf-jobs.md §1.3). Each entry holds the bootstrap script, some 27 kB; what we keep of it is some
2 kB, one page at a time."""

LIST_DEADLINE = 300.0
"""Seconds for one whole list."""

WORK_OF_A_ROW = 1024
"""Bytes of which an entry counts at least as many when it is decided whether a page is read on the event
loop: reading one takes as long as parsing so many."""

# What makes an image a Space, as huggingface_hub has it (hf-jobs.md §1.1).
_SPACE = re.compile(r"(?:https://)?(?:huggingface\.co|hf\.co)/spaces/(?P<id>.+)")


class HubJobs(AccountClient):
    """HF Jobs of one account: :class:`controller.ports.Hub` over HTTP."""

    _user: tuple[int, str] = (0, "")
    """Whose the token is, with the number of the content of the Secret that it was asked with; empty while it
    is not known."""

    @property
    def _path(self) -> str:
        return f"/api/jobs/{quote(self._account.namespace, safe='')}"

    @counted
    async def live(self, labels: Mapping[str, str]) -> Observation[HFJob]:
        """List live HF Jobs that carry all the labels, to the last page.

        A page that fails fails the list. An entry that is ours and cannot be read makes it incomplete and is
        named: the others are still good, but its absence must not read as its end.
        """
        asked_at = self._clock.mono()
        query = [*(("stage", stage.value) for stage in LIVE), *_label_query(labels)]
        jobs: dict[str, HFJob] = {}
        failure: Failure | None = None
        server_time: float | None = None
        async with aclosing(self._walk(query)) as pages:
            async for page in pages:
                if page.first:
                    jobs, failure, server_time = {}, None, None
                found, broken = await self._ours(page, labels)
                jobs.update((job.id, job) for job in found)  # the later page is the newer answer
                failure = failure or (broken.failure if broken else None)
                server_time = page.server_time if server_time is None else server_time
        live = await self._judge([job for job in jobs.values() if not job.ended])
        return Observation(
            items=tuple(live),
            asked_at=asked_at,
            server_time=self._clock.wall() if server_time is None else server_time,
            failure=failure,
        )

    async def _judge(self, jobs: Sequence[HFJob]) -> Sequence[HFJob]:
        """Return the jobs with whether somebody else made each of them."""
        user = await self._whose_token() if any(job.creator for job in jobs) else ""
        return [_judged(job, user) for job in jobs]

    async def _whose_token(self) -> str:
        """Return the name of the token's user, asked for once for each token; empty while the Hub does not
        tell, which costs the list nothing.
        """
        try:
            asked_with = await self._wire.credential()
            if self._user[0] != asked_with or not self._user[1]:
                answer = await self._wire.get("/api/whoami-v2")
                self._user = asked_with, parse_identity(answer.payload).name
        except (UpstreamError, ValueError):
            return ""
        return self._user[1]

    @counted
    async def find(self, labels: Mapping[str, str]) -> Sequence[HFJob]:
        """Return HF Jobs of any stage that carry all the labels, newest first.

        The history has no end, and neither how the Hub joins several labels nor its order is sure (hf-jobs.md
        §1.3). So only the last label is asked for, and the others are checked here: name the most telling one
        last.

        Raises:
            HubError: Also when an entry cannot be read: it may be the one.
        """
        jobs: dict[str, HFJob] = {}
        async with aclosing(self._walk(_label_query(labels)[-1:])) as pages:
            async for page in pages:
                if page.first:
                    jobs = {}
                found, broken = await self._ours(page, labels)
                if broken is not None:
                    raise broken
                jobs.update((job.id, job) for job in found)
        return await self._judge(sorted(jobs.values(), key=lambda job: (-job.created_at, job.id)))

    @counted
    async def inspect(self, job_id: str) -> HFJob | None:
        """Return one HF Job, or None when the Hub knows it no more."""
        return await self._inspect(job_id)

    async def _inspect(self, job_id: str) -> HFJob | None:
        try:
            answer = await self._wire.get(self._job(job_id))
        except NotFoundError:
            return None
        return self._read(answer.payload, call=answer.call, effect=False)

    @counted
    async def launch(self, spec: LaunchSpec) -> HFJob:
        """Create an HF Job; sent once, whatever happens."""
        answer = await self._wire.post(
            self._path, asked=Asked.LAUNCH, body=job_spec(spec), secrets=spec.secrets.values()
        )
        return self._read(answer.payload, call=answer.call, effect=True)

    @counted
    async def cancel(self, job_id: str) -> None:
        """Ask the Hub to end a job; one that ended already, or is unknown, is no error."""
        asked_with = await self._wire.credential()
        try:
            await self._wire.post(f"{self._job(job_id)}/cancel", asked=Asked.CANCEL)
        except NotFoundError:
            return
        except (BlockedError, ConflictError, RejectedError):
            # How the Hub refuses to cancel what has ended is not documented (hf-jobs.md §1.5), so look at the
            # job: with the token that was refused, since another one may not see a job that still runs.
            job = await self._inspect(job_id)
            if self._wire.rotated_since(asked_with) or (job is not None and not job.ended):
                raise

    async def close(self) -> None:
        """Do nothing: connections belong to the shared session, which its maker closes."""

    def _job(self, job_id: str) -> str:
        return f"{self._path}/{quote(job_id, safe='', errors='replace')}"

    async def _walk(self, query: Sequence[tuple[str, str]]) -> AsyncGenerator[_Page]:
        """Follow a list to its end, page by page; it begins anew where the Secret is rotated on the way.

        Pages that were shown to two tokens are no list of either: what is absent from it may well be there.
        """
        until = self._clock.mono() + LIST_DEADLINE
        answer = await self._wire.get(self._path, query=query)
        shown_to, seen, number, rows, size = answer.credential, {""}, 0, 0, 0
        while True:
            if answer.credential != shown_to:
                answer = await self._wire.get(self._path, query=query)
                shown_to, seen, number, rows, size = answer.credential, {""}, 0, 0, 0
            page = replace(_page(answer), first=not number)
            number, rows, size = number + 1, rows + len(page.entries), size + answer.size
            if rows > MOST_ROWS or size > MOST_BYTES:
                raise malformed(
                    call=answer.call, why=f"it has more than {MOST_ROWS} entries or {MOST_BYTES} bytes"
                )
            following = answer.next
            yield page
            if following is None:
                return
            if following in seen or number >= MOST_PAGES or self._clock.mono() > until:
                raise malformed(call=page.call, why="its pages do not end")
            seen.add(following)
            answer = await self._wire.get(self._path, query=following)

    async def _ours(
        self, page: _Page, labels: Mapping[str, str]
    ) -> tuple[list[HFJob], MalformedError | None]:
        """Read a page's jobs that carry the labels, apart from the event loop if there are many."""
        work = partial(_ours, page.entries, labels, self._account)
        jobs, why = await self._wire.work(max(page.size, len(page.entries) * WORK_OF_A_ROW), work)
        return jobs, malformed(call=page.call, why=why) if why else None

    def _read(self, payload: JSON, *, call: str, effect: bool) -> HFJob:
        try:
            return parse_job(payload, account=self._account)
        except ValueError as error:
            raise malformed(call=call, why=str(error), effect=effect) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Page:
    first: bool = False
    entries: list[Any]
    call: str
    server_time: float
    size: int


def _ours(entries: Iterable[JSON], labels: Mapping[str, str], account: HubAccount) -> tuple[list[HFJob], str]:
    """Return the jobs that carry the labels, and why the first one that may be among them cannot be read.

    Whether the Hub joins several labels by AND or OR is disputed (hf-jobs.md §1.3), so they are compared
    here.
    """
    jobs: list[HFJob] = []
    why = ""
    for entry in entries:
        carried = carried_labels(entry)
        if carried is not None and not labels.items() <= carried.items():
            continue
        try:
            jobs.append(parse_job(entry, account=account))
        except ValueError as error:
            why = why or str(error)
    return jobs, why


def _page(answer: Answer) -> _Page:
    if not isinstance(answer.payload, list):
        raise malformed(call=answer.call, why="it is no list")
    return _Page(entries=answer.payload, call=answer.call, server_time=answer.server_time, size=answer.size)


def _label_query(labels: Mapping[str, str]) -> list[tuple[str, str]]:
    return [("label", f"{key}={value}") for key, value in labels.items()]


def job_spec(spec: LaunchSpec) -> dict[str, JSON]:
    """Return the body that asks for an HF Job (hf-jobs.md §1.1).

    ``attempts`` is 1 in words: a runner's JIT config is single use, so a second attempt could only fail and
    cost.
    """
    space = _SPACE.fullmatch(spec.image)
    body: dict[str, JSON] = {
        **({"spaceId": space["id"]} if space else {"dockerImage": spec.image}),
        "command": list(spec.command),
        "arguments": [],
        "environment": dict(spec.environment),
        "flavor": spec.flavor,
        "timeoutSeconds": spec.timeout,
        "attempts": 1,
        "labels": dict(spec.labels),
    }
    if spec.secrets:
        body["secrets"] = dict(spec.secrets)
    if spec.volumes:
        body["volumes"] = [
            {
                "type": volume.type,
                "source": volume.source,
                "mountPath": volume.mount_path,
                "readOnly": volume.read_only,
                **({"revision": volume.revision} if volume.revision is not None else {}),
                **({"path": volume.path} if volume.path is not None else {}),
            }
            for volume in spec.volumes
        ]
    if spec.ssh:
        body["ssh"] = {"enabled": True}
    return body


def _judged(job: HFJob, user: str) -> HFJob:
    """Say whether somebody else made a job than the user of our token, as far as both are known."""
    if not job.creator or job.creator == user:
        return job
    return replace(job, foreign=True if user else None)
