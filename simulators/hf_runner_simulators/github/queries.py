"""Which query parameters each route takes, and their words, as GitHub's API description has them.

GitHub answers 422 to a word that a parameter does not have. It ignores a parameter that it does not know,
which would hide a client's typo here, where no person looks at the answer: so that is refused too.
"""

from __future__ import annotations

from collections.abc import Mapping

from hf_runner_simulators.github.errors import Refusal
from hf_runner_simulators.http import Request

Words = Mapping[str, frozenset[str] | None]
"""Parameters; None takes any text."""

_PAGES: Words = {"per_page": None, "page": None}
_DIRECTION = frozenset({"asc", "desc"})
_SORT = frozenset({"created", "updated", "pushed", "full_name"})
_RUNS = "/repos/{owner}/{repo}/actions/runs"
_STATUS = frozenset(
    {
        "completed", "action_required", "cancelled", "failure", "neutral", "skipped", "stale", "success", "timed_out",
        "in_progress", "queued", "requested", "waiting", "pending",
    }
)  # fmt: skip

QUERIES: Mapping[str, Words] = {
    "/app/installations": {**_PAGES, "since": None, "outdated": None},
    "/installation/repositories": _PAGES,
    "/orgs/{org}/repos": {
        **_PAGES,
        "type": frozenset({"all", "public", "private", "forks", "sources", "member"}),
        "sort": _SORT,
        "direction": _DIRECTION,
    },
    "/users/{username}/repos": {
        **_PAGES,
        "type": frozenset({"all", "owner", "member"}),
        "sort": _SORT,
        "direction": _DIRECTION,
    },
    "/user/repos": {
        **_PAGES,
        "visibility": frozenset({"all", "public", "private"}),
        "affiliation": None,
        "type": frozenset({"all", "owner", "public", "private", "member"}),
        "sort": _SORT,
        "direction": _DIRECTION,
        "since": None,
        "before": None,
    },
    _RUNS: {
        **_PAGES,
        "actor": None,
        "branch": None,
        "event": None,
        "status": _STATUS,
        "created": None,
        "exclude_pull_requests": None,
        "check_suite_id": None,
        "head_sha": None,
    },
    f"{_RUNS}/{{run_id}}": {"exclude_pull_requests": None},
    f"{_RUNS}/{{run_id}}/jobs": {**_PAGES, "filter": frozenset({"latest", "all"})},
    f"{_RUNS}/{{run_id}}/attempts/{{attempt_number}}/jobs": _PAGES,
    f"{_RUNS}/{{run_id}}/artifacts": {**_PAGES, "name": None, "direction": _DIRECTION},
    "/repos/{owner}/{repo}/actions/workflows": _PAGES,
    **{
        f"{root}/actions/runners": {**_PAGES, "name": None}
        for root in ("/repos/{owner}/{repo}", "/orgs/{org}", "/enterprises/{enterprise}")
    },
    "/orgs/{org}/actions/runner-groups": {**_PAGES, "visible_to_repository": None},
    "/enterprises/{enterprise}/actions/runner-groups": {**_PAGES, "visible_to_organization": None},
    **{
        f"{root}/actions/runner-groups/{{runner_group_id}}/runners": _PAGES
        for root in ("/orgs/{org}", "/enterprises/{enterprise}")
    },
    "/orgs/{org}/actions/runner-groups/{runner_group_id}/repositories": _PAGES,
}
"""By route; one that is not here takes none."""


def check(request: Request, template: str) -> None:
    """Refuse a query that the route does not take.

    Raises:
        Refusal: 422, names every mistake.
    """
    known = QUERIES.get(template, {})
    mistakes: list[object] = []
    for name, value in request.query:
        words = known.get(name)
        if name not in known:
            mistakes.append({"resource": "Query", "code": "unknown_parameter", "field": name})
        elif value and words is not None and value not in words:
            mistakes.append({"resource": "Query", "code": "invalid", "field": name, "value": value})
    if mistakes:
        raise Refusal(422, "Validation Failed", errors=mistakes)
