"""The documented shape of a job and of the hardware list, with nothing allowed that is not documented."""

from __future__ import annotations

from typing import Any

TEXT = {"type": "string"}
TEXTS = {"type": "array", "items": TEXT}
COUNT = {"type": "integer", "minimum": 0}
PORTS = {"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": 65_535}}
MOMENT = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"}
TEXT_BY_TEXT = {"type": "object", "additionalProperties": TEXT}


def closed(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "required": list(required),
        "properties": {**required, **optional},
        "additionalProperties": False,
    }


JOB = closed(
    {
        "id": {"type": "string", "pattern": "^[0-9a-f]{24}$"},
        "type": {"const": "job"},
        "createdAt": MOMENT,
        "owner": closed({"id": TEXT, "name": TEXT, "type": {"enum": ["user", "org"]}, "avatarUrl": TEXT}),
        "createdBy": closed({"id": TEXT, "name": TEXT}),
        "environment": TEXT_BY_TEXT,
        "flavor": TEXT,
        "status": closed(
            {
                "stage": {"enum": ["SCHEDULING", "RUNNING", "COMPLETED", "CANCELED", "ERROR", "DELETED"]},
                "message": {"type": ["string", "null"]},
            },
            cancelReason=TEXT,
            failureCount=COUNT,
            exposeUrls=TEXTS,
            sshUrl=TEXT,
        ),
    },
    startedAt=MOMENT,
    finishedAt=MOMENT,
    initiator=closed({"type": TEXT, "id": TEXT}, name=TEXT, avatarUrl=TEXT),
    dockerImage=TEXT,
    spaceId=TEXT,
    command=TEXTS,
    arguments=TEXTS,
    arch={"enum": ["amd64", "arm64"]},
    secrets=TEXTS,
    timeout={"type": "number"},
    retry=COUNT,
    labels=TEXT_BY_TEXT,
    volumes={
        "type": "array",
        "items": closed(
            {"type": {"enum": ["bucket", "model", "dataset", "space"]}, "source": TEXT, "mountPath": TEXT},
            revision=TEXT,
            readOnly={"type": "boolean"},
            path=TEXT,
        ),
    },
    expose=closed({"ports": PORTS}, portsPublic=PORTS),
    network=closed({"group": TEXT, "aliases": TEXTS}),
    resourceGroupId=TEXT,
    durations=closed({}, schedulingSecs=COUNT, runningSecs=COUNT, totalSecs=COUNT),
)

HARDWARE = {
    "type": "array",
    "minItems": 1,
    "items": closed(
        {
            "name": TEXT,
            "prettyName": TEXT,
            "cpu": {"type": "string", "pattern": "^[0-9]+ vCPU$"},
            "ram": {"type": "string", "pattern": "^[0-9]+ GB$"},
            "ephemeralStorage": {"type": "string", "pattern": "^[0-9]+ GB$"},
            "accelerator": {
                "oneOf": [
                    {"type": "null"},
                    closed(
                        {
                            "type": {"enum": ["gpu", "neuron"]},
                            "model": TEXT,
                            "quantity": {"type": "string", "pattern": "^[0-9]+$"},
                            "vram": {"type": "string", "pattern": "^[0-9]+ GB$"},
                            "manufacturer": TEXT,
                        }
                    ),
                ]
            },
            "unitCostMicroUSD": COUNT,
            "unitCostUSD": {"type": "number"},
            "unitLabel": {"const": "minute"},
        }
    ),
}
