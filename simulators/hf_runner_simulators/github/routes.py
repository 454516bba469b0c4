"""GitHub's routes that an autoscaler uses, thin over the verbs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hf_runner_simulators.github.access import Need
from hf_runner_simulators.github.app_routes import app_table
from hf_runner_simulators.github.errors import DOCS, Refusal
from hf_runner_simulators.github.inquiry import Inquiry, Route, RouteAnswer
from hf_runner_simulators.github.limits import REGISTRATION
from hf_runner_simulators.github.model import Repository, Runner, Scope
from hf_runner_simulators.github.render_accounts import iso
from hf_runner_simulators.github.run_routes import run_table
from hf_runner_simulators.github.world import GitHubWorld

Table = Iterator[tuple[str, str, Route]]

ARCHITECTURES = ("x64", "arm64")
_METADATA = Need(permission="metadata")
_REPOSITORIES = f"{DOCS}/repos/repos"
_RUNNERS = f"{DOCS}/actions/self-hosted-runners"
_GROUPS = f"{DOCS}/actions/self-hosted-runner-groups"


def table(world: GitHubWorld) -> Table:
    """Return method, template and route of all that GitHub answers here."""
    yield from app_table(world)
    yield from _Repositories(world).table()
    yield from run_table(world)
    yield from _Runners(world).table()
    yield from _Groups(world).table()


class _Repositories:
    def __init__(self, world: GitHubWorld) -> None:
        self._world = world

    def table(self) -> Table:
        """Routes that find repositories."""
        yield (
            "GET",
            "/installation/repositories",
            Route(answer=self.of_installation, docs=f"{DOCS}/apps/installations"),
        )
        yield "GET", "/orgs/{org}/repos", Route(answer=self.of_account, docs=_REPOSITORIES)
        yield "GET", "/users/{username}/repos", Route(answer=self.of_account, docs=_REPOSITORIES)
        yield "GET", "/user/repos", Route(answer=self.of_user, docs=_REPOSITORIES)
        yield "GET", "/users/{username}", Route(answer=self.account)
        yield "GET", "/orgs/{org}", Route(answer=self.organization, docs=f"{DOCS}/orgs/orgs")
        yield "GET", "/repos/{owner}/{repo}", Route(answer=self.one, need=_METADATA, docs=_REPOSITORIES)
        approval = "/repos/{owner}/{repo}/actions/permissions/fork-pr-contributor-approval"
        need = Need(permission="administration")
        docs = f"{DOCS}/actions/permissions"
        yield "GET", approval, Route(answer=self.fork_approval, need=need, docs=docs, server_since=(3, 18))

    def of_installation(self, asked: Inquiry) -> RouteAnswer:
        if asked.caller.kind != "installation":
            message = "You must authenticate with an installation access token in order to list repositories for an installation."
            raise Refusal(403, message)
        row = self._world.accounts.installations[asked.caller.id]
        rows = self._world.access.installation_repositories(row, lag=self._world.knobs.repositories_lag)
        if asked.caller.repositories is not None:
            rows = [r for r in rows if r.full_name.lower() in asked.caller.repositories]
        answer = asked.listing("repositories", rows, asked.render.full_repository)
        answer.payload["repository_selection"] = "all" if asked.caller.repositories is None else "selected"
        return answer

    def of_account(self, asked: Inquiry) -> RouteAnswer:
        name = asked.parts.get("org") or asked.parts["username"]
        owner = self._world.store.owner(name)
        if ("org" in asked.parts) != (owner.kind == "Organization"):
            raise Refusal(404, "Not Found")
        rows = [
            r
            for r in self._world.accounts.repositories_of(name, lag=self._world.knobs.repositories_lag)
            if self._visible(asked, r)
        ]
        sort = asked.request.param("sort", "created" if "org" in asked.parts else "full_name")
        keys = {
            "pushed": "pushed_at",
            "updated": "pushed_at",
            "created": "created_at",
            "full_name": "full_name",
        }
        if sort in keys:
            default = "asc" if sort == "full_name" else "desc"
            newest_first = asked.request.param("direction", default) == "desc"
            rows.sort(key=lambda row: (getattr(row, keys[sort]), row.id), reverse=newest_first)
        page, headers = asked.page(rows)
        return RouteAnswer(payload=[asked.render.listed_repository(row) for row in page], headers=headers)

    def of_user(self, asked: Inquiry) -> RouteAnswer:
        """The caller is a member of every organization that its token reaches."""
        if asked.caller.kind == "anonymous":
            raise Refusal(401, "Requires authentication")
        if asked.caller.kind != "user":
            raise Refusal(403, "Resource not accessible by integration")
        wanted = asked.request.param("affiliation", "owner,collaborator,organization_member").split(",")
        rows = []
        for row in self._world.accounts.all_repositories(lag=self._world.knobs.repositories_lag):
            owner = self._world.store.owner(row.owner)
            if owner.kind == "Organization":
                role = "organization_member"
            else:
                role = "owner" if owner.id == asked.caller.id else "collaborator"
            if role in wanted and self._visible(asked, row):
                rows.append(row)
        rows.sort(key=lambda row: row.full_name)
        page, headers = asked.page(rows)
        return RouteAnswer(payload=[asked.render.full_repository(row) for row in page], headers=headers)

    def _visible(self, asked: Inquiry, row: Repository) -> bool:
        wanted = asked.request.param("visibility") or asked.request.param("type")
        if wanted in ("public", "private") and row.private != (wanted == "private"):
            return False
        if "username" in asked.parts:
            return not row.private
        try:
            self._world.access.check(asked.caller, row, _METADATA)
        except Refusal as refusal:
            return refusal.status == 403 and row.blocked is not None
        return True

    def one(self, asked: Inquiry) -> RouteAnswer:
        return RouteAnswer(payload=asked.render.full_repository(asked.repo))

    def account(self, asked: Inquiry) -> RouteAnswer:
        owner = self._world.store.owner(asked.parts["username"])
        public = sum(not row.private for row in self._world.accounts.repositories_of(owner.login))
        return RouteAnswer(payload=asked.render.public_account(owner, public_repositories=public))

    def organization(self, asked: Inquiry) -> RouteAnswer:
        """What everybody sees of an organization."""
        owner = self._world.store.owner(asked.parts["org"])
        if owner.kind != "Organization":
            raise Refusal(404, "Not Found")
        public = sum(not row.private for row in self._world.accounts.repositories_of(owner.login))
        return RouteAnswer(payload=asked.render.organization(owner, public_repositories=public))

    def fork_approval(self, asked: Inquiry) -> RouteAnswer:
        return RouteAnswer(payload={"approval_policy": asked.repo.fork_approval})


def scope_of(asked: Inquiry) -> Scope:
    """Return the scope that a path names."""
    if asked.repository is not None:
        return Scope("repo", asked.repository.full_name.lower())
    if "org" in asked.parts:
        return Scope("org", asked.parts["org"].lower())
    return Scope("enterprise", asked.parts["enterprise"].lower())


_SCOPES = {
    "/repos/{owner}/{repo}": "administration",
    "/orgs/{org}": "organization_self_hosted_runners",
    "/enterprises/{enterprise}": "enterprise_self_hosted_runners",
}


class _Runners:
    def __init__(self, world: GitHubWorld) -> None:
        self._world = world
        self._verbs = world.runners

    def table(self) -> Table:
        """Routes about registrations, at each scope."""
        for root, permission in _SCOPES.items():
            read, write = Need(permission=permission), Need(permission=permission, level="write")
            path = f"{root}/actions/runners"
            yield "GET", path, Route(answer=self.list, need=read, docs=_RUNNERS)
            yield "GET", f"{path}/downloads", Route(answer=self.downloads, need=read, docs=_RUNNERS)
            deprecation = Route(answer=self.deprecation, need=read, docs=_RUNNERS, server_since=None)
            yield "GET", f"{path}/deprecations/{{version}}", deprecation
            yield "GET", f"{path}/{{runner_id}}", Route(answer=self.one, need=read, docs=_RUNNERS)
            yield "DELETE", f"{path}/{{runner_id}}", Route(answer=self.delete, need=write, docs=_RUNNERS)
            register = Route(answer=self.register, need=write, resource=REGISTRATION, docs=_RUNNERS)
            yield "POST", f"{path}/generate-jitconfig", register

    def _render(self, asked: Inquiry, runner: Runner) -> dict[str, Any]:
        status, busy = self._verbs.shown(runner)
        return asked.render.runner(runner, status=status, busy=busy)

    def list(self, asked: Inquiry) -> RouteAnswer:
        rows = self._verbs.list(scope_of(asked), name=asked.request.param("name") or None)
        return asked.listing("runners", rows, lambda row: self._render(asked, row))

    def one(self, asked: Inquiry) -> RouteAnswer:
        return RouteAnswer(
            payload=self._render(asked, self._verbs.get(scope_of(asked), asked.number("runner_id")))
        )

    def delete(self, asked: Inquiry) -> RouteAnswer:
        self._verbs.delete(scope_of(asked), asked.number("runner_id"))
        return RouteAnswer(status=204)

    def register(self, asked: Inquiry) -> RouteAnswer:
        body = asked.body()
        for key, kind in (("name", str), ("runner_group_id", int), ("labels", list)):
            if key not in body:
                raise Refusal(
                    422, f"Invalid request.\n\nInvalid input: object is missing required key: {key}"
                )
            if not isinstance(body[key], kind) or isinstance(body[key], bool):
                raise Refusal(
                    422, f"Invalid request.\n\nFor 'properties/{key}', {body[key]!r} is not {kind.__name__}."
                )
        if not all(isinstance(label, str) for label in body["labels"]):
            raise Refusal(422, "Invalid request.\n\nFor 'properties/labels', an item is not a string.")
        made = self._verbs.generate_jit_config(
            scope_of(asked),
            name=body["name"],
            labels=body["labels"],
            group_id=body["runner_group_id"],
            work_folder=str(body.get("work_folder") or "_work"),
            server_url=asked.request.origin,
        )
        payload = {"runner": self._render(asked, made.runner), "encoded_jit_config": made.encoded}
        return RouteAnswer(payload=payload, status=201)

    def deprecation(self, asked: Inquiry) -> RouteAnswer:
        """When a version ends. Times of registration are not announced for any version that still runs."""
        found = self._world.store.calendar.find(asked.parts["version"], self._world.time.now)
        if found is None:
            raise Refusal(404, "Not Found")
        ends = None if found.ends is None else iso(found.ends)
        return RouteAnswer(
            payload={
                "runner_version": found.version,
                "registration_deprecates_at": None,
                "runtime_deprecates_at": ends,
            }
        )

    def downloads(self, asked: Inquiry) -> RouteAnswer:
        version = self._world.store.runner_version
        rows = []
        for architecture in ARCHITECTURES:
            archive = self._world.archives.build(version, architecture)
            path = f"/actions/runner/releases/download/v{version}/{archive.filename}"
            rows.append(
                {
                    "os": "linux",
                    "architecture": architecture,
                    "download_url": asked.request.origin + path,
                    "filename": archive.filename,
                    "sha256_checksum": archive.sha256,
                }
            )
        return RouteAnswer(payload=rows)


class _Groups:
    def __init__(self, world: GitHubWorld) -> None:
        self._world = world
        self._verbs = world.accounts

    def table(self) -> Table:
        """Routes about runner groups."""
        for root, permission in list(_SCOPES.items())[1:]:
            need = Need(permission=permission)
            path = f"{root}/actions/runner-groups"
            yield "GET", path, Route(answer=self.list, need=need, docs=_GROUPS)
            yield "GET", f"{path}/{{runner_group_id}}", Route(answer=self.one, need=need, docs=_GROUPS)
            yield (
                "GET",
                f"{path}/{{runner_group_id}}/runners",
                Route(answer=self.runners, need=need, docs=_GROUPS),
            )
        need = Need(permission="organization_self_hosted_runners")
        path = "/orgs/{org}/actions/runner-groups/{runner_group_id}/repositories"
        yield "GET", path, Route(answer=self.repositories, need=need, docs=_GROUPS)

    def list(self, asked: Inquiry) -> RouteAnswer:
        scope = scope_of(asked)
        rows = self._verbs.groups(scope)
        wanted = asked.request.param("visible_to_repository")
        if wanted and scope.kind == "org":
            repository = self._world.store.repository(wanted if "/" in wanted else f"{scope.name}/{wanted}")
            rows = [row for row in rows if self._verbs.group_serves(row, repository)]
        return asked.listing("runner_groups", rows, asked.render.group)

    def one(self, asked: Inquiry) -> RouteAnswer:
        return RouteAnswer(
            payload=asked.render.group(self._verbs.group(scope_of(asked), asked.number("runner_group_id")))
        )

    def runners(self, asked: Inquiry) -> RouteAnswer:
        scope = scope_of(asked)
        group = self._verbs.group(scope, asked.number("runner_group_id"))

        def render(runner: Runner) -> dict[str, Any]:
            status, busy = self._world.runners.shown(runner)
            return asked.render.runner(runner, status=status, busy=busy)

        return asked.listing("runners", self._world.runners.list(scope, group_id=group.id), render)

    def repositories(self, asked: Inquiry) -> RouteAnswer:
        group = self._verbs.group(scope_of(asked), asked.number("runner_group_id"))
        rows = self._verbs.group_repositories(group)
        return asked.listing("repositories", rows, asked.render.minimal_repository)
