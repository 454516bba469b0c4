"""The credentials of one source, its repositories, and who else may use the runners
(docs/facts.md#permissions, docs/facts.md#public-repositories).
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from controller.adapters.credential import Fixed
from controller.adapters.github import GitHubConnection, credentials_from_secret
from controller.adapters.github.client import Client
from controller.adapters.github.inspection import Grant
from controller.api.status.values import iso
from controller.cli.checks.findings import Findings, Severity, some
from controller.cli.checks.inputs import SecretReader, Subject
from controller.core.credentials import describe_end, ends_soon
from controller.core.hosts import Hosts
from controller.core.labels import covered, is_glob
from controller.core.model import GitHubSource, RunnerGroup, Scope, ScopeKind
from controller.core.reasons import Reason
from controller.observe.queue_schedule import Heat, requests_per_hour
from controller.ports import Clock, Repository, UpstreamError

MOST_TRIED = 50
"""Repositories of one pool whose queue is read, and whose approval policy; the others are
of the same kind."""

NAMES: Mapping[str, str] = {
    "actions": "Actions (repository)",
    "metadata": "Metadata (repository)",
    "administration": "Administration (repository)",
    "organization_self_hosted_runners": "Self-hosted runners (organization)",
}
"""Permissions as GitHub's settings pages call them."""

SAFE_TO_WRITE = frozenset({"checks", "statuses"})
"""Permissions whose ``write`` gives nobody power over code, secrets or machines."""


