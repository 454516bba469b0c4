"""What people should hear of once."""

from __future__ import annotations

from dataclasses import dataclass

from controller.core.model import HFJob, WorkflowJob
from controller.core.naming import LABEL_RUNNER
from controller.core.reasons import Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something that is reported once: an Event, a log line, a metric.

    Attributes:
        pool_uid: The pool that it is about.
        reason: Why.
        message: What happened and what to do next, in sentences.
        warning: Somebody may have to do something.
        runner: The runner's name, empty where it is about none.
        hf_job: Its HF Job, if that is known.
        workflow_job: The workflow job that it is about, if that is known.
    """

    pool_uid: str
    reason: Reason
    message: str
    warning: bool = False
    runner: str = ""
    hf_job: HFJob | None = None
    workflow_job: WorkflowJob | None = None


def warn_about(
    pool_uid: str, reason: Reason, message: str, job: HFJob, *, workflow_job: WorkflowJob | None = None
) -> Notice:
    """Return a warning about the runner of an HF Job."""
    return Notice(
        pool_uid=pool_uid,
        reason=reason,
        message=message,
        warning=True,
        runner=job.labels.get(LABEL_RUNNER, ""),
        hf_job=job,
        workflow_job=workflow_job,
    )
