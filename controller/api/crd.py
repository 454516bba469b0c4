"""The CustomResourceDefinition, generated from the models.

``python -m controller.api.crd --write crds/`` writes the file, ``--check crds/`` fails when
it is not current.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from controller.api.generated import write_or_check
from controller.api.schema import structural
from controller.api.spec.pool import RunnerPoolSpec
from controller.api.status.model import NEVER_SEEN, RunnerPoolStatus
from controller.core.resource import GROUP, KIND, PLURAL, VERSION

NAME = f"{PLURAL}.{GROUP}"
FILE_NAME = f"{GROUP}_{PLURAL}.yaml"
_COMMAND = "python -m controller.api.crd --write crds/"
_HEADER = f"# Generated from controller/api by `{_COMMAND}`; do not edit.\n"

DESCRIPTION = (
    "A RunnerPool keeps one kind of GitHub Actions job served by ephemeral self-hosted runners on Hugging Face Jobs: "
    "GitHub's queue says how many are wanted, each runs one workflow job and is gone."
)


def _column(
    name: str, path: str, kind: str = "integer", *, wide: bool = False, description: str
) -> dict[str, Any]:
    return {
        "name": name,
        "type": kind,
        "jsonPath": path,
        "description": description,
        **({"priority": 1} if wide else {}),
    }


def _ready(field: str) -> str:
    return f'.status.conditions[?(@.type=="Ready")].{field}'


COLUMNS: tuple[dict[str, Any], ...] = (
    _column("Flavors", ".status.flavorNames", "string", description="Hardware in order of preference."),
    _column("Queued", ".status.counts.queued", description="Workflow jobs that wait for this pool."),
    _column("Starting", ".status.counts.starting", description="Runners on their way."),
    _column("Idle", ".status.counts.idle", description="Runners that wait for a workflow job."),
    _column("Busy", ".status.counts.busy", description="Runners that run a workflow job."),
    _column("Max", ".spec.maxRunners", description="Upper bound of HF Jobs."),
    _column("Ready", _ready("status"), "string", description="The pool serves its queue."),
    _column("Age", ".metadata.creationTimestamp", "date", description="Time since the pool was made."),
    _column("Reason", _ready("reason"), "string", wide=True, description="Why Ready is what it is."),
    _column("HF namespace", ".spec.huggingface.namespace", "string", wide=True, description="Who pays."),
    _column("GitHub URL", ".spec.github.url", "string", wide=True, description="Where jobs come from."),
    _column(
        "Lifetime", ".spec.deadlines.lifetime", "string", wide=True, description="Longest life of one runner."
    ),
    _column("USD/h", ".status.cost.usdPerHour", "string", wide=True, description="Cost of the live HF Jobs."),
)


def crd() -> dict[str, Any]:
    """Return the CustomResourceDefinition as a JSON-compatible object."""
    status = structural(RunnerPoolStatus)
    # Without a status, kstatus (Helm 4, Flux, `kubectl wait`) takes a pool that nobody has looked
    # at for a healthy one.
    status["default"] = {"observedGeneration": NEVER_SEEN}
    schema = {
        "description": DESCRIPTION,
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": "API group and version of this object."},
            "kind": {"type": "string", "description": "Kind of this object."},
            "metadata": {"type": "object"},
            "spec": structural(RunnerPoolSpec),
            "status": status,
        },
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": NAME},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": KIND.lower(),
                "shortNames": ["rp"],
            },
            "scope": "Namespaced",
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": list(COLUMNS),
                    "schema": {"openAPIV3Schema": schema},
                }
            ],
        },
    }


def missing_fields(served: Mapping[str, Any]) -> list[str]:
    """Return the fields of this version that a served schema does not have: then its CRD is an older one.

    Args:
        served: OpenAPI schema of a RunnerPool, such as the API server publishes.
    """
    ours = crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    theirs = served.get("properties") or {}
    return [field for part in ("spec", "status") for field in _missing(part, ours[part], theirs.get(part))]


def _missing(path: str, ours: Mapping[str, Any], theirs: Mapping[str, Any] | None) -> list[str]:
    if theirs is None:
        return [path]
    found = []
    for name, schema in (ours.get("properties") or {}).items():
        found += _missing(f"{path}.{name}", schema, (theirs.get("properties") or {}).get(name))
    for inner, mark in (("items", "[]"), ("additionalProperties", ".*")):
        if isinstance(ours.get(inner), Mapping):
            found += _missing(path + mark, ours[inner], theirs.get(inner) or None)
    return found


def render() -> str:
    """Return the text of the file under ``crds/``."""
    return _HEADER + yaml.safe_dump(crd(), sort_keys=False, allow_unicode=True, width=120)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check the generated file; return the exit code."""
    return write_or_check(
        arguments, description=__doc__, file_name=FILE_NAME, render=render, command=_COMMAND
    )


if __name__ == "__main__":
    raise SystemExit(main())
