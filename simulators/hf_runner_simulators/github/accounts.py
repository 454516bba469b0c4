"""Owners, repositories, runner groups, Apps and their installations: what exists before any workflow runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Literal

from hf_runner_simulators.github.errors import not_found
from hf_runner_simulators.github.model import (
    App,
    Blocked,
    Enterprise,
    Installation,
    Level,
    Owner,
    Repository,
    RunnerGroup,
    Scope,
)
from hf_runner_simulators.github.state import Store, verb

APP_PERMISSIONS: Mapping[str, Level] = {
    "actions": "read",
    "metadata": "read",
    "administration": "write",
    "organization_self_hosted_runners": "write",
}
"""What the controller's App needs at most: organization scope does without ``administration``."""


class Accounts:
    """Set-up verbs. Adding what exists already is an error of the scenario and raises ValueError.

    One method per verb, which is more than 15.

    Attributes:
        apps: By id.
        installations: By id.
        on_renamed: Called with the old and the new name, in lower case, of a repository or an account.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.time = store.time
        self.apps: dict[int, App] = {}
        self.installations: dict[int, Installation] = {}
        self.on_renamed: Callable[[str, str], None] = lambda _old, _new: None

    @verb
    def add_organization(
        self, login: str, *, enterprise: str | None = None, members: Iterable[str] | None = None
    ) -> Owner:
        """Create an organization, and its enterprise where that is new.

        Args:
            login: Its name.
            enterprise: Slug.
            members: Logins of users whose own tokens reach what is private in it; None for every user.

        Raises:
            Refusal: 404, a member is no user.
        """
        if enterprise is not None and enterprise.lower() not in self._store.enterprises:
            self.add_enterprise(enterprise)
        ids = None if members is None else frozenset(self._store.owner(name).id for name in members)
        return self._add_owner(login, "Organization", enterprise, ids)

    @verb
    def add_user(self, login: str) -> Owner:
        """Create a personal account."""
        return self._add_owner(login, "User")

    @verb
    def add_enterprise(self, slug: str) -> Enterprise:
        """Create an enterprise account."""
        _must_be_new(slug.lower(), self._store.enterprises)
        row = Enterprise(id=self._store.next_id("enterprise", 3_001), slug=slug.lower())
        self._store.enterprises[row.slug] = row
        return row

    def _add_owner(
        self,
        login: str,
        kind: Literal["Organization", "User"],
        enterprise: str | None = None,
        members: frozenset[int] | None = None,
    ) -> Owner:
        _must_be_new(login.lower(), self._store.owners)
        owner = Owner(
            id=self._store.next_id("owner", 5_000_001),
            login=login,
            kind=kind,
            enterprise=enterprise and enterprise.lower(),
            members=members,
        )
        self._store.owners[login.lower()] = owner
        return owner

    @verb
    def add_repository(self, full_name: str, *, private: bool = True, archived: bool = False) -> Repository:
        """Create ``owner/name``; an unknown owner becomes an organization."""
        login, _, name = full_name.partition("/")
        if not name or "/" in name:
            raise ValueError(f"{full_name!r} is not owner/name")
        _must_be_new(full_name.lower(), self._store.repository_ids)
        if login.lower() not in self._store.owners:
            self.add_organization(login)
        row = Repository(
            id=self._store.next_id("repository", 900_000_001),
            owner=self._store.owners[login.lower()].login,
            name=name,
            private=private,
            archived=archived,
            created_at=self.time.now,
            pushed_at=self.time.now,
        )
        self._store.put_repository(row)
        self._store.repository_ids[full_name.lower()] = row.id
        return row

    @verb
    def change_repository(self, /, full_name: str, **changes: Any) -> Repository:  # noqa: ANN401 - fields of Repository
        """Set fields: ``archived``, ``disabled``, ``private``, ``actions_enabled``,
        ``runners_enabled``, ``fork_approval``.
        """
        row = self._store.repository(full_name)
        changed = replace(row, **changes)
        return self._store.put_repository(changed)

    @verb
    def block_repository(self, full_name: str, *, status: int = 403, message: str = "Forbidden") -> None:
        """Answer everybody who asks for a repository with this, until :meth:`unblock_repository`."""
        self.change_repository(full_name, blocked=Blocked(status=status, message=message))

    @verb
    def unblock_repository(self, full_name: str) -> None:
        """Let requests for the repository through again."""
        self.change_repository(full_name, blocked=None)

    @verb
    def rename_repository(self, full_name: str, name: str) -> Repository:
        """Rename within the owner; requests for the old name are redirected from now on. The id stays."""
        row = self._store.repository(full_name)
        return self._rename(row, replace(row, name=name))

    @verb
    def transfer_repository(self, full_name: str, login: str) -> Repository:
        """Give a repository to another owner, who exists; requests for the old name are
        redirected. The id stays.

        Raises:
            Refusal: 404, no such repository or owner.
        """
        row = self._store.repository(full_name)
        return self._rename(row, replace(row, owner=self._store.owner(login).login))

    @verb
    def rename_owner(self, login: str, name: str) -> Owner:
        """Rename an organization or user. Its repositories redirect from their old names; its
        own routes answer 404 there.

        Raises:
            Refusal: 404, no such owner.
        """
        owner = self._store.owner(login)
        old, new = owner.login.lower(), name.lower()
        _must_be_new(new, self._store.owners)
        renamed = replace(owner, login=name)
        del self._store.owners[old]
        self._store.owners[new] = renamed
        for row in self._store.listed.rows():
            if row.owner == owner.login:
                self._rename(row, replace(row, owner=name))
        self._store.move_scope(Scope("org", old), Scope("org", new))
        for key, installed in self.installations.items():
            if installed.account.lower() == old:
                self.installations[key] = replace(installed, account=name)
        self._replace_name(old, new)
        return renamed

    def _rename(self, row: Repository, changed: Repository) -> Repository:
        old, new = row.full_name.lower(), changed.full_name.lower()
        _must_be_new(new, self._store.repository_ids)
        del self._store.repository_ids[old]
        self._store.former_names[old] = row.id
        self._store.former_names.pop(new, None)
        self._store.repository_ids[new] = row.id
        self._store.put_repository(changed)
        self._store.move_scope(Scope("repo", old), Scope("repo", new))
        self._replace_name(old, new)
        return changed

    def _replace_name(self, old: str, new: str) -> None:
        """GitHub's lists of what somebody may reach hold ids: they survive a new name."""
        for key, row in self.installations.items():
            if row.repositories is not None and old in row.repositories:
                self.installations[key] = replace(row, repositories=row.repositories - {old} | {new})
        for groups in self._store.groups.values():
            for key, group in groups.items():
                if old in group.selected:
                    groups[key] = replace(group, selected=group.selected - {old} | {new})
        self.on_renamed(old, new)

    @verb
    def remove_repository(self, full_name: str) -> None:
        """Delete a repository: its routes answer 404 from now on."""
        row = self._store.repository(full_name)
        del self._store.repository_ids[row.full_name.lower()]
        self._store.listed.drop(row.id)

    # -- runner groups
    # --------------------------------------------------------------------------------------------

    @verb
    def add_group(
        self,
        scope: Scope,
        name: str,
        *,
        visibility: Literal["all", "private", "selected"] = "all",
        selected: Iterable[str] = (),
        allows_public_repositories: bool = False,
        workflows: Iterable[str] = (),
        hosted: bool = False,
    ) -> RunnerGroup:
        """Create a runner group of an organization or enterprise."""
        row = RunnerGroup(
            id=self._store.next_id("group", 2),
            scope=scope,
            name=name,
            visibility=visibility,
            selected=frozenset(item.lower() for item in selected),
            allows_public_repositories=allows_public_repositories,
            workflows=tuple(workflows),
            hosted=hosted,
        )
        self._store.groups_of(scope)[row.id] = row
        return row

    @verb
    def change_group(self, /, scope: Scope, group_id: int, **changes: Any) -> RunnerGroup:  # noqa: ANN401 - fields of RunnerGroup
        """Set fields of a group, the default one (id 1) too."""
        row = replace(self.group(scope, group_id), **changes)
        self._store.groups_of(scope)[group_id] = row
        return row

    @verb
    def groups(self, scope: Scope) -> list[RunnerGroup]:
        """Return the groups of a scope by id; every scope has ``Default``, id 1."""
        return [group for _, group in sorted(self._store.groups_of(scope).items())]

    @verb
    def group(self, scope: Scope, group_id: int) -> RunnerGroup:
        """Return one group.

        Raises:
            Refusal: 404.
        """
        found = self._store.groups_of(scope).get(group_id)
        if found is None:
            raise not_found()
        return found

    @verb
    def group_repositories(self, group: RunnerGroup) -> list[Repository]:
        """Return the repositories that an organization's group may serve, by id."""
        rows = [row for row in self.repositories_of(group.scope.name) if self.group_serves(group, row)]
        return sorted(rows, key=lambda row: row.id)

    def group_serves(self, group: RunnerGroup, repository: Repository) -> bool:
        """Whether a group's runners may take jobs of a repository (workflow restrictions aside)."""
        scope = group.scope
        if scope.kind == "repo":
            return repository.full_name.lower() == scope.name
        if repository.full_name.lower() in {name.lower() for name in self._store.knobs.group_refuses}:
            return False
        owner = self._store.owners[repository.owner.lower()]
        if not repository.private and (not group.allows_public_repositories or group.visibility == "private"):
            return False
        if scope.kind == "org":
            return owner.login.lower() == scope.name and (
                group.visibility != "selected" or repository.full_name.lower() in group.selected
            )
        return owner.enterprise == scope.name and (
            group.visibility != "selected" or owner.login.lower() in group.selected
        )

    @verb
    def repositories_of(self, login: str, *, lag: float = 0.0) -> list[Repository]:
        """Return an account's repositories, or all of an enterprise's, newest first, as they
        were ``lag`` seconds ago.
        """
        return [row for row in self.all_repositories(lag=lag) if self._belongs(row, login.lower())]

    @verb
    def all_repositories(self, *, lag: float = 0.0) -> list[Repository]:
        """Return every repository, newest first, as they were ``lag`` seconds ago."""
        return sorted(self._store.listed.rows_as_of(lag), key=lambda row: row.id, reverse=True)

    def _belongs(self, repository: Repository, login: str) -> bool:
        owner = self._store.owners[repository.owner.lower()]
        return login in (owner.login.lower(), owner.enterprise)

    # -- Apps
    # -----------------------------------------------------------------------------------------------------

    @verb
    def add_app(
        self,
        *,
        public_key: str,
        slug: str = "hf-runner-controller",
        owner: str = "hf",
        permissions: Mapping[str, Level] = APP_PERMISSIONS,
    ) -> App:
        """Create a GitHub App with this PEM public key."""
        if owner.lower() not in self._store.owners:
            self.add_organization(owner)
        app_id = self._store.next_id("app", 100_001)
        app = App(
            id=app_id,
            client_id=f"Iv23li{self._store.keyed('client', app_id)[:14]}",
            slug=slug,
            owner=owner,
            public_key=public_key,
            permissions=dict(permissions),
            created_at=self.time.now,
        )
        self.apps[app.id] = app
        return app

    @verb
    def install(
        self,
        app_id: int,
        account: str,
        *,
        repositories: Iterable[str] | None = None,
        permissions: Mapping[str, Level] | None = None,
    ) -> Installation:
        """Install an App on an organization, a user or (its slug) an enterprise.

        Raises:
            Refusal: 404, no such account.
        """
        key = account.lower()
        if key in self._store.owners:
            target: Literal["Organization", "User", "Enterprise"] = self._store.owners[key].kind
        elif key in self._store.enterprises:
            target = "Enterprise"
        else:
            raise not_found()
        row = Installation(
            id=self._store.next_id("installation", 60_000_001),
            app_id=app_id,
            account=account,
            target=target,
            permissions=dict(self.apps[app_id].permissions if permissions is None else permissions),
            repositories=None if repositories is None else frozenset(name.lower() for name in repositories),
            created_at=self.time.now,
        )
        self.installations[row.id] = row
        return row

    @verb
    def change_installation(self, /, installation_id: int, **changes: Any) -> Installation:  # noqa: ANN401 - fields of Installation
        """Set fields: ``permissions``, ``repositories``, ``suspended_at``. Live tokens feel it at once."""
        row = replace(self._installation(installation_id), **changes)
        self.installations[installation_id] = row
        return row

    @verb
    def uninstall(self, installation_id: int) -> None:
        """Remove an installation; its tokens die with it."""
        del self.installations[self._installation(installation_id).id]

    def _installation(self, installation_id: int) -> Installation:
        if installation_id not in self.installations:
            raise not_found()
        return self.installations[installation_id]

    @verb
    def installation_of(self, app_id: int, account: str) -> Installation:
        """Find an App's installation on an account.

        Raises:
            Refusal: 404.
        """
        for row in self.installations.values():
            if row.app_id == app_id and row.account.lower() == account.lower():
                return row
        raise not_found()


def _must_be_new(key: str, rows: Mapping[str, object]) -> None:
    if key in rows:
        raise ValueError(f"{key} exists already")
