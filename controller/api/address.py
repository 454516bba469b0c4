"""Addresses in a RunnerPool: which GitHub host and which owner, repository or enterprise a URL names, and
whether plain http may be used.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from pydantic import GetCoreSchemaHandler, ValidationInfo
from pydantic_core import CoreSchema, core_schema

from controller.api.rules import broken
from controller.core.hosts import is_hosted
from controller.core.model import Scope, ScopeKind

HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?"
NAME = (
    r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}"  # '_' is in the names of managed users, and of users on one's own host
)
REPOSITORY = r"[A-Za-z0-9._-]{1,100}"

GITHUB_URL = rf"https?://{HOST}/{NAME}(?:/{REPOSITORY})?/?"
ENTERPRISE_URL = r"https?://[^/]+/enterprises/[^/]+/?"
OWNER_URL = r"https?://[^/]+/[^/]+/?"
# Pages of GitHub that look like an owner or a repository, a clone address, and the REST
# host instead of the web one.
NOT_A_SCOPE_URL = (
    r"https?://[^/]+/(?:apps|enterprises|marketplace|organizations|orgs|settings|topics|users)(?:/[^/]*)?/?"
    r"|.*[.]git/?|.*/[.]{1,2}/?|https?://api[.]github[.]com/.*"
)
ENDPOINT_URL = rf"https?://{HOST}(?:/[A-Za-z0-9._~-]+)*/?"


def is_github_url(url: str) -> bool:
    """Tell whether the URL names an owner, a repository or an enterprise on any GitHub host."""
    if re.fullmatch(GITHUB_URL, url) is None or not _can_be_split(url):
        return False
    return re.fullmatch(ENTERPRISE_URL, url) is not None or re.fullmatch(NOT_A_SCOPE_URL, url) is None


def _can_be_split(url: str) -> bool:
    try:
        urlsplit(url)
    except ValueError:  # brackets around what is no IPv6 address
        return False
    return True


def is_repository_url(url: str) -> bool:
    """Tell whether a GitHub URL names one repository."""
    return re.fullmatch(OWNER_URL, url) is None and re.fullmatch(ENTERPRISE_URL, url) is None


@dataclass(frozen=True, slots=True)
class SafeHttp:
    """The rule that nothing is asked by plain http, of this machine neither, used as
    ``Annotated[str, SafeHttp()]``.

    A name that looks like this machine's may be another's, or be reached through a proxy.

    The API server cannot know how the controller was started, so this rule has no CEL; the controller's own
    answer is the condition. Pass ``context={"allow_http": True}`` to allow it.
    """

    @staticmethod
    def _check(url: str, info: ValidationInfo) -> str:
        allowed = bool(info.context and info.context.get("allow_http"))
        if url.startswith("http://") and not allowed:
            raise broken(
                "write https://: plain http would show the credentials to the network; it is for simulators, "
                "where the controller runs with --allow-http"
            )
        return url

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:  # noqa: ANN401
        return core_schema.with_info_after_validator_function(self._check, handler(source))


@dataclass(frozen=True, slots=True, kw_only=True)
class GitHubTarget:
    """What a GitHub URL means.

    Attributes:
        api_url: REST base without a trailing slash.
        scope: Where runners are registered.
    """

    api_url: str
    scope: Scope


def github_target(url: str) -> GitHubTarget:
    """Return the REST base and the scope of a URL that :func:`is_github_url` accepts.

    github.com and GitHub Enterprise Cloud with data residency (``*.ghe.com``) have their REST API on a host
    of its own; every other host is a GitHub Enterprise Server, with the API below ``/api/v3``
    (docs/facts.md#api-hosts).

    Raises:
        ValueError: The URL names no owner, repository or enterprise.
    """
    if not is_github_url(url):
        raise ValueError(f"{url!r} names no GitHub owner, repository or enterprise")
    parts = urlsplit(url)
    host = parts.netloc.lower()
    if host == "www.github.com":
        host = "github.com"
    api_url = f"{parts.scheme}://api.{host}" if is_hosted(host) else f"{parts.scheme}://{host}/api/v3"
    first, _, second = parts.path.strip("/").lower().partition("/")
    if first == "enterprises":
        scope = Scope(kind=ScopeKind.ENTERPRISE, owner=second)
    elif second:
        scope = Scope(kind=ScopeKind.REPOSITORY, owner=first, repository=second)
    else:
        scope = Scope(kind=ScopeKind.ORGANIZATION, owner=first)
    return GitHubTarget(api_url=api_url, scope=scope)
