"""GitHub's own description of its API, as the judge of every answer that the simulator
gives in these tests.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonschema import ValidationError
from openapi_core import OpenAPI
from openapi_core.datatypes import RequestParameters
from openapi_core.exceptions import OpenAPIError
from openapi_core.templating.responses.exceptions import ResponseNotFound
from openapi_schema_validator import OAS30Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4
from werkzeug.datastructures import Headers, ImmutableMultiDict

if TYPE_CHECKING:
    from hf_runner_simulators.http import Request, Response

FILE = Path(__file__).parents[2] / "data" / "github-openapi.json"
BY_HAND = FILE.with_name("github-openapi-by-hand.json")
"""Operations that the pruned description does not have yet, written down from GitHub's documentation. What is
in both counts as the pruned one has it, so that a run of ``tools/prune_openapi.py`` replaces this file."""
HOST = "http://api.example"


@cache
def document() -> dict[str, Any]:
    """The pruned description, and what was written down by hand."""
    pruned, more = json.loads(FILE.read_text()), json.loads(BY_HAND.read_text())
    pruned["paths"] = {**more["paths"], **pruned["paths"]}
    components = pruned["components"]
    components["schemas"] = {**more["components"]["schemas"], **components["schemas"]}
    return pruned


@cache
def _openapi() -> OpenAPI:
    return OpenAPI.from_dict(document())


@cache
def _error_schema(name: str) -> OAS30Validator:
    schemas: Any = Resource(contents=document(), specification=DRAFT4)  # type: ignore[call-arg] # of attrs
    registry = Registry().with_resource("github", schemas)
    return OAS30Validator({"$ref": f"github#/components/schemas/{name}"}, registry=registry)


class _AskedFor:
    """A request as openapi-core wants it, which writes the path's parts into ``parameters``."""

    def __init__(self, request: Request, path: str) -> None:
        self.host_url = HOST
        self.path = path
        self.method = request.method.lower()
        self.body = request.body or None
        self.content_type = "application/json"
        self.parameters = RequestParameters(
            query=ImmutableMultiDict(request.query), header=Headers(dict(request.headers)), cookie={}
        )


@dataclass(frozen=True)
class _Answered:
    response: Response

    @property
    def data(self) -> bytes:
        return self.response.body

    @property
    def status_code(self) -> int:
        return self.response.status

    @property
    def content_type(self) -> str:
        return "application/json"

    @property
    def headers(self) -> Headers:
        return Headers(dict(self.response.headers))


class NotGitHubError(AssertionError):
    """The answer is not one that GitHub gives."""


def judge(request: Request, response: Response, *, path: str) -> None:
    """Refuse an answer that GitHub could not have given; ``path`` is the request's, below the API root.

    Raises:
        NotGitHubError: Says why, briefly.
    """
    try:
        _judge(_AskedFor(request, path), response)
    except (OpenAPIError, ValidationError, AssertionError, KeyError) as error:
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        reasons = [str(item) for item in getattr(cause, "schema_errors", ())] or [str(cause)]
        text = "; ".join(reason.partition("\n")[0][:200] for reason in reasons)
        raise NotGitHubError(f"{request.method} {path} {response.status}: {text}") from None


def _judge(asked: _AskedFor, response: Response) -> None:
    if response.status < 300:
        _openapi().validate_request(asked)
    if response.status in (204, 304):
        assert response.body == b"", "a body where there is none"
    if response.status == 304:
        return
    try:
        _openapi().validate_response(asked, _Answered(response))
    except ResponseNotFound:
        # GitHub describes few of its refusals; all of them share one form.
        assert response.status >= 300, "this status is not described"
        _error_schema("basic-error").validate(json.loads(response.body))
    if response.status >= 400:
        error = json.loads(response.body)
        assert error["message"], "no message"
        assert error["documentation_url"], "no documentation_url"
        assert error["status"] == str(response.status), "status in the body differs"


def links(body: Any, *, key: str = "") -> list[str]:
    """Every link in an answer but those to the documentation."""
    if isinstance(body, dict):
        return [link for name, value in body.items() for link in links(value, key=name)]
    if isinstance(body, list):
        return [link for item in body for link in links(item, key=key)]
    is_link = isinstance(body, str) and (key == "url" or key.endswith("_url")) and key != "documentation_url"
    return [body] if is_link else []
