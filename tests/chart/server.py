"""A real API server, asked as kubectl asks it; and its types as JSON Schemas."""

from __future__ import annotations

import copy
import json
import time
from pathlib import Path
from typing import Any, Self

import httpx
import yaml

from tests.chart.conftest import Body


class Server:
    """One API server, as an administrator; closed with its context."""

    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig
        known = yaml.safe_load(kubeconfig.read_text())
        cluster = known["clusters"][0]["cluster"]
        self.http = httpx.Client(
            base_url=cluster["server"],
            verify=False,  # on the loopback interface
            headers={"Authorization": f"Bearer {known['users'][0]['user']['token']}"},
            timeout=200,
            trust_env=False,
        )
        self._plurals: dict[str, dict[str, tuple[str, bool]]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def path(self, obj: Body) -> str:
        """Return where an object lives; fails when the server does not know its kind."""
        api, kind, metadata = obj["apiVersion"], obj["kind"], obj["metadata"]
        base = f"/apis/{api}" if "/" in api else f"/api/{api}"
        if api not in self._plurals:
            found = self.http.get(base).raise_for_status().json()["resources"]
            self._plurals[api] = {
                one["kind"]: (one["name"], one["namespaced"]) for one in found if "/" not in one["name"]
            }
        plural, namespaced = self._plurals[api][kind]
        within = f"/namespaces/{metadata['namespace']}" if namespaced else ""
        return f"{base}{within}/{plural}/{metadata['name']}"

    def apply(self, obj: Body, *, dry: bool = False) -> httpx.Response:
        """Do what ``kubectl apply --server-side --validate=strict`` does."""
        query = {"fieldManager": "test", "force": "true", "fieldValidation": "Strict"}
        return self.http.patch(
            self.path(obj),
            params={**query, **({"dryRun": "All"} if dry else {})},
            content=json.dumps(obj),
            headers={"Content-Type": "application/apply-patch+yaml"},
        )

    def install_types(self, *files: Path) -> None:
        """Install CRDs and wait until they are served."""
        for file in files:
            crd = yaml.safe_load(file.read_text())
            self.apply(crd).raise_for_status()
            group, plural = crd["spec"]["group"], crd["spec"]["names"]["plural"]
            self.wait(f"/apis/{group}/{crd['spec']['versions'][-1]['name']}/{plural}")

    def wait(self, path: str, status: int = 200) -> httpx.Response:
        """Ask until the answer has a status; a type that was just installed takes a moment."""
        for _ in range(300):
            answer = self.http.get(path)
            if answer.status_code == status:
                return answer
            time.sleep(0.1)
        raise AssertionError(f"{path}: {answer.status_code} {answer.text[:300]}")

    def await_right(self, who: str, namespace: str, rule: Body) -> None:
        """Ask until the authorizer of the API server knows a right: it watches roles, and sees a new one
        a moment after it was written.
        """
        resource, _, part = rule["resources"][0].partition("/")
        attributes = {
            "group": rule["apiGroups"][0],
            "resource": resource,
            "subresource": part,
            "name": next(iter(rule.get("resourceNames", ())), ""),
            "verb": rule["verbs"][0],
            "namespace": namespace,
        }
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {"user": who, "resourceAttributes": attributes},
        }
        for _ in range(300):
            answer = self.http.post("/apis/authorization.k8s.io/v1/subjectaccessreviews", json=review)
            if answer.raise_for_status().json()["status"]["allowed"]:
                return
            time.sleep(0.1)
        raise AssertionError(f"{who} has no right to {attributes}")

    def namespace(self, name: str, **labels: str) -> None:
        metadata = {"name": name, "labels": {key.replace("__", "/"): value for key, value in labels.items()}}
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}).raise_for_status()


def write_schemas(openapi: Body, directory: Path) -> int:
    """Write a JSON Schema per kind as kubeconform looks for them; return how many.

    The server publishes OpenAPI 2, which writes some things otherwise than JSON Schema does.
    """
    definitions = {name: _schema(node) for name, node in openapi["definitions"].items()}
    written = 0
    for name, node in openapi["definitions"].items():
        for kind in node.get("x-kubernetes-group-version-kind", ()):
            group = f"-{kind['group'].split('.')[0]}" if kind["group"] else ""
            file = directory / f"{kind['kind']}{group}-{kind['version']}.json".lower()
            whole = {**definitions[name], "definitions": _needed(definitions, name)}
            file.write_text(json.dumps(whole))
            written += 1
    return written


def _schema(node: Any) -> Any:
    if isinstance(node, list):
        return [_schema(child) for child in node]
    if not isinstance(node, dict):
        return node
    if node.get("format") == "int-or-string" or node.get("x-kubernetes-int-or-string"):
        return {"type": ["string", "integer"]}
    kept = {
        key: _schema(child) for key, child in node.items() if key not in ("format", "default", "properties")
    }
    if "properties" in node:
        kept["properties"] = {name: _schema(child) for name, child in node["properties"].items()}
        if not node.get("x-kubernetes-preserve-unknown-fields"):
            kept.setdefault("additionalProperties", False)
    return kept


def _needed(definitions: Body, name: str) -> Body:
    found: Body = {}
    todo = [name]
    while todo:
        one = todo.pop()
        if one not in found:
            found[one] = copy.copy(definitions[one])
            text = json.dumps(definitions[one])
            todo += [part.split('"')[0] for part in text.split('"#/definitions/')[1:]]
    return found
