"""Our own routes below ``/_sim/``: set the scene, queue work, turn knobs, read the report, and play a runner.

They answer 422 with every mistake named; none of them needs credentials or counts against a limit. Bodies are
the models of :mod:`hf_runner_simulators.github.control_bodies`; times are epoch seconds, durations seconds.

- ``POST /_sim/setup``: owners, repositories, groups, Apps (answers their keys), tokens
- ``POST /_sim/repositories/OWNER/REPO``: archive, block (403 to everybody), rename, transfer, remove, ...
- ``POST /_sim/owners/LOGIN``: rename an organization or user
- ``POST /_sim/installations/ID``: permissions, repositories, suspend, remove
- ``POST /_sim/jobs``: queue ``count`` jobs, or one run with ``jobs``
- ``POST /_sim/jobs/ID/cancel``, ``.../release``: cancel one; approve one that waits
- ``GET /_sim/jobs/ID/log``: what its steps printed
- ``POST /_sim/runs/ID/cancel``, ``.../freeze``: cancel; let the record disagree with its jobs
- ``POST /_sim/zombies``: a run that reads queued for ever
- ``GET``, ``POST /_sim/knobs``: :class:`hf_runner_simulators.github.knobs.Knobs`
- ``GET /_sim/report``: jobs, live registrations, listeners that were turned away
- ``/_sim/listener/sessions...``: the stand-in runner's protocol (``assets/listener.py``)

Faults and request counts are the exchange's: ``/_sim/faults``, ``/_sim/requests``, ``/_sim/log``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ValidationError

from hf_runner_simulators.github.control_bodies import (
    AppBody,
    ConnectBody,
    FinishBody,
    FreezeBody,
    GroupBody,
    InstallationChangeBody,
    OwnerChangeBody,
    QueueBody,
    RepositoryChangeBody,
    SetupBody,
    ZombieBody,
)
from hf_runner_simulators.github.errors import ListenerRefused, Refusal
from hf_runner_simulators.github.keys import private_key, public_key_of
from hf_runner_simulators.github.model import Scope, WorkflowJob
from hf_runner_simulators.github.world import GitHubWorld
from hf_runner_simulators.http import Request, Response, Router, json_response

M = TypeVar("M", bound=BaseModel)
RENEW_SECONDS = 60.0
"""How often a runner renews its job's lease (runner source)."""


