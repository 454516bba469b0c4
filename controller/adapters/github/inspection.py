"""What credentials may do, and who may use the runners: asked by ``check``, and where jobs are not given out;
changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from controller.adapters.counted import counted
from controller.adapters.github.errors import GitHubError, RejectedError
from controller.adapters.github.fields import Row
from controller.adapters.github.part import Part
from controller.adapters.github.queue import parse_repository
from controller.core.model import Admission, RunnerGroup, Scope, ScopeKind, TokenEnd
from controller.ports import Repository

ADMISSION_AGE = 60.0
"""Seconds for which it is believed which repositories a group admits, while jobs wait for somebody to change
that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What GitHub says that credentials may do.

    Attributes:
        permissions: Of an App's installation, by the API's names (``read`` or ``write``); None for tokens.
        scopes: Of a classic token; None for all other credentials. What a fine-grained token may do is not
            told: try.
        token_end: When a token ends; None when it has no end or GitHub does not say.
    """

    permissions: Mapping[str, str] | None
    scopes: tuple[str, ...] | None
    token_end: TokenEnd | None


class GitHubInspection(Part):
    """Reads of one source about what a person has set up. Implements :class:`controller.ports.Causes`."""

    async def grant(self) -> Grant:
        """Return what the credentials may do, as far as GitHub tells; :meth:`Queue.quota` is known
        afterwards.

        Raises:
            GitHubError: They do not work at all.
        """
        permissions = await self._client.permissions()
        answer = await self._client.call("GET", "meta")
        return Grant(
            permissions=permissions,
            scopes=answer.scopes if permissions is None else None,
            token_end=self._client.token_end(),
        )

    async def repository(self, full_name: str) -> Repository:
        """Return one repository.

        Raises:
            GitHubError: ``GitHubNotFound`` where the credentials may not see it.
        """
        return await self._client.value("GET", "repos/{name}", parse_repository, name=full_name)

    async def try_queue(self, full_name: str) -> None:
        """Read a repository's queue, as the controller will.

        Raises:
            GitHubError: It cannot be read.
        """
        await self._client.call("GET", "repos/{name}/actions/runs?status=queued&per_page=1", name=full_name)

    async def try_registering(self, scope: Scope) -> None:
        """Try whether runners may be registered, by a request that GitHub can only refuse: it names no
        runner.

        GitHub looks at who asks before it looks at what is asked, so its complaint about the body is the
        proof.

        Raises:
            GitHubError: They may not, or it cannot be told.
        """
        try:
            await self._client.call(
                "POST",
                "{scope}/actions/runners/generate-jitconfig",
                body={},
                registration=True,
                scope=scope.path,
            )
        except RejectedError as error:
            if error.status != 422:
                raise

    async def try_listing_runners(self, scope: Scope) -> None:
        """Read one row of the registrations.

        Raises:
            GitHubError: They cannot be read; ``PersonalAccount`` where the owner can have none.
        """
        try:
            await self._client.call("GET", "{scope}/actions/runners?per_page=1", scope=scope.path)
        except GitHubError as error:
            failed = error
        else:
            return
        raise await self._accounts.explained(scope, failed)

    async def runner_group(self, scope: Scope, name: str | None) -> RunnerGroup:
        """Return the group that runners would join.

        Raises:
            UpstreamError: ``RunnerGroupMissing``, or as any call.
        """
        return await self._groups.find(scope, name)

    async def group_repositories(self, scope: Scope, group: RunnerGroup) -> frozenset[str]:
        """Return the repositories, in lower case, that were selected for an organization's group.

        Raises:
            GitHubError: They cannot be read.
        """
        seen = await self._client.listed(
            "{scope}/actions/runner-groups/{group}/repositories",
            params={},
            rows="repositories",
            parse=lambda row: row.name("full_name").lower(),
            key=lambda name: name,
            scope=scope.path,
            group=group.id,
        )
        return frozenset(seen.items)

    @counted
    async def admission(self, scope: Scope, group: str | None, repository: str) -> Admission:
        """Return whether a runner group of an organization or enterprise admits a repository, as of
        :data:`ADMISSION_AGE` ago at most.

        An enterprise selects organizations, not repositories, and is not asked for them.

        Raises:
            UpstreamError: ``RunnerGroupMissing``, or as any call.
        """
        seen = await self._groups.find(scope, group, younger_than=ADMISSION_AGE)
        by_repository = seen.selected and scope.kind is ScopeKind.ORGANIZATION
        excluded = by_repository and repository not in await self.group_repositories(scope, seen)
        refuses = not excluded and not seen.public and (await self.repository(repository)).public
        workflows = seen.workflows if seen.restricted_to_workflows else None
        return Admission(group=seen.name, excluded=excluded, refuses_public=refuses, workflows=workflows)

    @counted
    async def version_ended(self, scope: Scope, version: str) -> bool:
        """Return whether GitHub serves a version of actions/runner no more.

        https://docs.github.com/enterprise-cloud@latest/rest/actions/self-hosted-runners

        Raises:
            GitHubError: As any call; 404 for a version that GitHub does not know, and on an Enterprise
                Server.
        """
        answer = await self._client.call(
            "GET",
            "{scope}/actions/runners/deprecations/{version}",
            read=lambda found: Row(found).time_or_none("runtime_deprecates_at"),
            scope=scope.path,
            version=version,
        )
        ends_at = cast("float | None", answer.value)
        return ends_at is not None and ends_at <= answer.server_time

    async def fork_approval(self, full_name: str) -> str:
        """Return whose pull requests from forks wait for approval before workflows run (usecases.md §6).

        One of ``first_time_contributors_new_to_github``, ``first_time_contributors`` and
        ``all_external_contributors``.

        Raises:
            GitHubError: It cannot be read: that needs Administration: read, which nothing else here does.
        """
        return await self._client.value(
            "GET",
            "repos/{name}/actions/permissions/fork-pr-contributor-approval",
            lambda found: found.word("approval_policy"),
            name=full_name,
        )
