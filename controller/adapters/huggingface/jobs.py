"""HF Jobs of one account over the few routes that the controller needs (hf-jobs.md §1)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

import httpx2

from controller.adapters.huggingface.errors import HubError, malformed
from controller.adapters.huggingface.session import JSON, Answer, Wire
from controller.core.model import Disposition, Failure, HFJob, HubAccount, Observation, Stage
from controller.core.reasons import Reason
from controller.ports import Clock, LaunchSpec, UpstreamError

LIVE = (Stage.SCHEDULING, Stage.RUNNING)
"""The stages that a list asks for."""

MOST_PAGES = 200
"""Pages of one list; the page size is unknown, and one account had 826 jobs on several (hf-jobs.md §1.3)."""

_TOKEN = re.compile(r"[\x21-\x7e]+")
# What makes an image a Space, as huggingface_hub has it (hf-jobs.md §1.1).
_SPACE = re.compile(r"(?:https://)?(?:huggingface\.co|hf\.co)/spaces/(?P<id>.+)")
# Refusals that say something about us or the line, not about the job's stage.
_NOT_THE_JOB = frozenset({401, 402, 403, 408, 429})


class HubJobs:
    """HF Jobs of one account: :class:`controller.ports.Hub` over HTTP.

    Args:
        account: Endpoint, namespace, and the Secret's name for messages.
        token: The Secret's token; white space around it is dropped.
        session: From :func:`controller.adapters.huggingface.session.open_session`; shared between accounts.
        clock: Time.
        meter: Told of the HTTP status of every answer.

    Raises:
        UpstreamError: ``SecretMalformed``, the token cannot be sent in a header.
    """

    def __init__(
        self,
        *,
        account: HubAccount,
        token: str,
        session: httpx2.AsyncClient,
        clock: Clock,
        meter: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._account = account
        self._clock = clock
        self._wire = account_wire(account, token=token, session=session, clock=clock, meter=meter)
        self._path = f"/api/jobs/{quote(account.namespace, safe='')}"

    async def live(self, labels: Mapping[str, str]) -> Observation[HFJob]:
        """List live HF Jobs that carry all the labels, to the last page.

        A page that fails fails the list. An entry that is ours and cannot be read makes it incomplete and is named: the
        others are still good, but its absence must not read as its end.
        """
        asked_at = self._clock.mono()
        query = [*(("stage", stage.value) for stage in LIVE), *_label_query(labels)]
        pages = await self._walk(query)
        jobs: dict[str, HFJob] = {}
        failure: Failure | None = None
        for page in pages:
            found, broken = self._ours(page, labels)
            jobs.update((job.id, job) for job in found)  # the later page is the newer answer
            failure = failure or broken
        return Observation(
            items=tuple(job for job in jobs.values() if not job.stage.ended),
            asked_at=asked_at,
            server_time=pages[0].server_time,
            failure=failure,
        )

    async def find(self, labels: Mapping[str, str]) -> Sequence[HFJob]:
        """Return HF Jobs of any stage that carry all the labels, newest first.

        The history has no end, and neither how the Hub joins several labels nor its order is sure (hf-jobs.md §1.3). So only
        the last label is asked for, and the others are checked here: name the most telling one last.

        Raises:
            HubError: Also when an entry cannot be read: it may be the one.
        """
        jobs: dict[str, HFJob] = {}
        for page in await self._walk(_label_query(labels)[-1:]):
            found, broken = self._ours(page, labels)
            if broken is not None:
                raise HubError(broken)
            jobs.update((job.id, job) for job in found)
        return sorted(jobs.values(), key=lambda job: (-job.created_at, job.id))

    async def inspect(self, job_id: str) -> HFJob | None:
        """Return one HF Job, or None when the Hub knows it no more."""
        try:
            answer = await self._wire.get(self._job(job_id))
        except HubError as error:
            if error.status == 404:
                return None
            raise
        return self._read(answer.payload, call=answer.call, effect=False)

    async def launch(self, spec: LaunchSpec) -> HFJob:
        """Create an HF Job; sent once, whatever happens."""
        answer = await self._wire.post(self._path, body=job_spec(spec), secrets=spec.secrets.values())
        return self._read(answer.payload, call=answer.call, effect=True)

    async def cancel(self, job_id: str) -> None:
        """Ask the Hub to end a job; one that ended already, or is unknown, is no error."""
        try:
            await self._wire.post(f"{self._job(job_id)}/cancel", repeatable=True)
        except HubError as error:
            if error.status == 404:
                return
            if error.status is None or error.status >= 500 or error.status in _NOT_THE_JOB:
                raise
            # How the Hub refuses to cancel what has ended is not documented (hf-jobs.md §1.5), so look at the job.
            job = await self.inspect(job_id)
            if job is not None and not job.stage.ended:
                raise

    async def close(self) -> None:
        """Do nothing: connections belong to the shared session, which its maker closes."""

    def _job(self, job_id: str) -> str:
        return f"{self._path}/{quote(job_id, safe='')}"

    async def _walk(self, query: Sequence[tuple[str, str]]) -> list[_Page]:
        """Follow a list to its end."""
        answer = await self._wire.get(self._path, query=query)
        pages, seen = [_page(answer)], {""}
        while answer.next is not None:
            if answer.next in seen or len(pages) >= MOST_PAGES:
                raise malformed(call=answer.call, why="its pages do not end")
            seen.add(answer.next)
            answer = await self._wire.get(self._path, query=answer.next)
            pages.append(_page(answer))
        return pages

    def _ours(self, page: _Page, labels: Mapping[str, str]) -> tuple[list[HFJob], Failure | None]:
        """Read a page's jobs that carry the labels: whether the Hub joins several by AND or OR is disputed (hf-jobs.md §1.3)."""
        jobs, failure = [], None
        for entry in page.entries:
            carried = entry.get("labels", {}) if isinstance(entry, dict) else None
            if isinstance(carried, dict) and not labels.items() <= carried.items():
                continue
            try:
                jobs.append(parse_job(entry, account=self._account))
            except ValueError as error:
                failure = malformed(call=page.call, why=str(error)).failure
        return jobs, failure

    def _read(self, payload: JSON, *, call: str, effect: bool) -> HFJob:
        try:
            return parse_job(payload, account=self._account)
        except ValueError as error:
            raise malformed(call=call, why=str(error), effect=effect) from None


