"""RunnerPools, their Secrets and a workflow, as YAML that people read and edit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from controller.api.address import github_target
from controller.core.model import ScopeKind
from controller.core.naming import label_value
from controller.core.resource import API_VERSION, KIND

APP_SECRET, TOKEN_SECRET, HF_SECRET = "github-app", "github-token", "hf-token"
JOBS_ACTIONS = "jobs-actions"

RUNNERS_PERMISSION = {
    ScopeKind.REPOSITORY: "Administration: write (repository)",
    ScopeKind.ORGANIZATION: "Self-hosted runners: write (organization)",
}

COMMENTS: Mapping[str, str] = {
    "url": "where jobs come from, and where runners are registered",
    "repositories": "whose queues are read",
    "labels": "in the workflow: runs-on",
    "huggingface": "where the runners run, and who pays",
    "flavors": "the next one when the first has no capacity; `hf jobs hardware` has the prices",
    "maxRunners": "HF Jobs at the same time, at most",
    "minIdle": "kept ready, and paid for",
    "deadlines": "an idle runner ends after `idle`, and each after `lifetime`",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What was asked for."""

    url: str
    repositories: Sequence[str]
    hf_namespace: str
    endpoint: str | None
    flavors: Sequence[str]
    fallback: bool
    labels: Sequence[str]
    name: str | None
    namespace: str | None
    group: str | None
    image: str | None
    max_runners: int
    min_idle: int
    lifetime: str | None
    like: str | None
    github_secret: str

    def pools(self) -> list[dict[str, Any]]:
        """Return the RunnerPools, as they will be written."""
        groups = [list(self.flavors)] if self.fallback else [[flavor] for flavor in self.flavors]
        return [self._pool(group) for group in groups]

    def _pool(self, flavors: Sequence[str]) -> dict[str, Any]:
        prefix = "hf-jobs-" if self.like == JOBS_ACTIONS else "hf-"
        github: dict[str, Any] = {"url": self.url, "credentialsSecret": self.github_secret}
        if self.group:
            github["runnerGroup"] = self.group
        if self.repositories:
            github["repositories"] = {"include": list(self.repositories)}
        hub: dict[str, Any] = {"namespace": self.hf_namespace, "tokenSecret": HF_SECRET}
        if self.endpoint:
            hub["endpoint"] = self.endpoint
        spec: dict[str, Any] = {
            "github": github,
            "labels": list(self.labels) or [f"{prefix}{flavors[0]}"],
            "huggingface": hub,
            "flavors": list(flavors),
        }
        if self.image:
            spec["image"] = self.image
        spec["maxRunners"] = self.max_runners
        if self.min_idle:
            spec["minIdle"] = self.min_idle
        deadlines = {}
        if self.like == JOBS_ACTIONS:
            deadlines = {
                "idle": "5m",
                "lifetime": "1h",
            }  # the defaults of its RUNNER_IDLE_TIMEOUT and JOB_TIMEOUT
        if self.lifetime:
            deadlines["lifetime"] = self.lifetime
        if deadlines:
            spec["deadlines"] = deadlines
        metadata = {"name": self.name or label_value(flavors[0]).lower()}
        if self.namespace:
            metadata["namespace"] = self.namespace
        return {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": spec}


def manifests(
    wanted: Wanted, pools: Sequence[Mapping[str, Any]], github: Mapping[str, str], hub: Mapping[str, str]
) -> str:
    """Return all documents of a file to apply: Secrets where their values are known, then the pools."""
    kind = github_target(wanted.url).scope.kind
    within = f" -n {wanted.namespace}" if wanted.namespace else ""
    lines = ["# Check it before it is applied:  hf-runner-controller check FILE", "#"]
    if not github:
        runners = RUNNERS_PERMISSION.get(kind)
        lines += (
            [f"# The pools need a GitHub App with Actions: read, Metadata: read and {runners}:"]
            if runners
            else [
                "# The pools need a classic token with the scope manage_runners:enterprise, instead of a GitHub App:"
            ]
        )
        content = (
            "--from-literal=appId=ID --from-file=privateKey=FILE.pem"
            if runners
            else '--from-literal=token="$GITHUB_TOKEN"'
        )
        lines.append(f"#   kubectl create secret generic {wanted.github_secret}{within} {content}")
    if not hub:
        lines += [
            f"# They need a Hugging Face token that may start and manage Jobs in {wanted.hf_namespace} (job.write):",
            f'#   kubectl create secret generic {HF_SECRET}{within} --from-literal=token="$HF_TOKEN"',
        ]
    documents = ["\n".join(lines) + "\n"]
    for name, data in ((wanted.github_secret, github), (HF_SECRET, hub)):
        if data:
            metadata = {"name": name, **({"namespace": wanted.namespace} if wanted.namespace else {})}
            documents.append(
                _yaml({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": dict(data)})
            )
    first, *others = map(_yaml, pools)
    documents += [_commented(first), *others]
    return documents[0] + "".join(f"---\n{document}" for document in documents[1:])


class _Dumper(yaml.SafeDumper):
    """Indented lists, and text of several lines as it is."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002
        """Indent lists below their key."""
        super().increase_indent(flow, indentless=False)


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def _yaml(value: object) -> str:
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1_000)


def _commented(text: str) -> str:
    """Return a pool with a word beside the fields that need one."""
    lines = []
    for line in text.splitlines():
        key = line.strip().partition(":")[0]
        comment = COMMENTS.get(key) if not line.lstrip().startswith("-") else None
        lines.append(f"{line}  # {comment}" if comment else line)
    return "\n".join(lines) + "\n"


def workflow_file(pools: Sequence[Mapping[str, Any]]) -> str:
    """Return a workflow with one job for each pool, to try them with."""
    jobs: dict[str, Any] = {}
    for pool in pools:
        spec = pool["spec"]
        labels = spec["labels"][0] if len(spec["labels"]) == 1 else list(spec["labels"])
        group = spec["github"].get("runnerGroup")
        flavor = spec["flavors"][0]
        jobs[f"on-{label_value(flavor)}"] = {
            "runs-on": {"group": group, "labels": labels} if group else labels,
            "timeout-minutes": 30,
            "steps": [
                {"uses": "actions/checkout@v4"},
                {"run": "lscpu" if flavor.startswith("cpu-") else "nvidia-smi"},
            ],
        }
    written = {
        "name": "hf-runners",
        "on": {"workflow_dispatch": {}},
        "permissions": {"contents": "read"},
        "jobs": jobs,
    }
    # PyYAML quotes `on`, which YAML 1.1 takes for true; GitHub takes either.
    return "# .github/workflows/hf-runners.yml\n" + _yaml(written).replace("'on':", "on:", 1)
