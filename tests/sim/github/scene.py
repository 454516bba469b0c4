"""A small GitHub to test against: one organization, one App, and a client whose every exchange is judged."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from hf_runner_simulators.clock import ManualClock
from hf_runner_simulators.github.http import GitHubSite
from hf_runner_simulators.github.keys import private_key, public_key_of
from hf_runner_simulators.github.knobs import Knobs
from hf_runner_simulators.github.model import JobSpec, Scope
from hf_runner_simulators.github.world import GitHubWorld
from hf_runner_simulators.http import Request, Response
from tests.sim.github.description import judge, links

if TYPE_CHECKING:
    from hf_runner_simulators.github.model import WorkflowJob, WorkflowRun

ORIGIN = "http://127.0.0.1:8080"
KEY: Any = load_pem_private_key(private_key().encode(), password=None)
LABELS = ("self-hosted", "linux", "gpu")
ACME = Scope("org", "acme")
API = Scope("repo", "acme/api")


@dataclass(frozen=True)
class Reply:
    """An answer, parsed."""

    status: int
    headers: dict[str, str]
    body: Any

    @property
    def message(self) -> str:
        return self.body["message"]

    def link(self, rel: str) -> str | None:
        found = re.search(rf'<([^>]+)>; rel="{rel}"', self.headers.get("Link", ""))
        return found and found[1]


class Scene:
    """``acme`` with the private repositories ``api`` and ``web`` and the public ``site``; its App's token is
    used unless another is given.
    """

    def __init__(self, *, prefix: str = "", seed: str = "0", knobs: Knobs | None = None) -> None:
        self.clock = ManualClock()
        self.world = GitHubWorld(clock=self.clock, seed=seed, knobs=knobs)
        self.site = GitHubSite(self.world)
        self.prefix = prefix
        accounts = self.world.accounts
        for name, private in (("api", True), ("web", True), ("site", False)):
            accounts.add_repository(f"acme/{name}", private=private)
        self.app = accounts.add_app(public_key=public_key_of(private_key()))
        self.installation = accounts.install(self.app.id, "acme")
        self.token = self.new_token()

    # -- as the controller
    # ----------------------------------------------------------------------------------------

    def jwt(self, *, issued: float = -60, expires: float = 540, key: Any = KEY, **claims: Any) -> str:
        now = int(self.clock.wall())
        made = {"iat": now + issued, "exp": now + expires, "iss": str(self.app.id), **claims}
        return jwt.encode({k: v for k, v in made.items() if v is not None}, key, algorithm="RS256")

    def new_token(self, **body: Any) -> str:
        path = f"/app/installations/{self.installation.id}/access_tokens"
        return self.post(path, body=body, token=self.jwt()).body["token"]

    def send(
        self,
        method: str,
        url: str,
        *,
        body: Any = None,
        token: str | None = "",
        headers: dict[str, str] | None = None,
        judged: bool = True,
        **query: object,
    ) -> Reply:
        """Send a request; ``url`` may be a link of an answer. ``token`` None sends none."""
        request = self.request(method, url, body=body, token=token, headers=headers, **query)
        answer = self.site.handle(request)
        if judged:
            self._judge(request, answer)
        is_json = answer.headers.get("Content-Type", "").startswith("application/json") and answer.body
        return Reply(answer.status, dict(answer.headers), json.loads(answer.body) if is_json else answer.body)

    def request(
        self,
        method: str,
        url: str,
        *,
        body: Any = None,
        token: str | None = "",
        headers: dict[str, str] | None = None,
        **query: object,
    ) -> Request:
        """Make a request without sending it."""
        path, _, more = url.removeprefix(ORIGIN).partition("?")
        if not path.startswith(("/_sim", "/api/v3")) and not url.startswith(ORIGIN):
            path = self.prefix + path
        pairs: Any = [tuple(pair.split("=")) for pair in more.split("&") if pair]
        pairs += [(k, str(v)) for k, v in query.items()]
        sent = {"user-agent": "tests", "accept": "application/vnd.github+json", **(headers or {})}
        if token is not None:
            sent["authorization"] = f"Bearer {token or self.token}"
        return Request(
            method=method,
            path=path,
            query=tuple(pairs),
            headers={k: v for k, v in sent.items() if v},
            body=body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode(),
            origin=ORIGIN,
        )

    def _judge(self, request: Request, answer: Response) -> None:
        """Every exchange with GitHub's own routes is held against GitHub's description,
        whatever test sends it.
        """
        ours = request.path.startswith("/_sim")
        if ours or self.site.router.match(request) is None or "user-agent" not in request.headers:
            return
        judge(request, answer, path=self.site.router.canonical(request.path))
        assert re.fullmatch(r"[0-9A-F]+(:[0-9A-F]+){4}", answer.headers["X-GitHub-Request-Id"])
        assert answer.headers["Date"].endswith(" GMT")
        if self.world.knobs.edition == "github.com":
            assert int(answer.headers["X-RateLimit-Remaining"]) >= 0
        if answer.body:
            assert all(
                link.startswith(("http://127.0.0.1:8080", "git://", "git@"))
                for link in links(json.loads(answer.body))
            )

    def get(self, url: str, **more: Any) -> Reply:
        return self.send("GET", url, **more)

    def post(self, url: str, **more: Any) -> Reply:
        return self.send("POST", url, **more)

    def delete(self, url: str, **more: Any) -> Reply:
        return self.send("DELETE", url, **more)

    def register(
        self, name: str, labels: tuple[str, ...] = LABELS, *, root: str = "/orgs/acme", group: int = 1
    ) -> Reply:
        body = {"name": name, "runner_group_id": group, "labels": list(labels)}
        return self.post(f"{root}/actions/runners/generate-jitconfig", body=body)

    def runs(self, status: str | None = None, *, repository: str = "acme/api", **query: object) -> list[Any]:
        more = {"status": status, **query} if status else query
        return self.get(f"/repos/{repository}/actions/runs", **more).body["workflow_runs"]

    def jobs(self, run_id: int, *, repository: str = "acme/api", **query: object) -> list[Any]:
        return self.get(f"/repos/{repository}/actions/runs/{run_id}/jobs", **query).body["jobs"]

    def runners(self, *, root: str = "/orgs/acme", **query: object) -> list[Any]:
        return self.get(f"{root}/actions/runners", **query).body["runners"]

    # -- as the world
    # ---------------------------------------------------------------------------------------------

    def queue(self, *labels: str, repository: str = "acme/api", **more: Any) -> WorkflowJob:
        (job,) = self.world.workflows.queue_jobs(repository, labels or LABELS, **more)
        return job

    def run(self, *specs: JobSpec, repository: str = "acme/api", **more: Any) -> WorkflowRun:
        return self.world.workflows.queue_run(repository, specs, **more)

    def job(self, job_id: int) -> WorkflowJob:
        return self.world.workflows.job(job_id)

    def runner(
        self, name: str = "r1", labels: tuple[str, ...] = LABELS, *, scope: Scope = ACME, group: int = 1
    ) -> Runner:
        made = self.world.runners.generate_jit_config(scope, name=name, labels=labels, group_id=group)
        return Runner(self, made.runner.id, name, scope, made.encoded)

    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)


@dataclass
class Runner:
    """A registration and, once connected, its listener."""

    scene: Scene
    id: int
    name: str
    scope: Scope
    jit: str
    session: str = ""

    def connect(self, **more: Any) -> Runner:
        self.session = self.scene.world.listeners.connect(self.jit, **more).token
        return self

    def poll(self) -> WorkflowJob | None:
        return self.scene.world.listeners.poll(self.session)

    def take(self) -> WorkflowJob:
        job = self.poll()
        assert job is not None, f"{self.name} got no job"
        return job

    def renew(self, job: WorkflowJob) -> bool:
        return self.scene.world.listeners.renew(self.session, job.id)

    def finish(self, job: WorkflowJob, result: str = "success") -> bool:
        return self.scene.world.listeners.finish(self.session, job.id, result)

    def kill(self) -> None:
        self.scene.world.listeners.kill(self.session)

    def delete(self) -> Reply:
        root = f"/orgs/{self.scope.name}" if self.scope.kind == "org" else f"/repos/{self.scope.name}"
        return self.scene.delete(f"{root}/actions/runners/{self.id}")

    def shown(self) -> Any:
        root = f"/orgs/{self.scope.name}" if self.scope.kind == "org" else f"/repos/{self.scope.name}"
        return self.scene.get(f"{root}/actions/runners/{self.id}").body