class GitHubCheck:
    """All checks of one source: a set of credentials, a host and an owner.

    It has more than fifteen methods because each checks one thing and adds what it found; they share
    the source and nothing else.

    Args:
        source: The source.
        subjects: The pools that use it.
        secrets: Where the credentials are read.
        clock: Time.
        found: Takes what is found.
        hosts: To which hosts requests may go.
    """

    def __init__(
        self,
        *,
        source: GitHubSource,
        subjects: Sequence[Subject],
        secrets: SecretReader,
        clock: Clock,
        found: Findings,
        hosts: Hosts,
    ) -> None:
        self._source = source
        self._subjects = subjects
        self._secrets = secrets
        self._clock = clock
        self._found = found
        self._hosts = hosts
        self._credentials = f"Secret {source.secret}"
        self.reach: dict[str, tuple[str, ...]] = {}
        """Repositories by pool uid, as far as they are known."""

    async def run(self) -> None:
        """Check everything; what cannot be read is a finding."""
        for subject in self._subjects:
            self.reach[subject.pool.uid] = _named(subject)
        try:
            data = (await self._secrets.read(self._source.secret)).data
            credentials = credentials_from_secret(data, ref=self._source.secret)
        except UpstreamError as error:
            missing = error.failure.reason is Reason.SecretMissing and not self._secrets.complete
            severity = Severity.WARNING if missing else Severity.ERROR
            self._found.failed(self._credentials, error.failure, severity=severity)
            return
        client = Client(
            source=self._source, credential=Fixed(credentials), clock=self._clock, hosts=self._hosts
        )
        github = GitHubConnection(client)
        try:
            try:
                grant = await github.grant()
            except UpstreamError as error:
                self._found.failed(self._credentials, error.failure)
                return
            await self._with(github, grant)
        finally:
            await github.close()

    async def _with(self, github: GitHubConnection, grant: Grant) -> None:
        self._expiry(grant)
        for scope in sorted({subject.pool.scope for subject in self._subjects}):
            await self._scope(github, grant, scope)
        self._excess(grant)
        listed = await self._list(github)
        for subject in self._subjects:
            await self._pool(github, subject, listed)
        self._quota(github)

    # -------------------------------------------------------------------------------------------- permissions
    def _expiry(self, grant: Grant) -> None:
        end, now, reason = grant.token_end, self._clock.mono(), Reason.CredentialsExpire
        if end is not None and ends_soon(end, now):
            ending = describe_end(self._source.secret, end, iso(end.at), now)
            self._found.add(Severity.WARNING, reason, self._credentials, f"{ending} {reason.meaning}")

    async def _scope(self, github: GitHubConnection, grant: Grant, scope: Scope) -> None:
        """Check what registering runners in a scope, and reading its queues, needs."""
        before = self._found.count(Severity.ERROR)
        if grant.permissions is not None:
            if scope.kind is ScopeKind.ENTERPRISE:
                message = (
                    f"{scope} cannot be served by a GitHub App: GitHub lets no App register an enterprise's runners. Use a "
                    "classic token with the scope manage_runners:enterprise."
                )
                self._found.add(Severity.ERROR, Reason.PermissionMissing, self._credentials, message)
            else:
                self._granted(grant.permissions, self._needed(scope))
        elif grant.scopes is not None:
            self._scoped(grant.scopes, scope)
        if self._found.count(Severity.ERROR) > before:
            return  # named already; trying would only say so again
        try:
            if grant.permissions is None and grant.scopes is None:
                await github.try_registering(scope)  # GitHub tells nothing of a fine-grained token
            await github.try_listing_runners(scope)
        except UpstreamError as error:
            self._found.failed(self._credentials, error.failure)

    def _needed(self, scope: Scope) -> dict[str, str]:
        again = any(s.pool.retry_interrupted for s in self._subjects if s.pool.scope == scope)
        runners = {
            ScopeKind.REPOSITORY: {"administration": "write"},
            ScopeKind.ORGANIZATION: {"organization_self_hosted_runners": "write"},
            ScopeKind.ENTERPRISE: {},
        }[scope.kind]
        return {"actions": "write" if again else "read", "metadata": "read", **runners}

    def _granted(self, permissions: Mapping[str, str], needed: Mapping[str, str]) -> None:
        for name, level in needed.items():
            has = permissions.get(name)
            if has in ("write", "admin", level):
                continue
            why = (
                " (spec.retry.interrupted runs failed jobs again)"
                if (name, level) == ("actions", "write")
                else ""
            )
            message = (
                f"The App's installation on {self._source.owner} lacks {NAMES[name]}: {level}{why}; it has "
                f"{f'only {has}' if has else 'none of it'}. Grant it in the App's settings, Permissions & events, and then "
                "accept the change on the installation."
            )
            self._found.add(Severity.ERROR, Reason.PermissionMissing, self._credentials, message)

    def _scoped(self, scopes: Iterable[str], scope: Scope) -> None:
        if scope.kind is ScopeKind.REPOSITORY:
            needed: list[tuple[str, ...]] = [("repo",)]
        elif scope.kind is ScopeKind.ORGANIZATION:
            needed = [("repo", "public_repo"), ("admin:org",)]
        else:
            needed = [("repo", "public_repo"), ("manage_runners:enterprise", "admin:enterprise")]
        for choice in needed:
            if not set(choice) & set(scopes):
                message = (
                    f"The token lacks the scope {' or '.join(choice)}, which {scope} needs; it has "
                    f"{', '.join(sorted(scopes)) or 'none'}. Add it in the token's settings, or use a GitHub App."
                )
                self._found.add(Severity.ERROR, Reason.PermissionMissing, self._credentials, message)

    def _excess(self, grant: Grant) -> None:
        if grant.permissions is None:
            return
        needed = [self._needed(subject.pool.scope) for subject in self._subjects]
        excess = [
            name
            for name, level in sorted(grant.permissions.items())
            if level in ("write", "admin")
            and name not in SAFE_TO_WRITE
            and not any(one.get(name) == "write" for one in needed)
        ]
        if excess:
            reason = Reason.PermissionExcessive
            message = (
                f"The App may write {some(excess, most=10, each=lambda n: NAMES.get(n, n))}. {reason.meaning}"
            )
            self._found.add(Severity.NOTE, reason, self._credentials, message)

    # ------------------------------------------------------------------------------------------- repositories
    async def _list(self, github: GitHubConnection) -> Mapping[str, Repository] | None:
        """Return the owner's repositories, None where nobody needs them or they cannot be listed."""
        if all(subject.pool.scope.kind is ScopeKind.REPOSITORY for subject in self._subjects):
            return {}
        try:
            seen = await github.repositories(self._source.owner)
        except UpstreamError as error:
            self._found.failed(self._credentials, error.failure)
            return None
        if seen.failure is not None:
            self._found.failed(self._credentials, seen.failure, severity=Severity.WARNING)
        return {row.full_name: row for row in seen.items}

    async def _pool(
        self, github: GitHubConnection, subject: Subject, listed: Mapping[str, Repository] | None
    ) -> None:
        pool = subject.pool
        where = subject.written(("spec", "github", "repositories"))
        if listed is None:
            return
        known = tuple(sorted(name for name, row in listed.items() if row.usable))
        if pool.scope.kind is not ScopeKind.REPOSITORY:
            self.reach[pool.uid] = covered(pool.include, pool.exclude, known)
        names = self.reach[pool.uid]
        if not names:
            message = (
                f"{', '.join(pool.include)} match none of the {len(known)} repositories that the credentials see. Correct "
                "the names, or give the App's installation access to the repositories."
            )
            self._found.add(Severity.ERROR, Reason.NoRepositories, str(subject), message, where=where)
            return
        rows = await self._readable(github, subject, names, listed)
        await self._users(github, subject, rows)

    async def _readable(
        self,
        github: GitHubConnection,
        subject: Subject,
        names: Sequence[str],
        listed: Mapping[str, Repository],
    ) -> list[Repository]:
        """Return the repositories that can be read, and find those that cannot."""
        where = subject.written(("spec", "github"))
        rows = []
        for name in names[:MOST_TRIED]:
            try:
                row = listed.get(name) or await github.repository(name)
                await github.try_queue(name)
            except UpstreamError as error:
                self._found.failed(str(subject), error.failure, where=where)
            else:
                rows.append(row)
        if len(names) > MOST_TRIED:
            message = f"Only {MOST_TRIED} of the pool's {len(names)} repositories were tried one by one."
            self._found.add(Severity.NOTE, Reason.NotChecked, str(subject), message, where=where)
            rows += [listed[name] for name in names[MOST_TRIED:] if name in listed]
        return rows

    # --------------------------------------------------------------------------------------- who may use them
    async def _users(self, github: GitHubConnection, subject: Subject, rows: Sequence[Repository]) -> None:
        pool = subject.pool
        public = {row.full_name for row in rows if row.public}
        if pool.scope.kind is ScopeKind.REPOSITORY:
            if public:
                self._exposed(subject, public, "a repository's own runners serve every workflow in it")
                await self._approval(github, subject, public)
            return
        where = subject.written(("spec", "github", "runnerGroup"))
        try:
            group = await github.runner_group(pool.scope, pool.runner_group)
            chosen = (
                await github.group_repositories(pool.scope, group)
                if group.selected and pool.scope.kind is ScopeKind.ORGANIZATION
                else None
            )
        except UpstreamError as error:
            # A missing permission for the scope has been named; a missing group has not.
            if error.failure.reason is not Reason.PermissionMissing:
                self._found.failed(str(subject), error.failure, where=where)
            return
        if not group.public:
            self._shut_out(subject, group, public, "refuses public repositories, and {} {} public")
            public = set()
        if chosen is not None:
            others = {row.full_name for row in rows} - chosen
            self._shut_out(subject, group, others, "serves selected repositories, and {} {} not among them")
            public &= chosen
        if public and not group.restricted_to_workflows:
            self._exposed(subject, public, f"runner group {group.name!r} serves every workflow in it")
        elif public:
            workflows = some(group.workflows or ["none"])
            message = (
                f"{some(public)}: public, and runner group {group.name!r} serves only {workflows}. Whoever can change "
                "those files at those refs decides what runs."
            )
            self._found.add(Severity.NOTE, Reason.PublicRepository, str(subject), message)
        if public:
            await self._approval(github, subject, public)

    def _shut_out(self, subject: Subject, group: RunnerGroup, names: set[str], how: str) -> None:
        if not names:
            return
        # A pattern catches what nobody meant; a name is meant.
        meant = names & set(_named(subject))
        reason = Reason.GroupExcludesRepository
        which = how.format(some(meant or names), "is" if len(meant or names) == 1 else "are")
        self._found.add(
            Severity.ERROR if meant else Severity.WARNING,
            reason,
            str(subject),
            f"Runner group {group.name!r} {which}. {reason.meaning}",
            where=subject.written(("spec", "github", "repositories")),
        )

    def _exposed(self, subject: Subject, names: set[str], because: str) -> None:
        pool, reason = subject.pool, Reason.PublicRepository
        writable = [volume.source for volume in pool.template.volumes if not volume.read_only]
        gives = [
            *(["the secrets of secretEnv"] if pool.template.secret_env else []),
            *([f"write access to {some(writable)}"] if writable else []),
        ]
        more = f" This pool would also give them {' and '.join(gives)}." if gives else ""
        self._found.add(
            Severity.WARNING,
            reason,
            str(subject),
            f"{some(names)}: public, and {because}. {reason.meaning}{more}",
            where=subject.written(("spec", "github")),
        )

    async def _approval(self, github: GitHubConnection, subject: Subject, names: set[str]) -> None:
        weak: defaultdict[str, set[str]] = defaultdict(set)
        unread: set[str] = set()
        for name in sorted(names)[:MOST_TRIED]:
            try:
                policy = await github.fork_approval(name)
            except UpstreamError:
                unread.add(name)
            else:
                if policy != "all_external_contributors":
                    weak[policy].add(name)
        for policy, which in sorted(weak.items()):
            reason = Reason.ForkApprovalWeak
            message = f"{some(which)}: the approval policy is {policy}. {reason.meaning}"
            self._found.add(Severity.WARNING, reason, str(subject), message)
        if unread:
            message = (
                f"{some(unread)}: whose pull requests from forks need approval cannot be read without Administration: read, "
                "which the controller does not need. Look at the repository's settings, Actions, General: it should be all "
                "external contributors."
            )
            self._found.add(Severity.NOTE, Reason.NotChecked, str(subject), message)

    # -------------------------------------------------------------------------------------------------- quota
    def _quota(self, github: GitHubConnection) -> None:
        count = len({name for names in self.reach.values() for name in names})
        quota = github.quota()
        quiet, busy = (requests_per_hour(count, heat) for heat in (Heat.COLD, Heat.HOT))
        # An answer that has not changed is free of the quota, but a new token, each hour, changes all
        # (docs/facts.md#unchanged-answers-are-free, docs/facts.md#etags-follow-the-token).
        charged = 2 * count
        load = (
            f"Polling {count} {'repository' if count == 1 else 'repositories'} of {self._source.owner} sends about {quiet:.0f} "
            f"requests an hour while nothing happens, of which about {charged} are charged, and up to "
            f"{busy / max(count, 1):.0f} for each repository with work, of which those with news are charged"
        )
        if quota is None:
            self._found.add(
                Severity.NOTE, Reason.PollingLoad, self._credentials, f"{load}; this host has no quota."
            )
            return
        left = f"{quota.remaining} of {quota.limit} requests are left until {time.strftime('%H:%M', time.gmtime(quota.resets_at))} UTC"
        if quota.remaining < quota.limit / 10 or charged > quota.limit / 2:
            advice = "use credentials of the controller's own, or serve fewer repositories"
            message = f"{left}, and that is too little. {load}: {advice}."
            self._found.add(Severity.WARNING, Reason.GitHubRateLimited, self._credentials, message)
        else:
            self._found.add(Severity.NOTE, Reason.PollingLoad, self._credentials, f"{load}; {left}.")


def _named(subject: Subject) -> tuple[str, ...]:
    """Return the repositories that a pool names outright."""
    scope, pool = subject.pool.scope, subject.pool
    if scope.kind is ScopeKind.REPOSITORY:
        return (f"{scope.owner}/{scope.repository}",)
    return covered(tuple(p for p in pool.include if not is_glob(p)), pool.exclude, ())