class Control:
    """The ``/_sim/`` routes: one method per route, which is more than 15."""

    def __init__(self, world: GitHubWorld) -> None:
        self._world = world
        self._router = Router()
        session = "/_sim/listener/sessions/{session}"
        routes: dict[tuple[str, str], Callable[..., Response]] = {
            ("POST", "/_sim/setup"): self._setup,
            ("POST", "/_sim/repositories/{owner}/{repo}"): self._change_repository,
            ("POST", "/_sim/owners/{login}"): self._change_owner,
            ("POST", "/_sim/installations/{number}"): self._change_installation,
            ("POST", "/_sim/jobs"): self._queue,
            ("POST", "/_sim/jobs/{number}/cancel"): self._cancel_job,
            ("POST", "/_sim/jobs/{number}/release"): self._release_job,
            ("GET", "/_sim/jobs/{number}/log"): self._job_log,
            ("POST", "/_sim/runs/{number}/cancel"): self._cancel_run,
            ("POST", "/_sim/runs/{number}/freeze"): self._freeze_run,
            ("POST", "/_sim/zombies"): self._zombie,
            ("POST", "/_sim/knobs"): self._turn,
            ("GET", "/_sim/knobs"): self._knobs,
            ("GET", "/_sim/report"): self._report,
            ("POST", "/_sim/listener/sessions"): self._connect,
            ("GET", session + "/message"): self._poll,
            ("POST", session + "/jobs/{number}/renew"): self._renew,
            ("POST", session + "/jobs/{number}/finish"): self._finish,
            ("DELETE", session): self._leave,
        }
        for (method, template), handler in routes.items():
            self._router.add(method, template, handler)

    def handle(self, request: Request) -> Response | None:
        """Answer a request that is ours, or return None."""
        return self._ours(request) if request.path.startswith("/_sim/") else None

    def _ours(self, request: Request) -> Response:
        found = self._router.match(request)
        if found is None:
            return json_response({"message": f"no route {request.method} {request.path}"}, status=404)
        try:
            return found[1](request, **found[2])
        except ValidationError as error:
            mistakes = [f"{'.'.join(map(str, e['loc'])) or 'body'}: {e['msg']}" for e in error.errors()]
            return json_response({"message": "; ".join(mistakes)}, status=422)
        except Refusal as refusal:
            return json_response({"message": refusal.message}, status=refusal.status)
        except ListenerRefused as refused:
            payload = {"reason": refused.reason, "message": refused.message, "exit_code": refused.exit_code}
            return json_response(payload, status=410 if refused.reason == "Gone" else 403)
        except ValueError as error:
            return json_response({"message": str(error)}, status=422)

    # -- the scene
    # ------------------------------------------------------------------------------------------------

    def _setup(self, request: Request) -> Response:
        """Create accounts in the order of dependence; what was created before a mistake stays."""
        wanted = _parse(SetupBody, request)
        accounts = self._world.accounts
        for slug in wanted.enterprises:
            accounts.add_enterprise(slug)
        for login in wanted.users:
            accounts.add_user(login)
        for organization in wanted.organizations:
            accounts.add_organization(**dict(organization))
        for row in wanted.repositories:
            accounts.add_repository(row.full_name, private=row.private, archived=row.archived)
        groups = [self._add_group(group) for group in wanted.groups]
        apps = [self._add_app(app) for app in wanted.apps]
        for token in wanted.tokens:
            self._world.access.add_user_token(**dict(token))
        return json_response({"groups": groups, "apps": apps}, status=201)

    def _add_group(self, group: GroupBody) -> dict[str, Any]:
        if (group.organization is None) == (group.enterprise is None):
            raise ValueError("a group has an organization or an enterprise")
        kind: Literal["org", "enterprise"] = "org" if group.organization else "enterprise"
        scope = Scope(kind, (group.organization or group.enterprise or "").lower())
        values = group.model_dump(exclude={"organization", "enterprise", "name"})
        return {"id": self._world.accounts.add_group(scope, group.name, **values).id, "name": group.name}

    def _add_app(self, wanted: AppBody) -> dict[str, Any]:
        key = wanted.private_key or private_key()
        more: dict[str, Any] = {} if wanted.permissions is None else {"permissions": wanted.permissions}
        app = self._world.accounts.add_app(public_key=public_key_of(key), slug=wanted.slug, **more)
        rows = [self._world.accounts.install(app.id, **dict(row)) for row in wanted.installations]
        return {
            "id": app.id,
            "client_id": app.client_id,
            "slug": app.slug,
            "private_key": key,
            "installations": [{"id": row.id, "account": row.account} for row in rows],
        }

    def _change_repository(self, request: Request, *, owner: str, repo: str) -> Response:
        wanted = _parse(RepositoryChangeBody, request)
        name, accounts = f"{owner}/{repo}", self._world.accounts
        fields = ("private", "archived", "disabled", "actions_enabled", "runners_enabled", "fork_approval")
        changes = {field: value for field in fields if (value := getattr(wanted, field)) is not None}
        accounts.change_repository(name, **changes)
        if wanted.blocked_status is not None:
            accounts.block_repository(name, status=wanted.blocked_status, message=wanted.blocked_message)
        if wanted.unblock:
            accounts.unblock_repository(name)
        if wanted.name is not None:
            name = accounts.rename_repository(name, wanted.name).full_name
        if wanted.owner is not None:
            name = accounts.transfer_repository(name, wanted.owner).full_name
        if wanted.remove:
            accounts.remove_repository(name)
        return Response(status=204)

    def _change_owner(self, request: Request, *, login: str) -> Response:
        self._world.accounts.rename_owner(login, _parse(OwnerChangeBody, request).login)
        return Response(status=204)

    def _change_installation(self, request: Request, *, number: str) -> Response:
        wanted, accounts = _parse(InstallationChangeBody, request), self._world.accounts
        changes: dict[str, Any] = {}
        if wanted.repositories is not None:
            changes["repositories"] = frozenset(name.lower() for name in wanted.repositories)
        if wanted.permissions is not None:
            changes["permissions"] = wanted.permissions
        if wanted.suspended is not None:
            changes["suspended_at"] = self._world.time.now if wanted.suspended else None
        accounts.change_installation(int(number), **changes)
        if wanted.remove:
            accounts.uninstall(int(number))
        return Response(status=204)

    # -- work
    # -----------------------------------------------------------------------------------------------------

    def _queue(self, request: Request) -> Response:
        wanted, workflows = _parse(QueueBody, request), self._world.workflows
        runs = [
            workflows.queue_run(
                wanted.repository,
                specs,
                workflow=wanted.workflow,
                event=wanted.event,
                head_branch=wanted.head_branch,
                concurrency=wanted.concurrency,
            )
            for specs in wanted.runs()
        ]
        jobs = [
            {"id": job.id, "run_id": run.id, "name": job.spec.name}
            for run in runs
            for key in self._world.store.jobs_of[run.id]
            for job in (self._world.store.jobs[key],)
        ]
        return json_response({"run_ids": [run.id for run in runs], "jobs": jobs}, status=201)

    def _zombie(self, request: Request) -> Response:
        wanted = _parse(ZombieBody, request)
        run = self._world.workflows.queue_zombie(wanted.repository, status=wanted.status)
        return json_response({"run_ids": [run.id]}, status=201)

    def _cancel_job(self, request: Request, *, number: str) -> Response:  # noqa: ARG002 - a handler's signature
        self._world.workflows.cancel_job(int(number))
        return Response(status=202)

    def _release_job(self, request: Request, *, number: str) -> Response:  # noqa: ARG002 - a handler's signature
        self._world.workflows.release(int(number))
        return Response(status=202)

    def _job_log(self, request: Request, *, number: str) -> Response:  # noqa: ARG002 - a handler's signature
        log = self._world.workflows.log(int(number))
        return Response(status=200, headers={"Content-Type": "text/plain; charset=utf-8"}, body=log.encode())

    def _cancel_run(self, request: Request, *, number: str) -> Response:  # noqa: ARG002 - a handler's signature
        self._world.workflows.cancel_run(int(number))
        return Response(status=202)

    def _freeze_run(self, request: Request, *, number: str) -> Response:
        wanted = _parse(FreezeBody, request)
        self._world.workflows.freeze_run(int(number), wanted.status, wanted.conclusion)
        return Response(status=204)

    def _turn(self, request: Request) -> Response:
        changes = request.json()
        if not isinstance(changes, Mapping):
            raise ValueError("body: an object of knobs is wanted")  # noqa: TRY004 - it becomes a 422
        self._world.turn(**changes)
        return self._knobs(request)

    def _knobs(self, request: Request) -> Response:  # noqa: ARG002 - a handler's signature
        held = dataclasses.asdict(self._world.knobs)
        plain = {
            name: sorted(value) if isinstance(value, frozenset) else value for name, value in held.items()
        }
        return json_response(plain)

    def _report(self, request: Request) -> Response:  # noqa: ARG002 - a handler's signature
        return json_response(self._world.report())

    # -- the runner's side
    # ----------------------------------------------------------------------------------------

    def _connect(self, request: Request) -> Response:
        wanted = _parse(ConnectBody, request)
        session = self._world.listeners.connect(wanted.jit_config, version=wanted.version)
        payload = {
            "session": session.token,
            "runner_name": session.runner.name,
            "poll_seconds": self._world.knobs.poll_seconds,
        }
        return json_response(payload, status=201)

    def _poll(self, request: Request, *, session: str) -> Response:  # noqa: ARG002 - a handler's signature
        job = self._world.listeners.poll(session)
        return Response(status=204) if job is None else json_response(self._message(job))

    def _message(self, job: WorkflowJob) -> dict[str, Any]:
        run = self._world.store.runs[job.run_id]
        return {
            "id": job.id,
            "run_id": job.run_id,
            "attempt": job.attempt,
            "name": job.spec.name,
            "repository": self._world.store.repositories[job.repository_id].full_name,
            "workflow": run.workflow,
            "seconds": job.spec.seconds,
            "result": job.spec.result,
            "command": job.spec.command,
            "renew_seconds": min(RENEW_SECONDS, self._world.knobs.poll_seconds * 2),
        }

    def _renew(self, request: Request, *, session: str, number: str) -> Response:  # noqa: ARG002 - a handler's signature
        return json_response({"cancel": self._world.listeners.renew(session, int(number))})

    def _finish(self, request: Request, *, session: str, number: str) -> Response:
        wanted = _parse(FinishBody, request)
        counted = self._world.listeners.finish(session, int(number), wanted.result, log=wanted.log)
        return json_response({"counted": counted})

    def _leave(self, request: Request, *, session: str) -> Response:  # noqa: ARG002 - a handler's signature
        self._world.listeners.disconnect(session)
        return Response(status=204)


def _parse(model: type[M], request: Request) -> M:
    return model.model_validate_json(request.body or b"{}")
