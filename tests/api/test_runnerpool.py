"""controller.api.runnerpool and spec: what is accepted, what is refused, and with which words."""

from __future__ import annotations

from typing import Any

import pytest

from controller.api.runnerpool import InvalidPool, Mistake, RunnerPool
from controller.core.reasons import Reason
from tests.api.cases import ABSENT, BAD, GOOD, Bad, github, manifest


def mistakes(obj: Any, *, allow_http: bool = False) -> tuple[Mistake, ...]:
    with pytest.raises(InvalidPool) as caught:
        RunnerPool.parse(obj, allow_http=allow_http)
    return caught.value.mistakes


@pytest.mark.parametrize("changes", GOOD.values(), ids=GOOD)
def test_a_right_pool_is_accepted(changes: dict[str, Any]) -> None:
    assert RunnerPool.parse(manifest(changes), allow_http=True).metadata.name == "t4"


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_a_mistake_is_shown_where_it_is_with_how_to_write_it_right(bad: Bad) -> None:
    (mistake,) = mistakes(manifest(bad.changes))
    assert mistake.path == bad.at
    assert bad.says in mistake.sentence


def test_defaults_are_filled_in() -> None:
    spec = RunnerPool.parse(manifest(), allow_http=False).spec
    assert (spec.max_runners, spec.min_idle, spec.ssh, spec.paused) == (10, 0, False, False)
    assert spec.huggingface.endpoint == "https://huggingface.co"
    assert spec.github.group_only_jobs == "Ignore"
    assert spec.deadlines.model_dump() == {
        "scheduling": "10m",
        "registration": "5m",
        "idle": "2m",
        "lifetime": "6h",
    }


def test_all_mistakes_are_shown_at_once() -> None:
    found = mistakes(
        manifest(
            {
                "github": {"url": "https://github.com/acme", "credentialsSecret": "A"},
                "labels": [],
                "flavors": ["T4"],
                "volumes": [{"type": "model", "source": "x/y", "mountPath": "data", "readOnly": False}],
                "minIdle": 20,
                "deadlines": {"idle": "soon"},
                "maxRuners": 3,
            }
        )
    )
    assert {mistake.path for mistake in found} == {
        "spec.github.credentialsSecret",
        "spec.github.repositories",
        "spec.labels",
        "spec.flavors[0]",
        "spec.volumes[0].mountPath",
        "spec.volumes[0].readOnly",
        "spec.minIdle",
        "spec.deadlines.idle",
        "spec.maxRuners",
    }


def test_the_error_holds_every_sentence_and_its_reason() -> None:
    with pytest.raises(
        InvalidPool, match=r"spec\.labels: name at least one.*; spec\.flavors: name at least one"
    ) as caught:
        RunnerPool.parse(manifest({"labels": [], "flavors": []}), allow_http=False)
    assert caught.value.reason is Reason.InvalidSpec


def test_a_field_in_doubt_does_not_bring_up_a_second_mistake() -> None:
    (mistake,) = mistakes(manifest({"github.url": "acme", "github.runnerGroup": "gpu"}))
    assert mistake.path == "spec.github.url"


@pytest.mark.parametrize(
    ("changes", "path", "hint"),
    [
        ({"maxRuners": 3}, "spec.maxRuners", "did you mean maxRunners?"),
        ({"github.runner_group": "x"}, "spec.github.runner_group", "did you mean runnerGroup?"),
        ({"deadlines": {"lifeTime": "1h"}}, "spec.deadlines.lifeTime", "did you mean lifetime?"),
        ({"github": github(qqq=1)}, "spec.github.qqq", "there are url, credentialsSecret, runnerGroup"),
        (
            {"volumes": [{"type": "model", "source": "a/b", "mountpath": "/x", "mountPath": "/x"}]},
            "spec.volumes[0].mountpath",
            "did you mean mountPath?",
        ),
    ],
)
def test_an_unknown_field_is_named_with_the_nearest_one(
    changes: dict[str, Any], path: str, hint: str
) -> None:
    (mistake,) = mistakes(manifest(changes))
    assert mistake.path == path
    assert hint in mistake.sentence


@pytest.mark.parametrize(
    ("field", "url"),
    [
        ("github.url", "http://sim.default.svc:8080/acme/lib"),
        ("huggingface.endpoint", "http://10.0.0.1:8081"),
        ("github.url", "http://localhost.example.com/acme/lib"),
        ("github.url", "http://127.0.0.1.example.com/acme/lib"),
        ("github.url", "http://localhost/acme/lib"),
        ("github.url", "http://github.localhost/acme/lib"),
        ("github.url", "http://[::1]:8080/acme/lib"),
        ("huggingface.endpoint", "http://127.0.0.1:8081"),
    ],
)
def test_plain_http_needs_the_controllers_consent(field: str, url: str) -> None:
    (mistake,) = mistakes(manifest({field: url}))
    assert mistake.path == f"spec.{field}"
    assert "--allow-http" in mistake.sentence
    assert RunnerPool.parse(manifest({field: url}), allow_http=True)


@pytest.mark.parametrize(
    ("obj", "path"),
    [
        ({}, "apiVersion"),
        (manifest() | {"apiVersion": "hfrunners.dev/v1"}, "apiVersion"),
        (manifest() | {"kind": "Pool"}, "kind"),
        (manifest() | {"spec": None}, "spec"),
        (manifest() | {"metadata": {}}, "metadata.name"),
        (manifest({"github": "acme"}), "spec.github"),
        (manifest({"labels": "gpu"}), "spec.labels"),
        (manifest({"huggingface": ABSENT}), "spec.huggingface"),
    ],
)
def test_an_object_of_another_shape_is_refused(obj: dict[str, Any], path: str) -> None:
    assert path in {mistake.path for mistake in mistakes(obj)}


def test_something_that_is_no_object_is_refused() -> None:
    (mistake,) = mistakes(["a", "list"])
    assert str(mistake) == "write an object (name: value)"


def test_values_are_never_repeated_in_the_error() -> None:
    with pytest.raises(InvalidPool) as caught:
        RunnerPool.parse(manifest({"env": {"A": ["hunter2"]}, "github.url": "hunter2"}), allow_http=False)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_status_and_foreign_metadata_are_not_read() -> None:
    obj = manifest() | {"status": {"observedGeneration": "x"}}
    obj["metadata"] |= {"managedFields": [{}], "labels": {"a": "b"}}
    assert RunnerPool.parse(obj, allow_http=False)
