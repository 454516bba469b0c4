"""Accounts, repositories and registrations as GitHub's JSON. Every link leads to the origin that the caller used."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from hf_runner_simulators.github.model import (
    App,
    Enterprise,
    Installation,
    Owner,
    Repository,
    Runner,
    RunnerGroup,
    Scope,
)
from hf_runner_simulators.github.state import Store

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


@lru_cache(maxsize=4_096)
def iso(seconds: float) -> str:
    """Return a time as GitHub writes it: whole seconds, UTC."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def maybe(seconds: float | None) -> str | None:
    """Return a time as GitHub writes it, or None."""
    return None if seconds is None else iso(seconds)


def compact(payload: object) -> str:
    """Return JSON without spaces, as GitHub sends it."""
    return json.dumps(payload, separators=(",", ":"))


def node_id(kind: str, number: int) -> str:
    """Return an opaque GraphQL id."""
    return f"{kind}_{base64.urlsafe_b64encode(str(number).encode()).decode().rstrip('=')}"


def scope_path(scope: Scope) -> str:
    """Where a scope's routes begin."""
    roots: Mapping[str, str] = {"repo": "/repos/", "org": "/orgs/", "enterprise": "/enterprises/"}
    return roots[scope.kind] + scope.name


class AccountRender:
    """Builds answers about accounts, repositories and registrations for one API root.

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
            "suspended_at": maybe(row.suspended_at),
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
