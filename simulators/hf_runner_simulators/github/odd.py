"""Fields of rows whose free words, links and numbers are odd: see the knob ``odd_words``."""

from __future__ import annotations

from typing import Any

from hf_runner_simulators.odd_words import COUNT, LINKS, NAMES

JSON = dict[str, Any]


def odd_run(key: int) -> JSON:
    """Fields of a run that its author or nobody in particular chose."""
    name, link = NAMES[key % len(NAMES)], LINKS[key % len(LINKS)]
    links = (
        "html_url",
        "logs_url",
        "check_suite_url",
        "artifacts_url",
        "cancel_url",
        "rerun_url",
        "jobs_url",
    )
    odd: JSON = {"name": name, "display_title": name, "head_branch": name, "path": name}
    return {**odd, **dict.fromkeys(links, link), "run_number": COUNT, "check_suite_id": 2**63 - 1}


def odd_job(key: int) -> JSON:
    """The same of a job; its steps go, for nobody needs them."""
    name, link = NAMES[key % len(NAMES)], LINKS[key % len(LINKS)]
    return {
        "name": name,
        "workflow_name": name,
        "head_branch": name,
        "steps": [],
        **dict.fromkeys(("html_url", "run_url", "check_run_url"), link),
    }
