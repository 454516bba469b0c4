"""The Hub's HTTP routes, thin over :class:`hf_runner_simulators.hub.world.World`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import get_args
from urllib.parse import urlencode

from hf_runner_simulators.http import JSON, Request, Response, Router, json_response
from hf_runner_simulators.hub import streams
from hf_runner_simulators.hub.accounts import Permission, Quota
from hf_runner_simulators.hub.errors import HubError
from hf_runner_simulators.hub.job import Job, Stage
from hf_runner_simulators.hub.world import World
from hf_runner_simulators.odd_words import ELSEWHERE, spelt

EVENT_STREAM = {"Content-Type": "text/event-stream", "Cache-Control": "no-cache"}


class HubSite:
    """The simulated Hub as a site.

    One method per route, which is more than 15.

    Args:
        world: Whose verbs the routes call.

    Attributes:
        world: The same.
        router: The routes.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.router = Router()
        self._requests = 0
        job = "/api/jobs/{namespace}/{job_id}"
        for method, template, handler in (
            ("GET", "/api/jobs/hardware", self._hardware),
            ("GET", "/api/whoami-v2", self._whoami),
            ("GET", "/api/agent-harnesses", self._agent_harnesses),
            ("POST", "/api/jobs/{namespace}", self._run),
            ("GET", "/api/jobs/{namespace}", self._list),
            ("GET", "/api/jobs/{namespace}/count", self._count),
            ("POST", "/api/jobs/{namespace}/auth-check/{permission}", self._check),
            ("POST", job + "/auth-check/{permission}", self._check),
            ("GET", job, self._inspect),
            ("POST", job + "/cancel", self._cancel),
            ("POST", job + "/duplicate", self._duplicate),
            ("PUT", job + "/labels", self._labels),
            ("PUT", job + "/expose", self._expose),
            ("GET", job + "/logs", self._logs),
            ("GET", job + "/metrics", self._metrics),
            ("GET", job + "/events", self._events),
            ("POST", "/_sim/setup", self._sim_setup),
            ("GET", "/_sim/knobs", self._sim_knobs),
            ("POST", "/_sim/knobs", self._sim_turn),
            ("POST", "/_sim/jobs/{job_id}/end", self._sim_end),
            ("GET", "/_sim/report", self._sim_report),
        ):
            self.router.add(method, template, handler)

    def handle(self, request: Request) -> Response:
        """Answer one request."""
        if request.path.startswith("/_sim/"):
            return self._operate(request)
        self._requests += 1
        quota = self.world.charge(_token(request))
        try:
            answer = self._serve(request, quota)
        except HubError as error:
            answer = _refusal(error)
        return replace(
            answer, headers={**answer.headers, **_quota_headers(quota), "X-Request-Id": self._request_id()}
        )

    def _serve(self, request: Request, quota: Quota) -> Response:
        if quota.exceeded:
            raise HubError(429, "We had to rate limit you, please retry later.")
        found = self.router.match(request)
        if found is None:
            raise HubError(404, "Not Found")
        return found[1](request, **found[2])

    def _operate(self, request: Request) -> Response:
        found = self.router.match(request)
        if found is None:
            return json_response({"error": "Not Found"}, status=404)
        try:
            return found[1](request, **found[2])
        except (KeyError, TypeError, ValueError) as error:
            if request.method == "GET":
                raise  # nothing was said that could be wrong: a bug
            return json_response({"error": f"{type(error).__name__}: {error}"}, status=400)

    def _request_id(self) -> str:
        digest = self.world.platform.keyed("request", self._requests).hex()
        return f"Root=1-{int(self.world.now):08x}-{digest[:24]}"

    def _job(self, request: Request, job: Job) -> Response:
        world = self.world
        return _json(job.to_json(world.now, knobs=world.knobs, origin=request.origin))

    # Routes.

    def _hardware(self, _: Request) -> Response:
        answer, late = json_response(self.world.hardware()), self.world.knobs.hardware_seconds
        return replace(answer, body=b"", stream=streams.late(answer.body, late)) if late else answer

    def _whoami(self, request: Request) -> Response:
        return json_response(self.world.accounts.whoami(_token(request)))

    def _agent_harnesses(self, _: Request) -> Response:
        raise HubError(404, "Not Found")

    def _run(self, request: Request, namespace: str) -> Response:
        return self._job(request, self.world.create(_token(request), namespace, _body(request)))

    def _list(self, request: Request, namespace: str) -> Response:
        page = self.world.list_jobs(
            _token(request),
            namespace,
            stages=_stages(request),
            labels=[
                (key, value) for key, _, value in (pair.partition("=") for pair in request.params("label"))
            ],
            cursor=request.param("cursor") or None,
            origin=request.origin,
        )
        headers = {}
        if page.cursor is not None:
            query = [pair for pair in request.query if pair[0] != "cursor"]
            following = urlencode([*query, ("cursor", page.cursor)])
            origin = ELSEWHERE if self.world.odd_list(namespace) else request.origin
            headers["Link"] = f'<{origin}{request.path}?{following}>; rel="next"'
        return _json(page.jobs, headers=headers)

    def _count(self, request: Request, namespace: str) -> Response:
        return json_response({"count": self.world.count(_token(request), namespace, stages=_stages(request))})

    def _check(
        self, request: Request, namespace: str, permission: str, job_id: str | None = None
    ) -> Response:
        if permission not in get_args(Permission):
            raise HubError(404, "Not Found")
        granted: Permission = "write" if permission == "write" else "read"
        user, space = self.world.check_access(_token(request), namespace, granted)
        if job_id is not None:
            self.world.find(_token(request), namespace, job_id)
        return json_response(
            {
                "namespace": {"id": space.id, "name": space.name},
                "user": {"id": user.id, "name": user.name},
            }
        )

    def _inspect(self, request: Request, namespace: str, job_id: str) -> Response:
        return self._job(request, self.world.find(_token(request), namespace, job_id))

    def _cancel(self, request: Request, namespace: str, job_id: str) -> Response:
        return self._job(request, self.world.cancel(_token(request), namespace, job_id))

    def _duplicate(self, request: Request, namespace: str, job_id: str) -> Response:
        return self._job(request, self.world.duplicate(_token(request), namespace, job_id))

    def _labels(self, request: Request, namespace: str, job_id: str) -> Response:
        return self._job(request, self.world.set_labels(_token(request), namespace, job_id, _body(request)))

    def _expose(self, request: Request, namespace: str, job_id: str) -> Response:
        return self._job(request, self.world.set_expose(_token(request), namespace, job_id, _body(request)))

    def _logs(self, request: Request, namespace: str, job_id: str) -> Response:
        job = self.world.find(_token(request), namespace, job_id)
        tail = request.param("tail")
        if tail and not tail.isdecimal():
            raise HubError(400, "tail must be a number of lines")
        stream = streams.log(self.world, job, tail=int(tail) if tail else None)
        return Response(status=200, headers=EVENT_STREAM, stream=stream)

    def _metrics(self, request: Request, namespace: str, job_id: str) -> Response:
        job = self.world.find(_token(request), namespace, job_id)
        if job.ended:
            raise HubError(self.world.knobs.metrics_finished_status, "Job is finished")
        return Response(status=200, headers=EVENT_STREAM, stream=streams.metrics(self.world, job))

    def _events(self, request: Request, namespace: str, job_id: str) -> Response:
        job = self.world.find(_token(request), namespace, job_id)
        return Response(status=200, headers=EVENT_STREAM, stream=streams.events(self.world, job))

    # Routes for who operates the simulation.

    def _sim_setup(self, request: Request) -> Response:
        self.world.setup(request.json())
        return Response(status=204)

    def _sim_knobs(self, _: Request) -> Response:
        return json_response(self.world.knobs.model_dump())

    def _sim_turn(self, request: Request) -> Response:
        self.world.turn(request.json())
        return json_response(self.world.knobs.model_dump())

    def _sim_end(self, request: Request, job_id: str) -> Response:
        wanted = request.json()
        self.world.end(
            job_id,
            stage=Stage(wanted["stage"]),
            message=wanted.get("message"),
            cancel_reason=wanted.get("cancelReason"),
        )
        return Response(status=204)

    def _sim_report(self, _: Request) -> Response:
        return json_response(self.world.report())


def _json(payload: JSON, *, headers: Mapping[str, str] | None = None) -> Response:
    answer = json_response(payload, headers=headers)
    return replace(answer, body=spelt(answer.body.decode()).encode())


def _token(request: Request) -> str | None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token if scheme.lower() == "bearer" and token else None


def _body(request: Request) -> JSON:
    try:
        return request.json()
    except ValueError:
        raise HubError(400, "Invalid JSON") from None


def _stages(request: Request) -> list[Stage]:
    try:
        return [Stage(stage) for stage in request.params("stage")]
    except ValueError:
        raise HubError(400, f"stage must be one of: {', '.join(Stage)}") from None


def _refusal(error: HubError) -> Response:
    headers = {"X-Error-Message": error.message}
    if error.code:
        headers["X-Error-Code"] = error.code
    return json_response({"error": error.message}, status=error.status, headers=headers)


def _quota_headers(quota: Quota) -> dict[str, str]:
    return {
        "RateLimit": f'"api";r={quota.remaining};t={quota.reset_seconds}',
        "RateLimit-Policy": f'"fixed window";"api";q={quota.limit};w={quota.window_seconds}',
    }