def account_wire(
    account: HubAccount,
    *,
    token: str,
    session: httpx2.AsyncClient,
    clock: Clock,
    meter: Callable[[int], None] = lambda _: None,
) -> Wire:
    """Return the wire of one account, whose token comes as its Secret holds it: with white space around it, perhaps.

    Raises:
        UpstreamError: ``SecretMalformed``, the token cannot be sent in a header.
    """
    token = token.strip()
    if not _TOKEN.fullmatch(token):
        raise UpstreamError(
            Failure(
                reason=Reason.SecretMalformed,
                message=f"Secret {account.secret}: the token is empty or has characters that no token has; "
                "store the bare token (hf_...), nothing else.",
                disposition=Disposition.PERSON,
            )
        )
    return Wire(session=session, endpoint=account.endpoint, token=token, clock=clock, meter=meter)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Page:
    entries: list[Any]
    call: str
    server_time: float


def _page(answer: Answer) -> _Page:
    if not isinstance(answer.payload, list):
        raise malformed(call=answer.call, why="it is no list")
    return _Page(entries=answer.payload, call=answer.call, server_time=answer.server_time)


def _label_query(labels: Mapping[str, str]) -> list[tuple[str, str]]:
    return [("label", f"{key}={value}") for key, value in labels.items()]


def job_spec(spec: LaunchSpec) -> dict[str, JSON]:
    """Return the body that asks for an HF Job (hf-jobs.md §1.1).

    ``attempts`` is 1 in words: a runner's JIT config is single use, so a second attempt could only fail and cost.
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


def parse_job(entry: JSON, *, account: HubAccount) -> HFJob:
    """Read a job (hf-jobs.md §1.2).

    Only what we cannot do without is insisted on: an id, labels that are labels, and when it was made. A stage that we do not
    know is :attr:`Stage.UNKNOWN`, which counts as live.

    Raises:
        ValueError: One of those is missing; the text names the job.
    """
    if not isinstance(entry, dict):
        raise ValueError("a job is not an object")  # noqa: TRY004 -- one kind of error for all that is unreadable
    job_id = entry.get("id")
    if not isinstance(job_id, str) or not job_id:
        raise ValueError("a job has no id")
    labels, created_at = entry.get("labels") or {}, _created(entry)
    if not isinstance(labels, dict):
        raise ValueError(f"the labels of job {job_id[:40]} are no object")  # noqa: TRY004
    if created_at is None:
        raise ValueError(f"job {job_id[:40]} does not tell when it was created")
    status, timeout = _object(entry, "status"), entry.get("timeout")
    initiator = _object(entry, "initiator")
    creator = _text(_object(entry, "createdBy"), "name")
    if not creator and initiator.get("type") == "user":
        creator = _text(initiator, "name")
    return HFJob(
        id=job_id,
        stage=_stage(status.get("stage")),
        flavor=_text(entry, "flavor"),
        labels=MappingProxyType({str(k): str(v) for k, v in labels.items()}),
        created_at=created_at,
        started_at=_time(entry.get("startedAt")),
        finished_at=_time(entry.get("finishedAt")),
        timeout=float(timeout) if isinstance(timeout, int | float) else None,
        message=_text(status, "message") or None,
        cancel_reason=_text(status, "cancelReason") or None,
        creator=creator,
        url=f"{account.endpoint}/jobs/{quote(account.namespace, safe='')}/{quote(job_id, safe='')}",
    )


def _object(entry: dict[str, JSON], key: str) -> dict[str, JSON]:
    value = entry.get(key)
    return value if isinstance(value, dict) else {}


def _text(entry: dict[str, JSON], key: str) -> str:
    value = entry.get(key)
    return value if isinstance(value, str) else ""


def _stage(word: JSON) -> Stage:
    try:
        return Stage(word)
    except ValueError:
        return Stage.UNKNOWN


def _time(text: JSON) -> float | None:
    """Return an ISO 8601 time as epoch seconds; without a zone it is UTC."""
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _created(entry: JSON) -> float | None:
    """Return when a job was made; its id begins with the same in hexadecimal seconds (hf-jobs.md §1.2)."""
    if not isinstance(entry, dict):
        return None
    created = _time(entry.get("createdAt"))
    job_id = _text(entry, "id")
    if created is None and re.fullmatch(r"[0-9a-f]{24}", job_id):
        return float(int(job_id[:8], 16))
    return created
