"""Rows as GitHub's JSON. Every link leads to the origin that the caller used."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from hf_runner_simulators.github.model import (
    App,
    Enterprise,
    Installation,
    Owner,
    Repository,
    Runner,
    RunnerGroup,
    Scope,
    WorkflowJob,
    WorkflowRun,
)
from hf_runner_simulators.github.odd import odd_job, odd_run
from hf_runner_simulators.github.state import Store
from hf_runner_simulators.odd_words import COUNT

JSON = dict[str, Any]

_USER_LINKS = {
    "followers_url": "/followers",
    "following_url": "/following{/other_user}",
    "gists_url": "/gists{/gist_id}",
    "starred_url": "/starred{/owner}{/repo}",
    "subscriptions_url": "/subscriptions",
    "organizations_url": "/orgs",
    "repos_url": "/repos",
    "events_url": "/events{/privacy}",
    "received_events_url": "/received_events",
}
_REPOSITORY_LINKS = {
    "archive_url": "/{archive_format}{/ref}",
    "assignees_url": "/assignees{/user}",
    "blobs_url": "/git/blobs{/sha}",
    "branches_url": "/branches{/branch}",
    "collaborators_url": "/collaborators{/collaborator}",
    "comments_url": "/comments{/number}",
    "commits_url": "/commits{/sha}",
    "compare_url": "/compare/{base}...{head}",
    "contents_url": "/contents/{+path}",
    "contributors_url": "/contributors",
    "deployments_url": "/deployments",
    "downloads_url": "/downloads",
    "events_url": "/events",
    "forks_url": "/forks",
    "git_commits_url": "/git/commits{/sha}",
    "git_refs_url": "/git/refs{/sha}",
    "git_tags_url": "/git/tags{/sha}",
    "hooks_url": "/hooks",
    "issue_comment_url": "/issues/comments{/number}",
    "issue_events_url": "/issues/events{/number}",
    "issues_url": "/issues{/number}",
    "keys_url": "/keys{/key_id}",
    "labels_url": "/labels{/name}",
    "languages_url": "/languages",
    "merges_url": "/merges",
    "milestones_url": "/milestones{/number}",
    "notifications_url": "/notifications{?since,all,participating}",
    "pulls_url": "/pulls{/number}",
    "releases_url": "/releases{/id}",
    "stargazers_url": "/stargazers",
    "statuses_url": "/statuses/{sha}",
    "subscribers_url": "/subscribers",
    "subscription_url": "/subscription",
    "tags_url": "/tags",
    "teams_url": "/teams",
    "trees_url": "/git/trees{/sha}",
}


MAX_TEXTS = 4_096
"""Rows that are kept spelt out, at most 11 kB each; run and job ids share no number."""


@lru_cache(maxsize=4_096)
def iso(seconds: float) -> str:
    """Return a time as GitHub writes it: whole seconds, UTC."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _maybe(seconds: float | None) -> str | None:
    return None if seconds is None else iso(seconds)


def compact(payload: object) -> str:
    """Return JSON without spaces, as GitHub sends it."""
    return json.dumps(payload, separators=(",", ":"))


def node_id(kind: str, number: int) -> str:
    """Return an opaque GraphQL id."""
    return f"{kind}_{base64.urlsafe_b64encode(str(number).encode()).decode().rstrip('=')}"


