"""The story's own safety: it empties no cluster in which somebody else's pools live, and its
verdicts can be bad ones.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from tools.e2e.__main__ import clear, load
from tools.e2e.cluster import Kubectl, StoryError, attempt, until
from tools.e2e.services import Truth
from tools.e2e.story_base import CRD, NAMESPACES, harmed, merged


class Cluster(Kubectl):
    """Answers ``get`` from a table by the resource's name, and notes everything else."""

    def __init__(self, objects: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        super().__init__("kubectl")
        self._objects = objects
        self.done: list[str] = []

    def __call__(self, *arguments: str, stdin: str | None = None, seconds: float = 0.0) -> str:
        if "get" not in arguments:
            self.done.append(" ".join(arguments))
            return ""
        found = self._objects.get(arguments[arguments.index("get") + 1], [])
        return json.dumps({"items": found}) if "json" in arguments else "\n".join(map(str, found))


def pool(namespace: str) -> Mapping[str, Any]:
    return {"metadata": {"namespace": namespace, "name": "gpu"}}


def claim(namespace: str) -> Mapping[str, Any]:
    annotations = {"meta.helm.sh/release-namespace": namespace, "meta.helm.sh/release-name": "one"}
    return {"metadata": {"name": "claim", "annotations": annotations}}


def test_a_cluster_with_pools_of_its_own_is_left_alone() -> None:
    cluster = Cluster({"crd": [{"name": CRD}], "rp": [pool(NAMESPACES[0]), pool("team")]})
    with pytest.raises(StoryError, match="team/gpu"):
        clear(cluster)
    assert cluster.done == []


def test_a_cluster_with_a_release_of_its_own_is_left_alone() -> None:
    cluster = Cluster({"crd": [{"name": CRD}], "clusterroles": [claim("production")]})
    with pytest.raises(StoryError, match="production"):
        clear(cluster)
    assert cluster.done == []


def test_what_a_run_left_is_removed_finalizers_first() -> None:
    cluster = Cluster(
        {"crd": [{"name": CRD}], "rp": [pool(NAMESPACES[1])], "clusterroles": [claim(NAMESPACES[0])]}
    )
    clear(cluster)
    assert [command.split(" -")[0] for command in cluster.done if command.startswith("delete")] == [
        f"delete crd {CRD}",
        "delete clusterroles claim",
        f"delete namespace {' '.join(NAMESPACES)}",
    ]
    assert "finalizers" in cluster.done[0]


def test_an_image_is_not_sent_to_nodes_that_nobody_knows_how_to_reach() -> None:
    with pytest.raises(StoryError, match="LOAD="):
        load("an/image:tag", builder="buildah", loader=[], context="production")


@pytest.mark.parametrize("conclusion", ["failure", "cancelled", "timed_out"])
def test_a_job_that_did_not_succeed_came_to_harm(conclusion: str) -> None:
    jobs = [
        {"id": 1, "status": "completed", "conclusion": "success"},
        {"id": 2, "status": "completed", "conclusion": conclusion},
        {"id": 3, "status": "in_progress", "conclusion": None},
    ]
    truth = Truth(jobs=jobs, live=["j1"], registrations={"r1": 0.0}, bugs=[])
    assert [job["id"] for job in harmed(truth)] == [2]
    assert truth.left == ["HF Job j1", "registration r1"]


def test_waiting_ends() -> None:
    with pytest.raises(StoryError, match="not within 0 s: never"):
        until(lambda: False, "never", patience=0.0)


def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(StoryError, match="no-such-helm is not there"):
        attempt(["no-such-helm", "version"])


def test_values_are_merged_as_helm_merges_them() -> None:
    base = {"a": {"b": 1, "c": [1]}, "d": 1}
    assert merged(base, {"a": {"c": [2], "e": 3}, "d": {"f": 4}}) == {
        "a": {"b": 1, "c": [2], "e": 3},
        "d": {"f": 4},
    }
    assert base == {"a": {"b": 1, "c": [1]}, "d": 1}
