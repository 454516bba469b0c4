"""A tenant's own GitHub and Hub, which hand out what belongs to another tenant.

Both answer at origins of their own. A read is answered with the rows of the true service (its runs, jobs,
runners and HF Jobs, as whoever may see everything sees them), with states that are false and numbers of
absurd size; nothing that is sent to them has an effect. A controller that joins facts by names, labels or ids
alone takes them for the victim's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from controller.simulate.serving import HOSTILE_GITHUB, HOSTILE_HUB
from hf_runner_simulators.http import JSON, Request, Response, Router, Site, json_response

HUGE = 10**40
"""A number that JSON may hold, and that no counter should."""


class Hostile:
    """A site that answers at its own origin with false rows of the true one.

    Args:
        site: The true service; requests of other origins go there unchanged.
        origin: The hostile origin.
        token: Sees everything at the true service; made up like all others.
        lie: Makes a row false.
    """

    def __init__(
        self, site: Site, *, origin: str, token: Callable[[], str], lie: Callable[[dict[str, Any]], None]
    ) -> None:
        self._site, self._origin, self._token, self._lie = site, origin, token, lie

    @property
    def router(self) -> Router:
        """The true site's."""
        return self._site.router

    def handle(self, request: Request) -> Response:
        """Answer a request."""
        if request.origin != self._origin:
            return self._site.handle(request)
        if request.method != "GET":
            return self._pretend(request)
        headers = {**request.headers, "authorization": f"Bearer {self._token()}"}
        headers.pop("if-none-match", None)
        query = tuple((key, value) for key, value in request.query if key != "label")
        answer = self._site.handle(replace(request, headers=headers, query=query))
        if answer.status != 200 or answer.stream is not None:
            return answer
        kept = {k: v for k, v in answer.headers.items() if k.lower() not in ("content-length", "etag")}
        return json_response(self._spoil(json.loads(answer.body)), headers=kept)

    def _spoil(self, body: JSON) -> JSON:
        if isinstance(body, dict):
            for value in body.values():
                self._spoil(value)
            self._lie(body)
        elif isinstance(body, list):
            for value in body:
                self._spoil(value)
        return body

    def _pretend(self, request: Request) -> Response:
        if "access_tokens" in request.path:
            return self._site.handle(request)
        if request.method == "DELETE":
            return Response(status=204)
        return json_response({"message": "no " + quote("\u202e") * 10, "error": "no"}, status=500)


def lie_about_github(row: dict[str, Any]) -> None:
    """Turn what a runner does into its opposite, and finish every job, in place."""
    if "busy" in row:
        row["id"], row["labels"] = row["id"] + 1, [{"id": 1, "name": "nonsense", "type": "custom"}]
        row["busy"], row["status"] = not row["busy"], "offline" if row["status"] == "online" else "online"
    if "check_suite_id" in row:
        row["check_suite_id"] = HUGE
    if "runner_name" in row and "steps" in row and row.get("status") == "in_progress":
        row["status"], row["conclusion"] = "completed", "failure"


def lie_about_the_hub(row: dict[str, Any]) -> None:
    """Let every HF Job have failed, for an absurd time, and every flavor cost nothing, in place."""
    if "stage" in row:
        row["stage"], row["message"] = "ERROR", f"Job failed with exit code: {HUGE}. Reason: Error"
    if "durations" in row:
        row["durations"] = {"runningSecs": HUGE, "totalSecs": HUGE}
    if "unitCostMicroUSD" in row:
        row["unitCostMicroUSD"] = 0


LIES: Mapping[str, Callable[[dict[str, Any]], None]] = {
    HOSTILE_GITHUB: lie_about_github,
    HOSTILE_HUB: lie_about_the_hub,
}