class Render:
    """Builds answers for one API root.

    Args:
        store: Where rows are looked up that an answer embeds.
        origin: ``scheme://host:port`` of the request.
        prefix: ``/api/v3`` where the request came in below it, else empty.
    """

    def __init__(self, *, store: Store, origin: str, prefix: str) -> None:
        self._store = store
        self.web = origin
        self.api = origin + prefix
        self._minimal: dict[int, tuple[Repository, JSON]] = {}
        self._texts: dict[int, tuple[tuple[object, ...], str]] = {}

    # -- accounts
    # -------------------------------------------------------------------------------------------------

    def owner(self, owner: Owner) -> JSON:
        """An organization or user."""
        url = f"{self.api}/users/{owner.login}"
        links = {name: url + path for name, path in _USER_LINKS.items()}
        return {
            "login": owner.login,
            "id": owner.id,
            "node_id": node_id("U", owner.id),
            "avatar_url": f"{self.web}/avatars/u/{owner.id}?v=4",
            "gravatar_id": "",
            "url": url,
            "html_url": f"{self.web}/{owner.login}",
            **links,
            "type": owner.kind,
            "user_view_type": "public",
            "site_admin": False,
        }

    def public_account(self, owner: Owner, *, public_repositories: int) -> JSON:
        """An organization or user as everybody sees it."""
        unsaid = ("name", "company", "blog", "location", "email", "hireable", "bio")
        return {
            **self.owner(owner),
            **dict.fromkeys(unsaid),
            "public_repos": public_repositories,
            "public_gists": 0,
            "followers": 0,
            "following": 0,
            "created_at": iso(0.0),
            "updated_at": iso(0.0),
        }

    def organization(self, owner: Owner, *, public_repositories: int) -> JSON:
        """An organization as everybody sees it."""
        url = f"{self.api}/orgs/{owner.login}"
        links = ("repos", "events", "hooks", "issues")
        members = {
            "members_url": f"{url}/members{{/member}}",
            "public_members_url": f"{url}/public_members{{/member}}",
        }
        return {
            "login": owner.login,
            "id": owner.id,
            "node_id": node_id("O", owner.id),
            "url": url,
            **{f"{name}_url": f"{url}/{name}" for name in links},
            **members,
            "avatar_url": f"{self.web}/avatars/u/{owner.id}?v=4",
            "description": None,
            "is_verified": False,
            "has_organization_projects": True,
            "has_repository_projects": True,
            "public_repos": public_repositories,
            "public_gists": 0,
            "followers": 0,
            "following": 0,
            "html_url": f"{self.web}/{owner.login}",
            "type": "Organization",
            "created_at": iso(0.0),
            "updated_at": iso(0.0),
            "archived_at": None,
        }

    def enterprise(self, enterprise: Enterprise) -> JSON:
        """An enterprise account."""
        return {
            "id": enterprise.id,
            "slug": enterprise.slug,
            "name": enterprise.slug,
            "node_id": node_id("E", enterprise.id),
            "avatar_url": f"{self.web}/avatars/b/{enterprise.id}?v=4",
            "description": None,
            "website_url": None,
            "html_url": f"{self.web}/enterprises/{enterprise.slug}",
            "created_at": None,
            "updated_at": None,
        }

    def app(self, app: App, installations: int) -> JSON:
        """A GitHub App, as it sees itself."""
        return {
            "id": app.id,
            "client_id": app.client_id,
            "slug": app.slug,
            "node_id": node_id("A", app.id),
            "owner": self.owner(self._store.owners[app.owner.lower()]),
            "name": app.slug,
            "description": "",
            "external_url": f"{self.web}/{app.owner}",
            "html_url": f"{self.web}/apps/{app.slug}",
            "created_at": iso(app.created_at),
            "updated_at": iso(app.created_at),
            "permissions": dict(app.permissions),
            "events": ["workflow_job"],
            "installations_count": installations,
        }

    def installation(self, row: Installation, app: App) -> JSON:
        """An installation of an App."""
        owner = self._store.owners.get(row.account.lower())
        enterprise = self._store.enterprises.get(row.account.lower())
        account = self.owner(owner) if owner else self.enterprise(enterprise) if enterprise else None
        target = owner.id if owner else enterprise.id if enterprise else 0
        path = f"organizations/{row.account}/settings" if row.target == "Organization" else "settings"
        return {
            "id": row.id,
            "client_id": app.client_id,
            "account": account,
            "repository_selection": "all" if row.repositories is None else "selected",
            "access_tokens_url": f"{self.api}/app/installations/{row.id}/access_tokens",
            "repositories_url": f"{self.api}/installation/repositories",
            "html_url": f"{self.web}/{path}/installations/{row.id}",
            "app_id": row.app_id,
            "app_slug": app.slug,
            "target_id": target,
            "target_type": row.target,
            "permissions": dict(row.permissions),
            "events": ["workflow_job"],
            "created_at": iso(row.created_at),
            "updated_at": iso(row.created_at),
            "single_file_name": None,
            "has_multiple_single_files": False,
            "single_file_paths": [],
            "suspended_by": None,
            "suspended_at": _maybe(row.suspended_at),
        }

    # -- repositories
    # ---------------------------------------------------------------------------------------------

    def minimal_repository(self, row: Repository) -> JSON:
        """A repository inside another answer, or in a list."""
        held = self._minimal.get(row.id)
        if held is None or held[0] is not row:
            held = (row, self._make_minimal(row))
            self._minimal[row.id] = held
        return held[1]

    def _make_minimal(self, row: Repository) -> JSON:
        url = f"{self.api}/repos/{row.full_name}"
        links = {name: url + path for name, path in _REPOSITORY_LINKS.items()}
        return {
            "id": row.id,
            "node_id": node_id("R", row.id),
            "name": row.name,
            "full_name": row.full_name,
            "private": row.private,
            "owner": self.owner(self._store.owners[row.owner.lower()]),
            "html_url": f"{self.web}/{row.full_name}",
            "description": None,
            "fork": False,
            "url": url,
            **links,
        }

    def listed_repository(self, row: Repository) -> JSON:
        """A repository in an account's list."""
        return {
            **self.minimal_repository(row),
            "archived": row.archived,
            "disabled": row.disabled,
            "visibility": "private" if row.private else "public",
            "pushed_at": iso(row.pushed_at),
            "created_at": iso(row.created_at),
            "updated_at": iso(row.pushed_at),
            "default_branch": "main",
        }

    def full_repository(self, row: Repository) -> JSON:
        """A repository on its own, or as an installation sees it."""
        git = f"{self.web.partition('//')[2]}/{row.full_name}.git"
        counts = ("forks", "open_issues", "stargazers", "watchers", "network", "subscribers")
        return {
            **self.listed_repository(row),
            "git_url": f"git://{git}",
            "ssh_url": f"git@{git}",
            "clone_url": f"{self.web}/{row.full_name}.git",
            "svn_url": f"{self.web}/{row.full_name}",
            "mirror_url": None,
            "homepage": None,
            "language": None,
            "license": None,
            "size": 0,
            "forks": 0,
            "open_issues": 0,
            "watchers": 0,
            "has_issues": True,
            "has_projects": True,
            "has_downloads": True,
            "has_wiki": True,
            "has_pages": False,
            "has_discussions": False,
            **{f"{name}_count": 0 for name in counts},
        }

    # -- runs and jobs
    # --------------------------------------------------------------------------------------------

    def run(self, run: WorkflowRun) -> JSON:
        """A workflow run."""
        shown = self._run(run)
        return shown if not self.strikes("run", run.id) else {**shown, **odd_run(run.id)}

    def strikes(self, kind: str, key: object) -> bool:
        """Tell whether the free fields of a row are odd."""
        return self._store.struck(self._store.knobs.odd_words, "odd", kind, key)

    def count(self, rows: int, path: str) -> int:
        """How many rows a list says that there are; nobody needs to believe it."""
        return COUNT if self.strikes("list", path) else rows

    def _run(self, run: WorkflowRun) -> JSON:
        repository = self._store.repositories[run.repository_id]
        minimal = self.minimal_repository(repository)
        url = f"{self.api}/repos/{repository.full_name}/actions/runs/{run.id}"
        sha = self.sha(run)
        status, conclusion = run.shown
        actor = self.owner(self._store.owners[repository.owner.lower()])
        author = {"name": repository.owner, "email": f"{repository.owner}@users.noreply.example.com"}
        workflow_id = self.workflow_id(run)
        return {
            "id": run.id,
            "name": run.workflow,
            "node_id": node_id("WFR", run.id),
            "head_branch": run.head_branch,
            "head_sha": sha,
            "path": run.path,
            "display_title": f"{run.workflow} #{run.number}",
            "run_number": run.number,
            "event": run.event,
            "status": status,
            "conclusion": conclusion,
            "workflow_id": workflow_id,
            "check_suite_id": self.check_suite_id(run),
            "check_suite_node_id": node_id("CS", self.check_suite_id(run)),
            "url": url,
            "html_url": f"{self.web}/{repository.full_name}/actions/runs/{run.id}",
            "pull_requests": [],
            "created_at": iso(run.created_at),
            "updated_at": iso(run.updated_at),
            "actor": actor,
            "triggering_actor": actor,
            "run_attempt": run.attempt,
            "referenced_workflows": [],
            "run_started_at": iso(run.started_at),
            "jobs_url": f"{url}/jobs",
            "logs_url": f"{url}/logs",
            "check_suite_url": f"{self.api}/repos/{repository.full_name}/check-suites/{self.check_suite_id(run)}",
            "artifacts_url": f"{url}/artifacts",
            "cancel_url": f"{url}/cancel",
            "rerun_url": f"{url}/rerun",
            "previous_attempt_url": f"{url}/attempts/{run.attempt - 1}" if run.attempt > 1 else None,
            "workflow_url": f"{self.api}/repos/{repository.full_name}/actions/workflows/{workflow_id}",
            "head_commit": {
                "id": sha,
                "tree_id": sha[::-1],
                "message": "Change",
                "timestamp": iso(run.created_at),
                "author": author,
                "committer": author,
            },
            "repository": minimal,
            "head_repository": minimal,
        }

    def workflow_id(self, run: WorkflowRun) -> int:
        """The number of a run's workflow."""
        return int(self._store.keyed("workflow", run.repository_id, run.workflow)[:7], 16)

    def check_suite_id(self, run: WorkflowRun) -> int:
        """The number of a run's check suite."""
        return run.id + 1_000_000

    def actor(self, run: WorkflowRun) -> str:
        """The login of who started a run."""
        return self._store.owners[self._store.repositories[run.repository_id].owner.lower()].login

    def workflow(self, first: WorkflowRun) -> JSON:
        """A workflow, by its first run."""
        repository, number = self._store.repositories[first.repository_id], self.workflow_id(first)
        web = f"{self.web}/{repository.full_name}"
        return {
            "id": number,
            "node_id": node_id("W", number),
            "name": first.workflow,
            "path": first.path,
            "state": "active",
            "created_at": iso(repository.created_at),
            "updated_at": iso(repository.created_at),
            "url": f"{self.api}/repos/{repository.full_name}/actions/workflows/{number}",
            "html_url": f"{web}/blob/main/{first.path}",
            "badge_url": f"{web}/workflows/{quote(first.workflow)}/badge.svg",
        }

    def run_text(self, run: WorkflowRun) -> str:
        """A workflow run, spelt out."""
        inputs = (run, self._store.repositories[run.repository_id], self._store.knobs)
        return self._spelt(run.id, inputs, lambda: self.run(run))

    def job_text(self, job: WorkflowJob) -> str:
        """A workflow job, spelt out."""
        inputs = (job, self._store.repositories[job.repository_id], self._store.knobs)
        return self._spelt(job.id, inputs, lambda: self.job(job))

    def _spelt(self, key: int, inputs: tuple[object, ...], make: Callable[[], JSON]) -> str:
        """Spell a row out once per version: rows are replaced, never changed, so identity
        tells versions apart.
        """
        held = self._texts.get(key)
        if held is None or any(a is not b for a, b in zip(held[0], inputs, strict=True)):
            if len(self._texts) >= MAX_TEXTS:
                self._texts.clear()
            held = (inputs, compact(make()))
            self._texts[key] = held
        return held[1]

    def sha(self, run: WorkflowRun) -> str:
        """The commit that a run tests."""
        return self._store.keyed("sha", run.repository_id, run.id)[:40]

    def job(self, job: WorkflowJob) -> JSON:
        """A workflow job."""
        shown = self._job(job)
        return shown if not self.strikes("job", job.id) else {**shown, **odd_job(job.id)}

    def _job(self, job: WorkflowJob) -> JSON:
        run = self._store.runs[job.run_id]
        repository = self._store.repositories[job.repository_id]
        url = f"{self.api}/repos/{repository.full_name}"
        zero = job.runner_id is None and self._store.knobs.unassigned_runner == "zero"
        return {
            "id": job.id,
            "run_id": job.run_id,
            "workflow_name": run.workflow,
            "head_branch": run.head_branch,
            "run_url": f"{url}/actions/runs/{job.run_id}",
            "run_attempt": job.attempt,
            "node_id": node_id("CR", job.id),
            "head_sha": self.sha(run),
            "url": f"{url}/actions/jobs/{job.id}",
            "html_url": f"{self.web}/{repository.full_name}/actions/runs/{job.run_id}/job/{job.id}",
            "status": job.status,
            "conclusion": job.conclusion,
            "created_at": iso(job.created_at),
            "started_at": iso(job.created_at if job.started_at is None else job.started_at),
            "completed_at": _maybe(job.completed_at),
            "name": job.spec.name,
            "steps": self._steps(job),
            "check_run_url": f"{url}/check-runs/{job.id}",
            "labels": list(job.spec.labels),
            "runner_id": 0 if zero else job.runner_id,
            "runner_name": "" if zero else job.runner_name,
            "runner_group_id": 0 if zero else job.runner_group_id,
            "runner_group_name": "" if zero else job.runner_group_name,
        }

    def _steps(self, job: WorkflowJob) -> list[JSON]:
        """A step stays ``in_progress`` when its runner vanished: the only trace of that (seen)."""
        if job.runner_id is None:
            return []
        started, ended = _maybe(job.started_at), _maybe(job.completed_at)
        first = _step(
            "Set up job", number=1, state="completed", conclusion="success", times=(started, started)
        )
        if not job.reported:
            return [
                first,
                _step("Run work", number=2, state="in_progress", conclusion=None, times=(started, None)),
            ]
        return [
            first,
            _step("Run work", number=2, state="completed", conclusion=job.conclusion, times=(started, ended)),
            _step("Complete job", number=3, state="completed", conclusion="success", times=(ended, ended)),
        ]

    # -- runners
    # --------------------------------------------------------------------------------------------------

    def runner(self, runner: Runner, *, status: str, busy: bool) -> JSON:
        """A registration."""
        labels = [
            {"id": int(self._store.keyed("label", label)[:6], 16), "name": label, "type": "read-only"}
            for label in runner.labels
        ]
        body = {
            "id": runner.id,
            "name": runner.name,
            "os": runner.os,
            "status": status,
            "busy": busy,
            "labels": labels,
            "runner_group_id": runner.group_id,
            "ephemeral": True,
        }
        return body if runner.version is None else {**body, "version": runner.version}

    def group(self, group: RunnerGroup) -> JSON:
        """A runner group of an organization or enterprise."""
        url = f"{self.api}{scope_path(group.scope)}/actions/runner-groups/{group.id}"
        body: JSON = {
            "id": group.id,
            "name": group.name,
            "visibility": group.visibility,
            "default": group.default,
            "runners_url": f"{url}/runners",
            "allows_public_repositories": group.allows_public_repositories,
            "restricted_to_workflows": bool(group.workflows),
            "selected_workflows": list(group.workflows),
            "workflow_restrictions_read_only": False,
        }
        if group.scope.kind == "org":
            body["inherited"] = False
        if group.visibility == "selected":
            what = "repositories" if group.scope.kind == "org" else "organizations"
            body[f"selected_{what}_url"] = f"{url}/{what}"
        return body


def scope_path(scope: Scope) -> str:
    """Where a scope's routes begin."""
    roots: Mapping[str, str] = {"repo": "/repos/", "org": "/orgs/", "enterprise": "/enterprises/"}
    return roots[scope.kind] + scope.name


def _step(
    name: str, *, number: int, state: str, conclusion: str | None, times: tuple[str | None, str | None]
) -> JSON:
    return {
        "name": name,
        "status": state,
        "conclusion": conclusion,
        "number": number,
        "started_at": times[0],
        "completed_at": times[1],
    }
