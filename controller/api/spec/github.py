"""``spec.github``: where the workflow jobs come from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from controller.api import address
from controller.api.rules import Rule, SiblingRule, Strict, matches, not_empty, quoted
from controller.api.spec.names import SecretName

REPOSITORY_GLOB = r"(?:[A-Za-z0-9_*?-]+/)?[A-Za-z0-9._*?-]+"


Glob = Annotated[
    str,
    Field(max_length=200),
    matches(
        REPOSITORY_GLOB, "write REPOSITORY or OWNER/REPOSITORY; * and ? are wildcards, such as acme/lib-*"
    ),
]


class Repositories(Strict):
    """Which repositories' queues a pool of an organization or enterprise reads."""

    include: Annotated[
        list[Glob], Field(max_length=100), not_empty('name at least one repository, or write include: ["*"]')
    ] = Field(
        description="Names as OWNER/REPOSITORY, or as REPOSITORY below an owner URL; * and ? are wildcards, case is ignored. "
        'Write ["*"] for every repository that the credentials can see: each one costs GitHub requests.'
    )
    exclude: Annotated[list[Glob], Field(max_length=100)] | None = Field(
        default=None, description="The same kind of names: repositories to leave out again."
    )


def _globs_fit(known: Mapping[str, Any]) -> bool:
    url, chosen = known["url"], known["repositories"]
    if chosen is None:
        return True
    globs = [*chosen.include, *(chosen.exclude or [])]
    if re.fullmatch(address.ENTERPRISE_URL, url):
        return all(glob == "*" or "/" in glob for glob in globs)
    prefix = url.split("/")[3].lower() + "/"
    return all("/" not in glob or glob.lower().startswith(prefix) for glob in globs)


_IS_OWNER = f"self.url.matches({quoted(address.OWNER_URL)})"
_IS_ENTERPRISE = f"self.url.matches({quoted(address.ENTERPRISE_URL)})"
_IN_ENTERPRISE = "g == '*' || g.contains('/')"
_OF_OWNER = "!g.contains('/') || g.lowerAscii().startsWith(self.url.lowerAscii().split('/')[3] + '/')"


def _all_globs(condition: str) -> str:
    both = ("self.repositories.include", "self.repositories.exclude")
    return f"{both[0]}.all(g, {condition}) && (!has({both[1]}) || {both[1]}.all(g, {condition}))"


class GitHub(Strict):
    """Where the workflow jobs come from, and where runners are registered."""

    url: Annotated[
        str,
        Field(max_length=400),
        Rule(
            cel=(
                f"self.matches({quoted(address.GITHUB_URL)}) && (self.matches({quoted(address.ENTERPRISE_URL)})"
                f" || !self.matches({quoted(address.NOT_A_SCOPE_URL)}))"
            ),
            message=(
                "write the address of an owner, a repository or an enterprise: https://github.com/OWNER, "
                "https://github.com/OWNER/REPOSITORY or https://github.com/enterprises/NAME, or the same on your own "
                "GitHub host; without .git, query or further path"
            ),
            holds=address.is_github_url,
        ),
        address.SafeHttp(),
    ] = Field(
        description="Address of an organization (https://github.com/OWNER), a repository (https://github.com/OWNER/REPOSITORY) "
        "or an enterprise (https://github.com/enterprises/NAME), on github.com or any GitHub Enterprise host. "
        "Its host must be one of the controller's --github-host (github.com and *.ghe.com if none is given). "
        "Plain http is for simulators, where the controller runs with --allow-http."
    )
    credentials_secret: SecretName = Field(
        description="Name of a Secret in the pool's namespace: either the keys appId and privateKey of a GitHub App, "
        "with installationId where it must not be looked up, or the key token. Enterprise URLs need a token."
    )
    runner_group: Annotated[str, Field(min_length=1, max_length=128)] | None = Field(
        default=None,
        description="Runner group that runners join, by name; the owner's default group if absent. "
        "Groups decide which repositories and workflows may use the runners; repository URLs have none.",
    )
    group_only_jobs: Literal["Ignore", "Serve"] = Field(
        default="Ignore",
        description="What to do about queued jobs that name only a runner group (runs-on: {group: NAME}): GitHub's REST API "
        "shows neither labels nor group of such a job. Ignore counts them in status. Serve launches runners for them, "
        "and is your word that this pool alone serves its runnerGroup.",
    )
    repositories: Repositories | None = Field(
        default=None,
        description="Which repositories to serve; required for an owner or enterprise URL, absent for a repository URL.",
    )

    RULES: ClassVar[tuple[SiblingRule, ...]] = (
        SiblingRule(
            at="runner_group",
            needs=("url",),
            cel=f"!has(self.runnerGroup) || {_IS_OWNER} || {_IS_ENTERPRISE}",
            message="only organizations and enterprises have runner groups: leave runnerGroup out, or use the owner's URL "
            "and name the repository in repositories.include",
            holds=lambda known: known["runner_group"] is None or not address.is_repository_url(known["url"]),
            why="FieldValueForbidden",
        ),
        SiblingRule(
            at="group_only_jobs",
            needs=("runner_group",),
            cel="self.groupOnlyJobs != 'Serve' || has(self.runnerGroup)",
            message="Serve needs a runnerGroup: it says that this pool alone serves that group's jobs",
            holds=lambda known: known["group_only_jobs"] != "Serve" or known["runner_group"] is not None,
        ),
        SiblingRule(
            at="repositories",
            needs=("url",),
            cel=f"has(self.repositories) || !({_IS_OWNER} || {_IS_ENTERPRISE})",
            message='name the repositories to serve in repositories.include, or write include: ["*"] for all of them',
            holds=lambda known: known["repositories"] is not None or address.is_repository_url(known["url"]),
            why="FieldValueRequired",
        ),
        SiblingRule(
            at="repositories",
            needs=("url",),
            cel=f"!has(self.repositories) || {_IS_OWNER} || {_IS_ENTERPRISE}",
            message="the URL already names the one repository: leave repositories out",
            holds=lambda known: known["repositories"] is None or not address.is_repository_url(known["url"]),
            why="FieldValueForbidden",
        ),
        SiblingRule(
            at="repositories",
            needs=("url",),
            cel=f"!has(self.repositories) || !{_IS_OWNER} || ({_all_globs(_OF_OWNER)})",
            message="every name must begin with the owner that the URL names (acme/lib-* for https://github.com/acme), or have none",
            holds=lambda known: re.fullmatch(address.OWNER_URL, known["url"]) is None or _globs_fit(known),
        ),
        SiblingRule(
            at="repositories",
            needs=("url",),
            cel=f"!has(self.repositories) || !{_IS_ENTERPRISE} || ({_all_globs(_IN_ENTERPRISE)})",
            message='with an enterprise URL every name needs its owner, such as acme/lib-*; or write "*"',
            holds=lambda known: (
                re.fullmatch(address.ENTERPRISE_URL, known["url"]) is None or _globs_fit(known)
            ),
        ),
    )
