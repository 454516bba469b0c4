"""The list of rights that ``check`` asks about is the one that the operator's own tests run with."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from controller.adapters.kube.rights import IN_CLUSTER, IN_EACH_NAMESPACE, Right, for_leases, to_read

RULES = list(yaml.safe_load_all((Path(__file__).parents[2] / "operator" / "rbac.yaml").read_text()))


def granted(kind: str, name: str) -> set[tuple[str, str, str, str]]:
    (role,) = [one for one in RULES if one["kind"] == kind and one["metadata"]["name"] == name]
    rules: list[dict[str, Any]] = role["rules"]
    return {
        (group, resource, verb, only)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        for only in rule.get("resourceNames", [""])
    }


def asked(rights: Iterable[Right]) -> set[tuple[str, str, str, str]]:
    return {(right.group, right.resource, right.verb, right.name) for right in rights}


def test_every_rule_of_the_cluster_is_asked_about_and_nothing_else() -> None:
    assert asked([*IN_EACH_NAMESPACE, *IN_CLUSTER]) == granted("ClusterRole", "hf-runner-controller")


def test_secrets_are_asked_about_where_a_rolebinding_lets_them_be_read() -> None:
    assert asked([to_read()]) == granted("ClusterRole", "hf-runner-controller-secrets")


def test_the_rules_of_one_namespace_are_those_that_are_asked_about_in_each() -> None:
    assert asked([*IN_EACH_NAMESPACE, to_read()]) == granted("Role", "hf-runner-controller")


def test_the_rules_of_a_replica_are_asked_about_where_its_lease_is() -> None:
    rights = for_leases("home", "hf-runner-controller")
    assert asked(rights) == granted("Role", "hf-runner-controller-leader")
    assert {right.namespace for right in rights} == {"home"}
