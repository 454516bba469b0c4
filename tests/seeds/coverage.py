"""What seeds must have met: each way in which things go wrong, and the marks by which a run
tells that it was played.

``make seeds`` fails when one of them was never played: a fault that never strikes proves nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tests.seeds.worlds import WORLDS

_CALLS = (
    "GET /api/jobs/hardware",
    "GET /api/jobs/{namespace}",
    "GET /api/jobs/{namespace}/{job_id}",
    "POST /api/jobs/{namespace}",
    "POST /api/jobs/{namespace}/{job_id}/cancel",
    "GET /repos/{owner}/{repo}/actions/runners",
    "GET /repos/{owner}/{repo}/actions/runs",
    "GET /repos/{owner}/{repo}/actions/runs/{run_id}",
    "GET /repos/{owner}/{repo}/actions/runs/{run_id}/attempts/{attempt_number}/jobs",
    "POST /app/installations/{installation_id}/access_tokens",
    "POST /repos/{owner}/{repo}/actions/runners/generate-jitconfig",
    "DELETE /repos/{owner}/{repo}/actions/runners/{runner_id}",
    "POST /repos/{owner}/{repo}/actions/runs/{run_id}/rerun-failed-jobs",
)
"""The calls of a pool's whole life."""

_WORLDS = {f"world {name}": (f"world {name}",) for name in sorted(WORLDS)}

PLAYED: Mapping[str, tuple[str, ...]] = {
    "a request is lost, on every call": tuple(f"fault lost_request on {call}" for call in _CALLS),
    "an answer is lost, on every call": tuple(f"fault lost_answer on {call}" for call in _CALLS),
    "a connection is refused, or takes long": ("fault refused", "slow connection"),
    "no answer comes in time": ("fault hang", "fault hang_after", "fault slow", "fault late"),
    "429 with headers": ("fault limited",),
    "secondary limits": ("fault secondary",),
    "5xx before and after the effect": ("fault error_before", "fault error_after"),
    "POST 500 after the effect": ("fault error_after on POST /api/jobs/{namespace}",),
    "truncated or malformed JSON": ("fault truncated", "fault malformed", "fault drifted"),
    "page 2 fails": ("fault on page 2",),
    "lists are stale, and reordered": ("lists lag", "lists reordered"),
    "what exists answers 404": ("fault vanished",),
    "busy lies": ("busy lies",),
    "label filters mean OR": ("label filter means OR",),
    "HF Jobs stick in SCHEDULING": ("no_capacity", "SchedulingDeadline"),
    "the platform cancels, with each reason": tuple(
        f"platform cancels: {reason}"
        for reason in (
            "NO_CREDITS",
            "NO_SUBSCRIPTION",
            "RESOURCE_GROUP_LIMIT",
            "SPEND_LIMIT",
            "PLATFORM_MAINTENANCE",
        )
    ),
    "no credit": ("no_credit",),
    "an HF Job dies while busy": ("lose_container while busy",),
    "an HF Job is killed by its timeout": ("times_out while busy",),
    "an HF Job is COMPLETED without ever registering": ("image exits 0",),
    "an image fails": ("image exits 65", "image exits 67"),
    "the runner's version is deprecated": ("image exits 73",),
    "a JIT configuration expires": ("image exits 71",),
    "a workflow is cancelled at each phase": (
        "workflow cancelled queued, no HF Job",
        "workflow cancelled queued, HF Job placed",
        "workflow cancelled queued, HF Job booting",
        "workflow cancelled queued, HF Job running",
        "workflow cancelled in_progress",
    ),
    "a run stays queued without jobs": ("run queued for ever without jobs",),
    "a token expires, or loses a permission": ("fault unauthorized", "token_revoked", "permission_lost"),
    "clocks are wrong, and jump": ("clock wrong", "jump"),
    "the process is killed before and after each effect": ("fault crash_before", "fault crash_after", "kill"),
    "the process is stopped": ("stop",),
    "two replicas, and the lease changes hands": ("two replicas", "handover"),
    "somebody else's runners beside ours": ("strangers beside us",),
    "services and the cluster are down": ("github_down", "hub_down", "no_cluster"),
    "pools are edited": ("resize", "pause", "move", "recreate"),
    "interrupted jobs run again": ("run again",),
    **_WORLDS,
}
"""By what goes wrong."""


def unplayed(marks: Mapping[str, int]) -> Iterable[str]:
    """Yield what was never played, with the marks that are missing."""
    for what, needed in PLAYED.items():
        missing = [mark for mark in needed if not marks.get(mark)]
        if missing:
            yield f"{what}: no {'; no '.join(missing)}"
