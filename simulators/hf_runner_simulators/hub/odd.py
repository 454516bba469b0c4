"""How a job reads whose free fields are odd: see the knob ``odd_words``."""

from __future__ import annotations

from hf_runner_simulators.http import JSON
from hf_runner_simulators.odd_words import EXIT_CODE, LINKS, NAMES, OVERFLOW


def oddly(job: JSON) -> JSON:
    """Return a job's JSON with odd words, links and numbers. Ids, stage, owner, creator, labels that
    there are, and times stay.
    """
    status = job["status"]
    word = NAMES[int(job["id"][-4:], 16) % len(NAMES)]
    message = word
    if status["stage"] == "ERROR":
        message = f"Job failed with exit code: {EXIT_CODE}. Reason: {word}"
    return {
        "labels": None,
        **job,
        "owner": {**job["owner"], "avatarUrl": LINKS[1]},
        "durations": dict.fromkeys(("schedulingSecs", "runningSecs", "totalSecs"), OVERFLOW),
        "status": {**status, "message": message, "exposeUrls": [*LINKS], "sshUrl": word},
    }
